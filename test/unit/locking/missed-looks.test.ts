import { afterEach, describe, expect, it } from 'vitest'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom | null = null

afterEach(async () => {
  await room?.locking.close(0)
  await room?.close()
  room = null
})

/** Nothing can be read for so long, and so no watch begins. */
function nothingIsRead({ far }: TestRoom): () => void {
  const refuse = () => {
    far.nextRead = refuse
    return Promise.reject(new StoreUnavailable('no leader'))
  }
  far.nextRead = refuse
  return () => {
    far.nextRead = null
  }
}

describe('a step that was due while the view was not whole', () => {
  it('is taken once it is again, though nothing about its lock has changed meanwhile', async () => {
    room = await openRoom({ shared: true })
    const session = await room.openSession()
    const { far, clock } = room
    // The first step of the lock is lost with the store, and with it the watch.
    far.loss = ({ writes }) =>
      writes.some((write) => 'put' in write && write.put.includes('/lock-records/')) ? 'request' : null
    const acquired = room.acquire(session, 60_000)
    while (room.locking.plane.lock(VOLUME).waiters.length === 0) await clock.advance(1)
    await clock.advance(10)
    const end = nothingIsRead(room)
    far.breakWatches()
    await clock.advance(1_000)
    far.loss = () => null
    end()
    await clock.advance(5_000)
    expect(room.locking.plane.lock(VOLUME).owners).toHaveLength(1)
    expect((await acquired).kind).toBe('granted')
  })
})
