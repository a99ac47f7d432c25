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
