import { describe, expect, test } from 'vitest'
import { LiteralTable } from '../../../gateway/policy/literal-table.ts'
import fc from '../../support/fast-check.ts'

describe('a table of literals', () => {
  test('knows what was added to it and nothing else, as a Map does', () => {
    // Few letters, so that many look alike.
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é'), maxLength: 8 })
    fc.assert(
      fc.property(fc.uniqueArray(word, { maxLength: 400 }), fc.array(word), (texts, asked) => {
        const table = new LiteralTable<number>()
        const map = new Map<string, number>()
        for (const [index, text] of texts.entries()) {
          table.add(text, index)
          map.set(text, index)
        }
        for (const text of [...texts, ...asked]) expect(table.get(text)).toBe(map.get(text))
      }),
    )
  })

  test('finds each of many that look alike', () => {
    const table = new LiteralTable<number>()
    for (let i = 0; i < 10_000; i++) table.add(`a${i}b${i}c`, i)
    for (let i = 0; i < 10_000; i++) expect(table.get(`a${i}b${i}c`)).toBe(i)
    expect(table.get('a10000b10000c')).toBeUndefined()
  })
})
