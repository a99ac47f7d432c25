// A fence of which the record has been damaged: what it was to do, and what it had proven, is lost.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fenceStateWord } from '../../../gateway/core/fence-record.ts'
import type { SessionId } from '../../../gateway/core/names.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const WORD = { by: 'ann', reason: 'I pulled its plug' }

let room: TestRoom
let session: SessionId
let fence: string

beforeEach(async () => {
  room = await openRoom({ shared: true })
  session = await room.openSession(1_000)
  fence = `/fencegate/fences/${session}`
  await room.take(session)
})
afterEach(async () => {
  await room.locking.close(0)
  await room.close()
})

const info = () => room.locking.plane.lock(VOLUME)

async function write(value: string | null): Promise<void> {
  await room.store.transact({
    compare: [],
    writes: [value === null ? { delete: fence } : { put: fence, value }],
  })
  await room.clock.advance(100)
}

async function expire(): Promise<void> {
  await room.clock.advance(3_000)
  expect(room.locking.plane.fence(session)).toMatchObject({ progress: { state: 'due' } })
}

async function isTaken(): Promise<boolean> {
  return (await room.acquire(await room.openSession(60_000), 0)).kind === 'granted'
}

describe('a fence whose record', () => {
  it.each([
    ['cannot be read', '{"version":1,"id":"?"}'],
    ['is no JSON', 'oops'],
    ['is gone', null],
  ])('%s keeps its lock closed, is shown, and goes by an operator’s word alone', async (_, value) => {
    await expire()
    await write(value)
    expect(info()).toMatchObject({ phase: 'blocked', waitingOn: [expect.stringContaining('confirm')] })
    const shown = room.locking.plane.fence(session)
    expect(shown).toMatchObject({
      holder: { id: 'cinder-volume-1' },
      fenceInfo: { pid: 7 },
      levels: [],
      proofs: [],
      progress: { state: 'blocked', reason: expect.stringContaining(fence) },
    })
    // Nobody strikes by a record that nobody can read, and time does not close it.
    expect(room.locking.journal.get(session)).toBeNull()
    await expect(room.locking.plane.retryFence(session)).rejects.toMatchObject({ code: 'fence-state' })
    await room.clock.advance(60_000)
    expect(await isTaken()).toBe(false)

    expect(await room.locking.plane.confirmFence(session, WORD)).toMatchObject({
      progress: { state: 'closed', outcome: 'confirmed', ...WORD },
    })
    expect(room.told).toContainEqual(
      expect.objectContaining({ type: 'fence.closed', fence: session, verdict: 'confirmed' }),
    )
    await room.clock.advance(100)
    expect(await isTaken()).toBe(true)
  })

  it('cannot be read is listed among the blocked ones, and among the closed ones once it is confirmed', async () => {
    await expire()
    await write('oops')
    const listed = () =>
      room.locking.plane
        .fences({ limit: 10, after: null })
        .items.map(({ id, progress }) => [id, fenceStateWord(progress)])
    expect(listed()).toEqual([[session, 'blocked']])
    await room.locking.plane.confirmFence(session, WORD)
    expect(listed()).toEqual([[session, 'closed']])
  })

  it('cannot be read has proven nothing: the word that closes it does not stand for calls of unknown fate', async () => {
    const token = info().owners[0]?.token ?? ''
    room.admit(token, 'exclusive').unknown('the answer was lost')
    await expire()
    await write('oops')
    await room.locking.plane.confirmFence(session, WORD)
    await room.clock.advance(100)
    expect(info()).toMatchObject({ phase: 'handover', unknown: [{ token, calls: 1 }] })
    await room.clock.advance(20_000)
    expect(info().phase).toBe('free')
  })

  it('was written by a newer version is left alone, whatever the word', async () => {
    await expire()
    const value = '{"version":2,"everything":"else"}'
    await write(value)
    expect(info()).toMatchObject({ waitingOn: [expect.stringContaining('newer version')] })
    await expect(room.locking.plane.confirmFence(session, WORD)).rejects.toMatchObject({
      code: 'fence-state',
      message: expect.stringContaining('newer version'),
    })
    expect((await room.store.read(fence)).items).toMatchObject([{ value }])
  })

  it('nobody knows of, and no lock waits for, cannot be confirmed', async () => {
    await expect(room.locking.plane.confirmFence(session, WORD)).rejects.toMatchObject({
      code: 'fence-unknown',
    })
    expect(room.locking.plane.fence(session)).toBeNull()
  })

  it('is mended while the word is given stands as it is then', async () => {
    await expire()
    const before = (await room.store.read(fence)).items[0]?.value ?? ''
    await write('oops')
    let mending: Promise<unknown> | null = null
    room.far.loss = ({ writes }) => {
      if (mending === null && writes.some((write) => 'put' in write && write.put === fence))
        mending = room.store.transact({ compare: [], writes: [{ put: fence, value: before }] })
      return null
    }
    expect(await room.locking.plane.confirmFence(session, WORD)).toMatchObject({
      levels: [['kill']],
      progress: { state: 'closed', outcome: 'confirmed' },
    })
    expect(mending).not.toBeNull()
  })
})
