import { afterEach, beforeEach, expect, it } from 'vitest'
import { FORMATS, gatewayRecords, watermarks } from '../../../gateway/locking/records.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

it('does not have every fence looked at again whenever a lock moves', async () => {
  const session = await room.openSession()
  let changes = 0
  room.locking.journal.onChange(() => changes++)
  await room.take(session)
  await room.locking.plane.release(VOLUME, session)
  await room.clock.advance(0)
  expect(changes).toBe(0)
  await room.locking.plane.fenceSession(session, { by: 'me', reason: 'it hangs', plan: null })
  expect(changes).toBeGreaterThan(0)
})

it('names the locks for which a fence still counts, until each has moved on', async () => {
  const session = await room.openSession()
  const call = room.admit(await room.take(session), 'exclusive')
  const { journal, plane } = room.locking
  const { id } = await plane.fenceSession(session, { by: 'me', reason: 'it hangs', plan: null })
  await plane.confirmFence(id, { by: 'me', reason: 'it is off' })
  await room.clock.advance(100)
  expect(journal.get(id)?.record.progress.state).toBe('closed')
  expect(journal.pendingLocks?.(id)).toEqual([VOLUME])
  call.ended()
  await expect
    .poll(async () => {
      await room.clock.advance(10)
      return journal.pendingLocks?.(id)
    })
    .toEqual([])
})

it('says of a gateway that came later no more than it has applied', async () => {
  await room.close()
  room = await openRoom({ shared: true })
  const { store, locking } = room
  const session = await room.openSession()
  await room.take(session)
  await locking.plane.fenceSession(session, { by: 'me', reason: 'it hangs', plan: null })
  await room.clock.advance(3_000)
  const { lease } = await store.grantLease(60_000)
  const record = { state: 'serving', quietMs: 0, name: 'late', startedAt: '', formats: FORMATS } as const
  const watermark = { beat: 0, sealed: 0, open: [] }
  const joined = await store.transact({
    compare: [],
    writes: [
      { put: '/fencegate/gateways/late', value: gatewayRecords.encode(record) },
      { put: '/fencegate/watermarks/late', value: watermarks.encode(watermark), lease },
    ],
  })
  // What happens from here on it has not seen: a lock whose record this gateway cannot read may be sealed by then.
  await room.clock.advance(10_000)
  const revision = await locking.journal.sealedEverywhere(session, new AbortController().signal)
  expect(revision).toBe(joined.revision)
})
