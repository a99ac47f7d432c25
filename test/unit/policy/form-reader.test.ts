import { describe, expect, it } from 'vitest'
import { FORM_MEMBERS_MAX, readForm } from '../../../gateway/policy/form-reader.ts'
import fc from '../../support/fast-check.ts'

const read = (text: string) => readForm(Buffer.from(text))

describe('readForm', () => {
  it('reads what URLSearchParams writes', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((one) => !one.includes('\0'))
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 8 }), (members) => {
        const written = new URLSearchParams(members).toString()
        const reading = read(written)
        const names = [...new Set(members.map(([name]) => name))]
        expect(reading.ok && [...reading.members]).toEqual(
          names.map((name) => [name, new URLSearchParams(written).getAll(name)]),
        )
      }),
    )
  })

  it('keeps each of several values, and takes an empty body for a form without members', () => {
    const reading = read('a=1&b=&a=2&c')
    expect(reading.ok && [...reading.members]).toEqual([
      ['a', ['1', '2']],
      ['b', ['']],
      ['c', ['']],
    ])
    expect(read('')).toMatchObject({ ok: true })
  })

  it.each([
    ['a=1&&b=2', 'an empty member'],
    ['a=1&', 'nothing behind the last ampersand'],
    ['=1', 'no name'],
    ['a=1;b=2', 'a semicolon'],
    ['a=%zz', 'an escape that is none'],
    ['a=%c0%af', 'escapes that are no UTF-8'],
    ['a=%00', 'NUL'],
    ['a=1 b', 'a space'],
    ['a=1\r\nb=2', 'lines'],
    ['a=é', 'a character that must be escaped'],
    [`a=1${'&a=1'.repeat(FORM_MEMBERS_MAX)}`, 'more members than are taken'],
  ])('refuses %s: %s', (text) => {
    expect(read(text).ok).toBe(false)
  })

  it('takes any bytes without throwing', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readForm(Buffer.from(bytes))))
  })
})
