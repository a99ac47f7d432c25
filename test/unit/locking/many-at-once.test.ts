// More at once than one transaction of etcd takes, and more than one request of it.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const READERS = 150

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

describe('a lock of many readers', () => {
  it('is opened to all of them after a writer, and sealed for all of them when they expire together', async () => {
    const writer = await room.openSession()
    await room.take(writer)
    const sessions = await Promise.all(Array.from({ length: READERS }, () => room.openSession(30_000)))
    const taking = sessions.map((session) => room.take(session, 60_000, 'shared'))
    await expect.poll(() => room.locking.plane.lock(VOLUME).waiters.length).toBe(READERS)
    await room.locking.plane.release(VOLUME, writer)
    expect(new Set(await Promise.all(taking)).size).toBe(READERS)
    await room.clock.advance(31_000)
    await expect
      .poll(() => room.locking.plane.lock(VOLUME).owners.filter(({ cause }) => cause === 'expired').length)
      .toBe(READERS)
  })
})
