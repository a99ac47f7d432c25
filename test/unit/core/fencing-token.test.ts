// What a Fencing-Token field can say, and that nothing else is taken for a token.

import { describe, expect, test } from 'vitest'
import { type ParsedToken, parseFencingToken } from '../../../gateway/core/fencing-token.ts'
import { asLockName } from '../../../gateway/core/names.ts'
import fc from '../../support/fast-check.ts'

function serialize(tokens: readonly ParsedToken[]): string {
  return tokens
    .map(({ lock, token, signature }) => {
      const signed = signature === null ? '' : `;s=:${Buffer.from(signature).toString('base64')}:`
      return lock === null ? `${token}${signed}` : `${serializeName(lock)};t=${token}${signed}`
    })
    .join(', ')
}

function serializeName(name: string): string {
  if (/^[\x20-\x7e]*$/.test(name)) return `"${name.replace(/[\\"]/g, '\\$&')}"`
  let text = ''
  for (const byte of Buffer.from(name, 'utf8'))
    text +=
      byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x25
        ? `%${byte.toString(16).padStart(2, '0')}`
        : String.fromCharCode(byte)
  return `%"${text}"`
}

const token = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const signature = fc.option(fc.uint8Array({ minLength: 1, maxLength: 64 }), { nil: null })
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((text) => asLockName(text))
  .filter((lock) => lock !== null)
const members = fc
  .array(fc.record({ lock: fc.option(name, { nil: null }), token, signature }), {
    minLength: 1,
    maxLength: 20,
  })
  .filter((list) => {
    const named = list.flatMap((member) => (member.lock === null ? [] : [member.lock]))
    return new Set(named).size === named.length
  })

describe('the Fencing-Token field', () => {
  test('what is written in the canonical way is read back unchanged', () => {
    fc.assert(
      fc.property(members, (list) => {
        const text = serialize(list)
        fc.pre(text.length <= 8192)
        expect(parseFencingToken(text)).toEqual({ kind: 'tokens', tokens: list })
      }),
      { numRuns: 500 },
    )
  })

  test('any text gets an answer, and what is read is within the bounds', () => {
    const alphabet = fc.constantFrom(...'0123456789";:=,%ts \\ab/-+.\t()?@é'.split(''))
    const texts = fc.oneof(fc.string(), fc.string({ unit: alphabet }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseFencingToken(text)
        if (parsed.kind === 'bad') return
        expect(parsed.tokens.length).toBeGreaterThan(0)
        for (const member of parsed.tokens) {
          expect(Number.isSafeInteger(member.token)).toBe(true)
          expect(member.token).toBeGreaterThan(0)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    '812',
    '9007199254740991',
    '812;s=:AAEC:',
    '812; s=:AAEC:',
    '"cinder/volume/5aa1";t=812, "cinder/backend/ssd";t=790',
    '"a";t=1,"b";t=2',
    '"a";t=1 \t,\t "b";t=2',
    '"a\\"b\\\\c";t=1',
    '%"l%c3%b6ck";t=1',
    '"a";s=:AAEC:;t=1',
    '  812 ',
  ])('takes %s', (text) => {
    expect(parseFencingToken(text).kind).toBe('tokens')
  })

  test.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['0', 'zero'],
    ['-1', 'expected a token'],
    ['+1', 'expected a token'],
    ['007', 'leading zero'],
    ['00000000000000000001', '2^53'],
    ['9007199254740992', '2^53'],
    ['99999999999999999999', '2^53'],
    ['8.0', 'expected ","'],
    ['1e3', 'expected ","'],
    ['0x10', 'leading zero'],
    ['1 2', 'expected ","'],
    ['1,', 'comma'],
    [',1', 'expected a token'],
    ['1,,2', 'expected a token'],
    ['(1 2)', 'expected a token'],
    ['?1', 'expected a token'],
    ['abc', 'expected a token'],
    ['"a"', 'parameter t'],
    ['"a";t', 'parameter'],
    ['"a";t=', 'expected a token'],
    ['"a";t=0', 'zero'],
    ['"a";t=1;t=2', 'repeated parameter'],
    ['"a";t=1;u=2', 'unknown'],
    ['"a" ;t=1', 'parameter t'],
    ['"a";t=1, "a";t=2', 'twice'],
    ['"a;t=1', 'no end'],
    ['"a\\x";t=1', 'escapes'],
    ['"lö";t=1', 'ASCII'],
    ['"";t=1', 'empty'],
    ['"/a";t=1', 'slashes'],
    ['%"%C3";t=1', 'hex'],
    ['%"%c3";t=1', 'UTF-8'],
    ['%a', 'display string'],
    ['1;t=2', 'no parameter t'],
    ['1;s=AAEC', 'BASE64'],
    ['1;s=:AAE:', 'canonical'],
    ['1;s=:AA-C:', 'canonical'],
    ['1;s=::', 'canonical'],
    ['1;s=:AAEC:;s=:AAEC:', 'repeated'],
    ['１', 'expected a token'],
    ['1\u00a0', 'expected ","'],
  ])('refuses %j: %s', (text, reason) => {
    const parsed = parseFencingToken(text)
    expect(parsed.kind === 'bad' ? parsed.reason : 'taken').toContain(reason)
  })

  test('a field or a list that is too long is refused', () => {
    expect(parseFencingToken(Array.from({ length: 64 }, () => '1').join(',')).kind).toBe('tokens')
    expect(parseFencingToken(Array.from({ length: 65 }, () => '1').join(',')).kind).toBe('bad')
    expect(parseFencingToken(`1${' '.repeat(8192)}`).kind).toBe('bad')
    expect(parseFencingToken(`1;s=:${Buffer.alloc(257).toString('base64')}:`).kind).toBe('bad')
  })
})
