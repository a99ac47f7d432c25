// The reader that goes without a schema says what the schema says, or nothing.

import { describe, expect, it } from 'vitest'
import { plainLockRecord, plainWatermark } from '../../../gateway/locking/plain-record.ts'
import { lockRecords, watermarks } from '../../../gateway/locking/records.ts'
import fc from '../../support/fast-check.ts'

const revision = fc.integer({ min: 1, max: 2 ** 40 })
const base = {
  key: fc.string(),
  createRevision: revision,
  session: fc.stringMatching(/^[1-9a-f][0-9a-f]{0,15}$/),
  mode: fc.constantFrom('exclusive', 'shared'),
  openedAt: fc.string(),
}
const open = fc.record({ state: fc.constant('open'), ...base })
const sealed = fc.record(
  {
    state: fc.constant('sealed'),
    ...base,
    cause: fc.constantFrom('released', 'expired', 'revoked', 'upgraded'),
    sealedAt: fc.string(),
    fence: fc.option(fc.string()),
    drainedAt: fc.array(fc.string({ minLength: 1 })),
  },
  { requiredKeys: ['state', ...(Object.keys(base) as (keyof typeof base)[]), 'cause', 'sealedAt', 'fence'] },
)
const record = fc.record({
  version: fc.constant(1),
  lock: fc.constantFrom('a', 'cinder/volume/1', 'ä/ö'),
  highWater: fc.integer({ min: 0, max: 2 ** 40 }),
  grants: fc.array(fc.oneof(open, sealed), { maxLength: 3 }),
})
/** What stands in for a part of a sound record: of another type, out of bounds, unknown. */
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(0, -1, 0.5, 2 ** 60, '', 'lent', null, [], {}, '/a', 'a//b', ['']),
)

/** Without a way past the schema. */
function bySchema(json: unknown, records: { decode(text: string): unknown } = lockRecords): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return null
  // A field that is not known keeps the plain reader off, and is taken away again.
  const read: unknown = records.decode(JSON.stringify({ ...json, xunknown: 1 }))
  if (typeof read !== 'object' || read === null) return null
  const { xunknown: _, ...rest } = { xunknown: 1, ...read }
  return rest
}

/** The record with one of its fields, at any depth, taken away, added, or made into something else. */
function changed(value: unknown, path: readonly number[], piece: unknown): unknown {
  const [step = 0, ...deeper] = path
  if (typeof value !== 'object' || value === null || path.length === 0) return piece
  const entries = Object.entries(value)
  const at = step % (entries.length + 2)
  const [key, member] = entries[at] ?? [at === entries.length ? 'xnew' : '__proto__', null]
  if (Array.isArray(value))
    return value.map((item, index) => (index === at ? changed(item, deeper, piece) : item))
  if (step % 7 === 0) return Object.fromEntries(entries.filter(([name]) => name !== key))
  return Object.fromEntries([...entries, [key, changed(member, deeper, piece)]])
}

describe('a lock record that is read without a schema', () => {
  it('is every one that this version writes of open and sealed grants, and the same as by the schema', () => {
    fc.assert(
      fc.property(record, (json) => {
        const plain = plainLockRecord(JSON.parse(JSON.stringify(json)), 1)
        expect(plain).not.toBeNull()
        expect(plain).toEqual(bySchema(json))
      }),
    )
  })

  it('is the same as by the schema, or none, whatever is changed in it', () => {
    fc.assert(
      fc.property(record, fc.array(fc.nat(30), { minLength: 1, maxLength: 4 }), odd, (sound, path, piece) => {
        const json: unknown = JSON.parse(JSON.stringify(changed(sound, path, piece)))
        const plain = plainLockRecord(json, 1)
        if (plain !== null) expect(plain).toEqual(bySchema(json))
      }),
      { numRuns: 2_000 },
    )
  })

  it('is none of another version', () => {
    const json = { version: 2, lock: 'a', highWater: 0, grants: [] }
    expect(plainLockRecord(json, 1)).toBeNull()
    expect(plainLockRecord({ ...json, version: 1 }, 1)).not.toBeNull()
  })
})

describe('a watermark that is read without a schema', () => {
  const count = fc.integer({ min: 0, max: 2 ** 40 })
  const watermark = fc.record({
    version: fc.constant(1),
    beat: count,
    sealed: count,
    open: fc.constant<unknown[]>([]),
  })

  it('is every one of a gateway that has nothing open, and the same as by the schema', () => {
    fc.assert(
      fc.property(watermark, (json) => {
        const plain = plainWatermark(json, 1)
        expect(plain).not.toBeNull()
        expect(plain).toEqual(bySchema(json, watermarks))
      }),
    )
  })

  it('is the same as by the schema, or none, whatever is changed in it', () => {
    const path = fc.array(fc.nat(30), { minLength: 1, maxLength: 3 })
    const entry = fc.constantFrom<unknown>(['l', 7, 'draining'], ['l', 7, 'gone'], 'l')
    fc.assert(
      fc.property(watermark, fc.array(entry, { maxLength: 2 }), path, odd, (sound, open, steps, piece) => {
        for (const from of [sound, { ...sound, open }, { ...sound, more: true }]) {
          const json: unknown = JSON.parse(JSON.stringify(changed(from, steps, piece)))
          const plain = plainWatermark(json, 1)
          if (plain !== null) expect(plain).toEqual(bySchema(json, watermarks))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('never says of one that has more to say that there is nothing', () => {
    for (const more of [
      { open: [['l', 7, 'draining']] },
      { more: true },
      { tokens: { draining: [7], unknown: [] } },
    ])
      expect(plainWatermark({ version: 1, beat: 0, sealed: 9, open: [], ...more }, 1)).toBeNull()
  })
})
