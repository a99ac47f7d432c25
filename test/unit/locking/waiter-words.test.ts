import { expect, it } from 'vitest'
import { z } from 'zod'
import type { IncarnationId, Revision } from '../../../gateway/core/names.ts'
import { upgradeKeyValue, waiterKeyValue, waiterWords } from '../../../gateway/locking/waiter-words.ts'
import fc from '../../support/fast-check.ts'

const NOTHING = { note: null, replaces: null, at: null }

const schema = z.looseObject({
  note: z.string().optional(),
  replaces: z.int().min(1).optional(),
  at: z.string().min(1).optional(),
})

function bySchema(json: unknown): unknown {
  const { data } = schema.safeParse(json)
  return data === undefined
    ? NOTHING
    : { note: data.note ?? null, replaces: data.replaces ?? null, at: data.at ?? null }
}

const odd = fc.oneof(
  fc.jsonValue(),
  fc.string(),
  fc.integer(),
  fc.constantFrom<unknown>(0, 1, -1, 0.5, 2 ** 53, 2 ** 53 - 1, '', null, [], {}),
)

it('says what a schema would say, whatever the value holds', () => {
  const words = fc.record({ note: odd, replaces: odd, at: odd, request: odd }, { requiredKeys: [] })
  fc.assert(
    fc.property(fc.oneof(words, fc.jsonValue()), (json) => {
      expect(waiterWords(JSON.stringify(json))).toEqual(bySchema(JSON.parse(JSON.stringify(json))))
    }),
    { numRuns: 2_000 },
  )
})

it('is nothing where the value is no JSON, as foreign clients write it', () => {
  for (const value of ['', ' ', 'x', '{', '\u0000', '{"note":'])
    expect(waiterWords(value), JSON.stringify(value)).toEqual(NOTHING)
})

it('reads what this version writes', () => {
  const at = 'g1' as IncarnationId
  expect(waiterWords(waiterKeyValue('why', 'r1', at))).toEqual({ ...NOTHING, note: 'why', at })
  expect(waiterWords(waiterKeyValue(null, 'r1', at))).toEqual({ ...NOTHING, at })
  expect(waiterWords(upgradeKeyValue(7 as Revision, 'r1', at))).toEqual({ ...NOTHING, replaces: 7, at })
})
