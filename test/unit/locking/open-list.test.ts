// The open calls that a watermark names: bounded, and never less than there are.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LockName } from '../../../gateway/core/names.ts'
import { type OpenEntry, OpenIndex, openList } from '../../../gateway/locking/open-list.ts'
import { watermarks } from '../../../gateway/locking/records.ts'
import type { LedgerEntry } from '../../../gateway/spi/gate.ts'
import { TRANSACTION_BYTES_MAX } from '../../../gateway/store/check-transaction.ts'
import fc from '../../support/fast-check.ts'
import { openRoom, type TestRoom } from './room.ts'

const NEVER = new AbortController().signal
/** The longest name that there is, and the largest token. */
const LONGEST = '\\'.repeat(1024)
const LARGEST = 2 ** 53 - 1

describe('the open calls that a watermark names', () => {
  it.each([0, 1, 128, 129, 5_000, 40_128, 40_129, 200_000])(
    'fit into one write where they are %i',
    (count) => {
      const entries = Array.from(
        { length: count },
        (_, i): OpenEntry => [LONGEST, LARGEST - i, i % 2 === 0 ? 'draining' : 'unknown'],
      )
      const text = watermarks.encode({ beat: LARGEST, sealed: LARGEST, ...openList(entries) })
      expect(Buffer.byteLength(text)).toBeLessThan(TRANSACTION_BYTES_MAX - 1_000)
      const read = watermarks.decode(text)
      if (read === null) throw new Error('not read')
      const index = new OpenIndex(read)
      for (const [name, createRevision, how] of entries)
        expect(['draining', how]).toContain(index.how({ name, createRevision }))
      // What is not open counts as open only where there was no room to say what is.
      expect(index.how({ name: 'a', createRevision: 1 })).toBe(count > 40_128 ? 'draining' : null)
    },
  )

  it('are each what they were, and none beside them', () => {
    const tokens = fc.uniqueArray(fc.integer({ min: 1, max: 5_000 }), { maxLength: 1_000 })
    fc.assert(
      fc.property(tokens, fc.integer({ min: 1, max: 5_000 }), (open, other) => {
        const how = (token: number) => (token % 3 === 0 ? 'unknown' : 'draining')
        const index = new OpenIndex(
          openList(open.map((token): OpenEntry => [`l${token}`, token, how(token)])),
        )
        for (const token of open)
          expect(index.how({ name: `l${token}`, createRevision: token })).toBe(how(token))
        if (!open.includes(other)) expect(index.how({ name: `l${other}`, createRevision: other })).toBeNull()
      }),
      { numRuns: 50 },
    )
  })
})

describe('a gateway with calls under very many sealed grants', () => {
  const LOCKS = 200
  let rooms: readonly [TestRoom, TestRoom]

  beforeEach(async () => {
    const first = await openRoom({ shared: true })
    rooms = [first, await openRoom({ shared: true, beside: first, name: 'gateway-2' })]
  })
  afterEach(async () => {
    for (const room of rooms.toReversed()) {
      await room.locking.close(0)
      await room.close()
    }
  })

  it('holds up each of them until its own calls have ended', async () => {
    const [first, second] = rooms
    const session = await second.openSession(600_000)
    const names = Array.from({ length: LOCKS }, (_, i) => `bulk/${i}` as LockName)
    const entries: LedgerEntry[] = []
    for (const lock of names) {
      const asked = { lock, session, mode: 'exclusive', waitMs: 0, note: null } as const
      const result = await second.locking.plane.acquire(asked, NEVER)
      if (result.kind !== 'granted') throw new Error('not granted')
      await first.clock.advance(1)
      const call = {
        backend: 'cinder',
        method: 'POST',
        target: '/',
        rule: 'any',
        locks: [{ name: lock, mode: 'exclusive' }],
        tokens: [{ lock: null, token: Number(result.grant.token), signature: null }],
        waitMs: 0,
        quietMs: 20_000,
      } as const
      const admitted = first.locking.gate.admit(call, null)
      if (admitted instanceof Promise || admitted.kind !== 'admitted') throw new Error('not admitted')
      entries.push(admitted.entry)
    }
    for (const lock of names) await second.locking.plane.release(lock, session)
    const held = async () => {
      for (let turn = 0; turn < 30; turn++) await first.clock.advance(10)
      return names.filter((lock) => second.locking.plane.lock(lock).phase === 'handover').length
    }
    expect(await held()).toBe(LOCKS)
    for (const at of [LOCKS - 1, 0, 150]) entries[at]?.ended()
    expect(await held()).toBe(LOCKS - 3)
    for (const entry of entries) entry.ended()
    expect(await held()).toBe(0)
  })
})
