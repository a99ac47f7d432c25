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
