// A gateway that has not seen yet what a session did a moment ago through another one.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import { StoreUnavailable, type Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom
let beside: TestRoom
let session: SessionId

beforeEach(async () => {
  room = await openRoom({ shared: true })
  beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
  session = await room.openSession()
  await room.clock.advance(0)
})
afterEach(async () => {
  await beside.locking.close(0)
  await room.locking.close(0)
  await beside.close()
  await room.close()
})

async function rested(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await room.clock.advance(0)
}

/** The clock goes on until it is answered. */
async function inTime<Answer>(asked: Promise<Answer>): Promise<Answer> {
  let isOver = false
  const end = () => {
    isOver = true
  }
  asked.then(end, end)
  while (!isOver) await room.clock.advance(10)
  return await asked
}

function causes(): readonly unknown[] {
  return [...room.told, ...beside.told].flatMap(({ type, detail }) =>
    type === 'grant.sealed' ? [detail] : [],
  )
}

function changesRecord({ writes }: Transaction): boolean {
  return writes.some((write) => 'put' in write && write.put.includes('/lock-records/'))
}

describe('a change of the mode', () => {
  it('waits until what the session has just been granted elsewhere is seen', async () => {
    const catchUp = room.far.lag()
    const token = await beside.take(session)
    const changing = room.change(session, token, 'shared')
    changing.catch(() => undefined)
    await rested()
    catchUp()
    expect(await changing).toMatchObject({ token, mode: 'shared' })
    room.admit(token, 'shared').ended()
  })

  it('does not tell a holder that it is none where it cannot know', async () => {
    room.far.lag()
    const token = await beside.take(session)
    room.far.loss = () => 'request'
    await expect(room.change(session, token, 'shared')).rejects.toBeInstanceOf(StoreUnavailable)
    room.far.loss = () => null
  })

  it('to shared is not answered before it stands in the store, though another was faster', async () => {
    const token = await room.take(session)
    const [record] = (await room.store.read('/fencegate/lock-records/')).items
    let swaps = 0
    room.far.hold = async (transaction) => {
      // Written anew, as it is.
      if (changesRecord(transaction) && swaps++ === 0 && record !== undefined)
        await room.store.transact({ compare: [], writes: [{ put: record.key, value: record.value }] })
    }
    expect(await inTime(room.change(session, token, 'shared'))).toMatchObject({ token, mode: 'shared' })
    expect(swaps).toBeGreaterThan(1)
    expect((await room.store.read('/fencegate/lock-records/')).items[0]?.value).toContain('"mode":"shared"')
    expect(beside.locking.plane.lock(VOLUME).owners).toMatchObject([{ token, mode: 'shared' }])
  })
})

describe('a release through a gateway that loses the store before it has seen what is held', () => {
  /** It shows a key with which the session waited, and gave up; what it was granted since it has not seen. */
  async function retaken(): Promise<string> {
    const other = await room.openSession()
    const running = beside.admit(await beside.take(other), 'exclusive')
    const first = beside.acquire(session, 1_000)
    await rested()
    await beside.locking.plane.release(VOLUME, other)
    await rested()
    lagging = room.far.lag()
    expect(await inTime(first)).toMatchObject({ kind: 'held' })
    const second = beside.take(session, 60_000)
    await rested()
    running.ended()
    const token = await inTime(second)
    expect(room.locking.plane.lock(VOLUME).waiters).toMatchObject([{ session }])
    room.far.loss = () => 'request'
    room.far.nextRead = () => Promise.reject(new StoreUnavailable('no answer within 5,000 ms'))
    return token
  }
  let lagging: () => void

  async function heal(): Promise<void> {
    room.far.loss = () => null
    lagging()
    await room.clock.advance(3_000)
  }

  it('is said when the store is back, where it names its token', async () => {
    const token = await retaken()
    await room.locking.plane.release(VOLUME, session, token)
    await heal()
    expect(room.locking.plane.lock(VOLUME).phase).toBe('free')
    expect(causes()).toEqual(['released', 'released'])
    expect(room.locking.plane.fence(session)).toBeNull()
  })

  it('is said for what it had seen alone, where it names none: what the session has since is not taken from it', async () => {
    const token = await retaken()
    await room.locking.plane.release(VOLUME, session)
    await heal()
    expect(beside.locking.plane.lock(VOLUME).owners).toMatchObject([{ token, state: 'open' }])
    // Asked again it is given back, and it ends with the session in any case.
    await room.locking.plane.release(VOLUME, session)
    await rested()
    expect(beside.locking.plane.lock(VOLUME).phase).toBe('free')
  })
})

describe('a release that names its token', () => {
  it('takes nothing that the session was granted since', async () => {
    const first = await room.take(session)
    await room.locking.plane.release(VOLUME, session, first)
    await rested()
    const second = await room.take(session)
    await room.locking.plane.release(VOLUME, session, first)
    await rested()
    beside.admit(second, 'exclusive').ended()
  })

  it('takes what an upgrade has made of it, of which its holder may not have heard', async () => {
    const token = await room.take(session, 0, 'shared')
    await room.change(session, token, 'exclusive')
    await rested()
    await beside.locking.plane.release(VOLUME, session, token)
    await rested()
    expect(room.locking.plane.lock(VOLUME).phase).toBe('free')
  })

  it('takes an upgrade that is still asked for along', async () => {
    const token = await room.take(session, 0, 'shared')
    const other = await room.openSession()
    await room.take(other, 0, 'shared')
    const upgrading = room.change(session, token, 'exclusive', 60_000)
    upgrading.catch(() => undefined)
    await rested()
    await beside.locking.plane.release(VOLUME, session, token)
    await rested()
    expect(room.locking.plane.lock(VOLUME).waiters).toEqual([])
    await expect(upgrading).rejects.toMatchObject({ code: 'token-mismatch' })
  })
})

describe('closing a session', () => {
  it('gives back what it was granted elsewhere a moment ago, and nobody is fenced', async () => {
    const catchUp = room.far.lag()
    await beside.take(session)
    const closing = room.locking.plane.closeSession(session)
    closing.catch(() => undefined)
    await rested()
    catchUp()
    await closing
    await rested()
    expect(causes()).toEqual(['released'])
    expect(room.locking.plane.fence(session)).toBeNull()
    expect(beside.locking.plane.lock(VOLUME).phase).toBe('free')
  })

  it('is refused where nobody can tell what the session holds, and ends nothing', async () => {
    room.far.lag()
    const token = await beside.take(session)
    await expect(inTime(room.locking.plane.closeSession(session))).rejects.toBeInstanceOf(StoreUnavailable)
    beside.admit(token, 'exclusive').ended()
    // Without its record nobody could fence who held it.
    expect((await room.store.read(`/fencegate/sessions/${session}`)).items).toHaveLength(1)
  })

  it('gives back as well what it is granted elsewhere while it is being closed', async () => {
    let taken = ''
    room.far.hold = async ({ writes }) => {
      if (writes.some((write) => 'delete' in write && write.delete.includes('/sessions/')))
        taken = await beside.take(session)
    }
    await inTime(room.locking.plane.closeSession(session))
    expect(taken).not.toBe('')
    await rested()
    expect(causes()).toEqual(['released'])
    expect(beside.locking.plane.fence(session)).toBeNull()
  })
})
