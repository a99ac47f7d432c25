import { afterEach, beforeEach, expect, it } from 'vitest'
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
