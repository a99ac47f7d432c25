import { describe, expect, test } from 'vitest'
import { NameTable } from '../../../gateway/policy/name-table.ts'
import fc from '../../support/fast-check.ts'

describe('a table of names', () => {
  test('finds what was added to it and nothing else, wherever it stands among other bytes', () => {
    // Few letters, so that many look alike.
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '-'), minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 200 }), fc.array(name), (names, asked) => {
        const table = new NameTable<number>()
        expect(table.isEmpty).toBe(true)
        const map = new Map<string, number>()
        for (const [index, one] of names.entries()) {
          table.add(one, index)
          map.set(one, index)
        }
        expect(table.isEmpty).toBe(names.length === 0)
        for (const one of [...names, ...asked]) {
          expect(table.get(one)).toBe(map.get(one))
          expect(table.find(Buffer.from(`ab${one}c`), 2, 2 + one.length)).toBe(map.get(one))
        }
      }),
    )
  })
})
