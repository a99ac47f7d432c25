// The pure half of the framing checks, for what no parser lets through to it today but another might.

import { describe, expect, test } from 'vitest'
import { readAnswerHead, readTrailers } from '../../../gateway/proxy/answer-head.ts'
import { readRequestHead } from '../../../gateway/proxy/request-head.ts'
import fc from '../../support/fast-check.ts'

function read(...raw: string[]) {
  return readRequestHead(['Host', 'a', ...raw], '/x', '1.1')
}

describe('the head of a request', () => {
  test('of HTTP/1.1 has a Host, and one of HTTP/1.0 may be without', () => {
    expect(readRequestHead(['X-A', '1'], '/x', '1.1').kind).toBe('fault')
    expect(readRequestHead(['X-A', '1'], '/x', '1.0').kind).toBe('head')
  })

  test.each([
    ['Content-Length', '3', 'Transfer-Encoding', 'chunked'],
    ['Content-Length', '3', 'content-length', '3'],
    ['Content-Length', '3, 3'],
    ['Content-Length', '-0'],
    ['Content-Length', ''],
    ['Content-Length', '9007199254740993'],
    ['Transfer-Encoding', 'chunked', 'TRANSFER-ENCODING', 'chunked'],
    ['Transfer-Encoding', 'gzip'],
    ['Transfer-Encoding', 'chunked '],
    ['Transfer-Encoding', ''],
    ['HOST', 'a'],
    ['Expect', '200-ok'],
    ['Fencing-Token', '1', 'fencing-token', '1'],
  ])('%s: %s (%s: %s) is at fault', (...raw) => {
    expect(read(...raw.filter((text) => text !== undefined)).kind).toBe('fault')
  })

  test('no field of ours and no hop-by-hop field is ever forwarded, whatever Connection says and however it is spelt', () => {
    const names = fc.constantFrom(
      'Fencing-Token',
      'fencing-session',
      'Keep-Alive',
      'TE',
      'Upgrade',
      'Trailer',
      'Proxy-Connection',
      'X-A',
      'X-B',
      'Cookie',
    )
    const spelt = fc.tuple(names, fc.boolean()).map(([name, upper]) => (upper ? name.toUpperCase() : name))
    const fields = fc.uniqueArray(fc.tuple(spelt, fc.constantFrom('1', 'trailers', '')), {
      selector: ([name]) => name.toLowerCase(),
    })
    const listed = fc.array(fc.constantFrom('X-A', 'x-b', 'Via', 'host', 'close', 'Fencing-Token', ' ', ''))
    fc.assert(
      fc.property(fields, listed, (list, connection) => {
        const reading = read(...list.flat(), 'Connection', connection.join(','))
        if (reading.kind !== 'head') throw new Error(reading.reason)
        const sent = reading.head.forwarded.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
        const allowed = new Set(['host', 'via', 'cookie', 'te', 'x-a', 'x-b'])
        for (const name of sent) expect(allowed.has(name)).toBe(true)
        expect(sent).toContain('host')
        expect(sent.at(-1)).toBe('via')
        for (const name of connection.map((text) => text.toLowerCase()))
          if (name.startsWith('x-')) expect(sent).not.toContain(name)
        for (const [name] of list) if (/^cookie$/i.test(name)) expect(sent).toContain('cookie')
      }),
    )
  })
})

describe('the head of an answer', () => {
  test('passes everything but hop-by-hop fields and what only the gateway may say', () => {
    const raw = [
      Buffer.from('Set-Cookie'),
      Buffer.from('a=\xe9', 'latin1'),
      'Content-Length',
      '12',
      'Content-Encoding',
      'gzip',
      'Fencing-Verdict',
      'denied',
      'Transfer-Encoding',
      'chunked',
      'Connection',
      'X-Hop',
      'X-Hop',
      '1',
    ]
    expect(readAnswerHead(raw, 200)).toEqual({
      list: ['Set-Cookie', 'a=\xe9', 'Content-Length', '12', 'Content-Encoding', 'gzip'],
      contentLength: 12,
      encoded: true,
    })
  })

  test('trailers cannot change how the message was framed', () => {
    expect(readTrailers(['Content-Length', '1', 'Transfer-Encoding', 'x', 'Set-Cookie', 'a'])).toBeNull()
    expect(readTrailers(['X-Sum', '1', 'Host', 'a'])).toEqual([['X-Sum', '1']])
  })
})
