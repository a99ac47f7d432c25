// A session that ends with very many locks: the store is asked for a bounded number of things at once, and nobody else's lock
// waits for all of them.

import { afterEach, beforeEach, expect, it } from 'vitest'
import type { LockName } from '../../../gateway/core/names.ts'
import { STEPS_AT_ONCE_MAX } from '../../../gateway/locking/turns.ts'
import type { Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const LOCKS = 1_200
const NEVER = new AbortController().signal

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

/** Of how many locks it writes the record: steps that are due together are one request. */
function recordsIn({ writes }: Transaction): number {
  return writes.filter((write) =>
    ('put' in write ? write.put : write.delete).startsWith('/fencegate/lock-records/'),
  ).length
}

it('has its locks sealed a bounded number at a time, with others between them', async () => {
  const { plane } = room.locking
  const large = await room.openSession(30_000)
  for (let i = 0; i < LOCKS; i++)
    await plane.acquire(
      { lock: `bulk/${i}` as LockName, session: large, mode: 'exclusive', waitMs: 0, note: null },
      NEVER,
    )
  const other = await room.openSession(600_000)

  // From here on the store keeps its answers to itself until it is told to give them, oldest first.
  const held: { readonly go: () => void; readonly records: number }[] = []
  const underWay = () => held.reduce((sum, { records }) => sum + records, 0)
  let mostAtOnce = 0
  let most = 0
  let sealed = 0
  room.far.hold = (transaction) => {
    const records = recordsIn(transaction)
    if (records === 0) return Promise.resolve()
    sealed += records
    most = Math.max(most, records)
    return new Promise((go) => {
      held.push({ go, records })
      mostAtOnce = Math.max(mostAtOnce, underWay())
    })
  }
  const answer = (count: number) => {
    for (const { go } of held.splice(0, count)) go()
  }
  await room.clock.advance(31_000)
  // The first seal carries the fence record, for which the others wait.
  await expect.poll(() => held.length).toBe(1)
  answer(1)
  await expect
    .poll(async () => {
      await room.clock.advance(1)
      return underWay()
    })
    .toBe(STEPS_AT_ONCE_MAX)
  await room.clock.advance(1)
  expect(underWay()).toBe(STEPS_AT_ONCE_MAX)
  expect(most).toBeGreaterThan(50)

  const taking = room.take(other, 60_000)
  await expect.poll(() => plane.lock(VOLUME).waiters.length).toBe(1)
  const before = sealed
  answer(1)
  // Turn by turn: one of the free places is his, though nearly a thousand have waited for longer.
  await expect
    .poll(async () => {
      answer(1)
      await room.clock.advance(0)
      return plane.lock(VOLUME).phase
    })
    .toBe('open')
  expect(await taking).toMatch(/^\d+$/)
  expect(sealed - before).toBeLessThan(LOCKS / 2)

  await expect
    .poll(
      async () => {
        answer(Number.POSITIVE_INFINITY)
        await room.clock.advance(1)
        return plane
          .locks('bulk/', { limit: LOCKS + 1, after: null })
          .items.filter(({ phase }) => phase === 'open').length
      },
      { timeout: 20_000 },
    )
    .toBe(0)
  expect(mostAtOnce).toBe(STEPS_AT_ONCE_MAX)
}, 60_000)
