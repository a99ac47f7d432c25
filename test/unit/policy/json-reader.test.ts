import { describe, expect, it } from 'vitest'
import { isJsonArray, isJsonObject, type JsonValue, readJson } from '../../../gateway/policy/json-reader.ts'
import fc from '../../support/fast-check.ts'

function plain(value: JsonValue): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (isJsonArray(value)) return value.map(plain)
  if (isJsonObject(value)) return Object.fromEntries([...value].map(([key, member]) => [key, plain(member)]))
  return Number(value.digits)
}

describe('readJson', () => {
  it('reads what JSON.stringify writes as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const text = JSON.stringify(value)
        const reading = readJson(Buffer.from(text))
        // A key __proto__ is a key like others here; JSON.parse agrees, object literals in this test do not.
        fc.pre(!text.includes('__proto__') && !text.includes('\\u0000'))
        expect(reading.ok && plain(reading.value)).toEqual(JSON.parse(text))
      }),
    )
  })

  it('accepts nothing that JSON.parse refuses', () => {
    const unit = fc.constantFrom(...'{}[]:,"\\u0019ad8ef.-+Etrnlso \t\n/*\'\0'.split(''))
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 24 }), (parts) => {
        const text = parts.join('')
        if (readJson(Buffer.from(text)).ok) JSON.parse(text)
      }),
      { numRuns: 5000 },
    )
  })

  it('takes any bytes without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        readJson(Buffer.from(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['{"a":1,"a":2}', 'a key twice'],
    ['{"a":1,"\\u0061":2}', 'a key twice, once with an escape'],
    ['{"x":[{"y":{"a":1,"a":1}}]}', 'a key twice, deep inside'],
    ['{"a\\u0000b":1}', 'NUL in a key'],
    ['{"a":"\\ud800"}', 'half a surrogate pair'],
    ['{"a":"\\udc00\\ud800"}', 'a surrogate pair the wrong way round'],
    ['\ufeff{}', 'a byte order mark'],
    ['{} {}', 'two values'],
    ['{}x', 'something behind the value'],
    ['{"a":1,}', 'a comma too many'],
    ['{"a":01}', 'a leading zero'],
    ['{"a":+1}', 'a plus sign'],
    ['{"a":.5}', 'no digit before the point'],
    ['{"a":1.}', 'no digit behind the point'],
    ['{"a":NaN}', 'NaN'],
    ["{'a':1}", 'single quotes'],
    ['{"a":1 /* b */}', 'a comment'],
    ['{"a":"\n"}', 'a control character in a string'],
    ['{"a":"\\x41"}', 'an escape of JavaScript'],
    ['', 'nothing'],
    ['   ', 'only white space'],
    ['"a', 'a string that does not end'],
    [`${'['.repeat(100)}${']'.repeat(100)}`, 'too much nesting'],
  ])('refuses %s: %s', (text) => {
    expect(readJson(Buffer.from(text)).ok).toBe(false)
  })

  it('refuses bytes that are not UTF-8', () => {
    expect(readJson(Buffer.from([0x22, 0xc0, 0xaf, 0x22])).ok).toBe(false)
    expect(readJson(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])).ok).toBe(false)
    expect(readJson(Buffer.from('{"a":1}', 'utf16le')).ok).toBe(false)
  })

  it('keeps the digits of a number that no double can hold', () => {
    const reading = readJson(Buffer.from('12345678901234567890'))
    expect(reading.ok && reading.value).toEqual({ digits: '12345678901234567890' })
  })

  it('reads a body of a megabyte of nothing but nesting, keys or escapes in linear time', () => {
    const bodies = [
      '['.repeat(1 << 20),
      `[${'"\\u0041",'.repeat(1 << 17)}0]`,
      `{${Array.from({ length: 1 << 16 }, (_, i) => `"key${i}":0`).join(',')}}`,
    ]
    for (const body of bodies) {
      const start = process.cpuUsage()
      readJson(Buffer.from(body))
      expect(process.cpuUsage(start).user / 1000).toBeLessThan(2000)
    }
  })
})
