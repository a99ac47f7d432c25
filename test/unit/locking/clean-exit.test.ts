// What a gateway that ends says of what it had open: "nothing", or no word at all.

import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom
let session: SessionId
let token: string

beforeEach(async () => {
  room = await openRoom({ shared: true })
  session = await room.openSession(600_000)
  token = await room.take(session)
})
afterEach(async () => {
  await room.close()
})

async function records(): Promise<number> {
  return (await room.store.read('/fencegate/gateways/')).items.length
}

/** In which the calls that are still answered may end. */
async function close(waitMs = 1_000): Promise<void> {
  const closing = room.locking.close(waitMs)
  await room.clock.advance(waitMs)
  await closing
}

it('is a clean exit once what ran has ended', async () => {
  const entry = room.admit(token, 'exclusive')
  room.clock.after(500, () => entry.ended())
  await close()
  expect(await records()).toBe(0)
})

it('is none with a call open that was not answered', async () => {
  room.admit(token, 'exclusive')
  await close()
  expect(await records()).toBe(1)
})

it('is none with a call of unknown fate, while nothing stands for its end', async () => {
  room.admit(token, 'exclusive').unknown('the answer was lost')
  await room.clock.advance(18_000)
  await close()
  expect(await records()).toBe(1)
})

it('is a clean exit again once the quiet time stands for the calls of unknown fate, as a handover would have it', async () => {
  room.admit(token, 'exclusive').unknown('the answer was lost')
  await room.clock.advance(5_000)
  room.admit(token, 'exclusive').unknown('so was this one')
  await room.clock.advance(20_000)
  await close()
  expect(await records()).toBe(0)
})

it('leaves the others to wait the quiet time where it was none', async () => {
  const beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
  room.admit(token, 'exclusive')
  await close()
  await beside.locking.plane.release(VOLUME, session)
  await room.clock.advance(20_000)
  expect(beside.locking.plane.lock(VOLUME).phase).toBe('handover')
  await room.clock.advance(3_000)
  expect(beside.locking.plane.lock(VOLUME).phase).toBe('free')
  expect(gone(beside)).toEqual([expect.stringMatching(/^gateway gateway-1 .* its quiet time of 20 s is$/)])
  await beside.locking.close(0)
  await beside.close()
})

it('is told by nobody where it was one', async () => {
  const beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
  await close()
  await room.clock.advance(30_000)
  expect(gone(beside)).toEqual([])
  await beside.locking.close(0)
  await beside.close()
})

function gone({ told }: TestRoom) {
  return told.filter(({ type }) => type === 'gateway.gone').map(({ detail }) => detail)
}
