// What is said of certificates and keys before anything listens with them.

import { beforeAll, describe, expect, test } from 'vitest'
import { tlsFault } from '../../../gateway/knowledge.ts'
import { type Pair, selfSigned } from '../../support/certificates.ts'

const NO_CERTIFICATE = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'

describe('what is wrong with TLS material', () => {
  let one: Pair
  let other: Pair
  beforeAll(() => {
    one = selfSigned('/CN=localhost')
    other = selfSigned('/CN=localhost')
  })

  test('a certificate with its key, and an authority, are good', () => {
    expect(tlsFault(one)).toBeNull()
    expect(tlsFault({ ca: one.cert })).toBeNull()
    expect(tlsFault({ ...one, ca: other.cert })).toBeNull()
  })

  test('a key of another certificate is named as such', () => {
    expect(tlsFault({ cert: one.cert, key: other.key })).toBe('the key is not that of the certificate')
  })

  test('a passphrase is named as such', () => {
    const key = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n'
    expect(tlsFault({ cert: one.cert, key })).toBe('the key is encrypted with a passphrase')
  })

  test('what cannot be read is told, and never what it holds', () => {
    const key = '-----BEGIN PRIVATE KEY-----\nc3dvcmRmaXNo\n-----END PRIVATE KEY-----\n'
    expect(tlsFault({ cert: NO_CERTIFICATE, key: one.key })).toMatch(
      /^the certificate or its key cannot be read/,
    )
    expect(tlsFault({ cert: one.cert, key })).toMatch(/^the certificate or its key cannot be read/)
    expect(tlsFault({ cert: one.cert, key })).not.toMatch(/c3dvcmRmaXNo|swordfish/)
    expect(tlsFault({ ca: NO_CERTIFICATE })).toMatch(/^the certificate of the authority cannot be read/)
  })
})
