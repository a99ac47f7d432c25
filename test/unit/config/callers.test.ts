import { describe, expect, it } from 'vitest'
import { faultsOf, MINIMAL, warningsOf } from './read.ts'

const backend = (settings: string, more = '') =>
  `${MINIMAL}${more}backends:\n  vc: { listen: "127.0.0.1:8443", upstream: "http://h", policy: vsphere, ${settings} }\n`

describe('how a backend knows its callers', () => {
  it.each([
    ['nobody, although their tokens are implicit', 'implicit: true', 'nobody would be known at vc'],
    ['a certificate that nobody is asked for', 'identify: [certificate]', 'asks no client for a certificate'],
    [
      'logins at a backend that is not there',
      'identify: [session], callersOf: keystone',
      'no backend "keystone"',
    ],
    [
      'a way that there is not',
      'identify: [cookie]',
      'header, listener, login, session, certificate, address',
    ],
    [
      'a listener at a place that is taken',
      'identify: [listener], listeners: { a: "127.0.0.1:8443" }',
      'is taken already',
    ],
    [
      'a listener named as the backend',
      'identify: [listener], listeners: { vc: "127.0.0.1:9" }',
      "the backend's first listener",
    ],
  ])('is a fault: %s', (_, settings, message) => {
    expect(faultsOf(backend(settings))).toContain(message)
  })

  it('warns of what cannot tell one process from the next, and of nothing where sessions do', () => {
    expect(warningsOf(backend('identify: [session, address], implicit: true'))).toContain('by address')
    expect(warningsOf(backend('identify: [session], implicit: true'))).toBe('')
    expect(warningsOf(backend('identify: [address]'))).toBe('')
    const signing = 'tokens: { signing: { key: "0123456789abcdef0123456789abcdef" } }\n'
    expect(warningsOf(backend('identify: [session], implicit: true', signing))).toContain('tokens.signing')
  })
})
