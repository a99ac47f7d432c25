import { describe, expect, test } from 'vitest'
import { LineCuts } from '../../../../gateway/proxy/wire/line-cuts.ts'
import fc from '../../../support/fast-check.ts'

describe('cuts in a head', () => {
  test('leave what nobody cut, whatever their order, and however often a line was cut', () => {
    const cuts = new LineCuts()
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), {
          maxLength: 12,
        }),
        fc.array(fc.nat({ max: 11 }), { maxLength: 16 }),
        fc.string({ maxLength: 3 }),
        (lines, cut, behind) => {
          cuts.clear()
          const startOf = (line: number): number => lines.slice(0, line).join('').length
          for (const line of cut) if (line < lines.length) cuts.add(startOf(line) + 1, startOf(line + 1) + 1)
          const text = `|${lines.join('')}${behind}`
          expect(cuts.rest(text, 1, startOf(lines.length) + 1)).toBe(
            lines.filter((_, line) => !cut.includes(line)).join(''),
          )
        },
      ),
    )
  })
})
