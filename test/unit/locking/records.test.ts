// An older reader and a newer writer: what is kept, what is refused.

import { describe, expect, it } from 'vitest'
import { moveGrants, sealGrants } from '../../../gateway/core/handover.ts'
import {
  FORMATS,
  fenceRecords,
  formatReadByAll,
  gatewayRecords,
  lockRecords,
  sessionRecords,
  UNREADABLE_GATEWAY,
  watermarks,
} from '../../../gateway/locking/records.ts'
import fc from '../../support/fast-check.ts'

const grant = { key: '/k', createRevision: 7, session: 'a1', mode: 'exclusive', openedAt: 't', state: 'open' }
const attempt = {
  level: 0,
  fencer: 'f',
  number: 1,
  startedAt: 't',
  endedAt: 't',
  outcome: 'failed',
  output: '',
}

/** One of each kind, as format 1 writes it. */
const KINDS = {
  lock: { codec: lockRecords, record: { lock: 'a/b', highWater: 7, grants: [grant] } },
  session: {
    codec: sessionRecords,
    record: { holder: { id: 'h' }, fenceInfo: {}, plan: null, targets: [], ttlMs: 5, openedAt: 't' },
  },
  gateway: {
    codec: gatewayRecords,
    record: {
      state: 'serving',
      quietMs: 5,
      name: 'g',
      startedAt: 't',
      formats: { reads: 2, writes: 2 },
    },
  },
  watermark: { codec: watermarks, record: { beat: 1, sealed: 2, open: [['a', 3, 'draining']] } },
  fence: {
    codec: fenceRecords,
    record: {
      id: 'a1',
      cause: 'expired',
      by: null,
      reason: null,
      holder: null,
      fenceInfo: {},
      plan: 'p',
      levels: [['f']],
      targets: [],
      createdAt: 't',
      progress: { state: 'running', level: 0, claim: { incarnation: 'i', lease: null } },
      attempts: [attempt],
      proofs: [],
    },
  },
} as const

const kinds = fc.constantFrom(...Object.values(KINDS))
/** Of a later format: keys that no format of today has, in any object of the record. */
const news = fc.dictionary(
  fc.stringMatching(/^x[a-z]{1,6}$/),
  fc
    .jsonValue()
    .filter((value) => JSON.stringify(value) === JSON.stringify(JSON.parse(JSON.stringify(value)))),
  { maxKeys: 3 },
)

function decorated(value: unknown, pieces: Iterator<Record<string, unknown>>): unknown {
  if (Array.isArray(value)) return value.map((item) => decorated(item, pieces))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([key, member]) => [key, decorated(member, pieces)])
  return { ...Object.fromEntries(members), ...pieces.next().value }
}

describe('records of a newer gateway', () => {
  it('are read where the writer says that they can be, and keep at every depth what is not known here', () => {
    fc.assert(
      fc.property(kinds, fc.infiniteStream(news), fc.integer({ min: 2, max: 9 }), (kind, pieces, version) => {
        const record = decorated(kind.record, pieces)
        if (typeof record !== 'object') throw new Error('no record')
        const read = kind.codec.decode(JSON.stringify({ ...record, version, readableFrom: 1 }))
        expect(read).not.toBeNull()
        const rewritten: unknown = JSON.parse(kind.codec.encode(read as never))
        expect(rewritten).toEqual(JSON.parse(JSON.stringify({ ...record, version: FORMATS.writes })))
      }),
    )
  })

  it.each([
    ['newer than what is understood', { version: 2 }],
    ['readable for newer gateways only', { version: 3, readableFrom: 2 }],
    ['of no version', { version: undefined }],
    ['of a version that is none', { version: 0 }],
    ['of a version between two', { version: 1.5 }],
  ])('are not read where they are %s', (_which, envelope) => {
    for (const { codec, record } of Object.values(KINDS)) {
      expect(codec.decode(JSON.stringify({ ...record, version: 1 }))).not.toBeNull()
      expect(codec.decode(JSON.stringify({ ...record, ...envelope }))).toBeNull()
    }
  })

  it('are not read where they use a word that is not known here, whatever they say of themselves', () => {
    const record = {
      ...KINDS.lock.record,
      grants: [{ ...grant, state: 'lent' }],
      version: 2,
      readableFrom: 1,
    }
    expect(lockRecords.decode(JSON.stringify(record))).toBeNull()
  })

  it('keep what is not known here through a seal and through a move', () => {
    const text = { lock: 'a/b', highWater: 7, grants: [{ ...grant, xhue: 1 }], xcolour: [2], version: 1 }
    const record = lockRecords.decode(JSON.stringify(text))
    const [open] = record?.grants ?? []
    if (record === null || open?.state !== 'open') throw new Error('not read')
    const sealed = sealGrants(record, [{ grant: open, cause: 'released' }], 't')
    expect(sealed).toMatchObject({ xcolour: [2], grants: [{ state: 'sealed', xhue: 1 }] })
    const waiter = { key: '/n', createRevision: 9, session: 'b2', mode: 'exclusive' } as never
    const [old] = sealed.grants
    if (old?.state !== 'sealed') throw new Error('not sealed')
    const move = { close: [old], open: [waiter], complete: [], settle: [] }
    expect(moveGrants(record.lock, sealed, move, 't')).toMatchObject({
      xcolour: [2],
      highWater: 9,
    })
  })
})

describe('the format that is written', () => {
  const reading = (reads: number) => ({ ...UNREADABLE_GATEWAY, formats: { reads, writes: reads } })

  it('is none that a registered gateway cannot read', () => {
    expect(formatReadByAll([])).toBe(FORMATS.writes)
    expect(formatReadByAll([reading(FORMATS.writes + 1)])).toBe(FORMATS.writes)
    expect(formatReadByAll([reading(9), reading(0), reading(4)])).toBe(0)
  })

  it('counts a registration that says nothing of it, or that cannot be read, as the first format', () => {
    const { formats: _, ...older } = KINDS.gateway.record
    expect(gatewayRecords.decode(JSON.stringify({ ...older, version: 1 }))?.formats.reads).toBe(1)
    expect(UNREADABLE_GATEWAY.formats.reads).toBe(1)
  })
})
