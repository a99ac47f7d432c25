// What a lock costs the store: every transaction of every gateway is counted, so that none is added unseen.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import type { Transaction, Write } from '../../../gateway/spi/store.ts'
import { openRoom, type RoomOptions, type TestRoom, VOLUME } from './room.ts'

const layout = new Layout('/fencegate')
const NAMES = ['first', 'second', 'third'] as const

let rooms: TestRoom[]
/** Each as `GATEWAY: what it writes`. */
let transactions: string[]

async function open(count: number): Promise<TestRoom> {
  rooms = []
  for (const name of NAMES.slice(0, count)) {
    const beside = rooms[0]
    const options: RoomOptions = { shared: count > 1, name, ...(beside === undefined ? {} : { beside }) }
    const room = await openRoom(options)
    room.far.loss = (transaction) => {
      transactions.push(`${name}: ${told(transaction)}`)
      return null
    }
    rooms.push(room)
  }
  const [first] = rooms
  if (first === undefined) throw new Error('no room')
  await quiet()
  return first
}

/** Until nobody writes any more; so short that in one test none of the gateways renews its lease. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await rooms[0]?.clock.advance(turn < 19 ? 10 : 110)
}

/** What `act` makes the gateways write, with all that comes of it. */
async function during(act: () => Promise<unknown>): Promise<string[]> {
  transactions = []
  await act()
  await quiet()
  return transactions.toSorted()
}

function told({ writes }: Transaction): string {
  return writes.map(toldWrite).join(', ') || 'nothing'
}

function toldWrite(write: Write): string {
  const meaning = layout.meaning('put' in write ? write.put : write.delete).kind
  return 'put' in write ? meaning : `no ${meaning}`
}

beforeEach(() => {
  transactions = []
})
afterEach(async () => {
  for (const room of rooms.toReversed()) {
    await room.locking.close(0)
    await room.close()
  }
})

/** Held by a session of the first gateway. */
async function held(room: TestRoom): Promise<{ readonly session: SessionId; readonly token: string }> {
  const session = await room.openSession(600_000)
  return { session, token: await room.take(session) }
}

const release = (room: TestRoom, session: SessionId) => () => room.locking.plane.release(VOLUME, session)

describe('one gateway', () => {
  it('takes a free lock with its key and its record, and gives it back with both', async () => {
    const room = await open(1)
    const session = await room.openSession()
    expect(await during(() => room.take(session))).toEqual(['first: lock-record', 'first: waiter'])
    expect(await during(release(room, session))).toEqual([
      'first: no lock-record',
      'first: no waiter, lock-record',
    ])
  })

  it('hands a lock over in two transactions', async () => {
    const room = await open(1)
    const { session } = await held(room)
    const next = await room.openSession()
    const taking = room.take(next, 60_000)
    await quiet()
    expect(await during(release(room, session))).toEqual([
      'first: lock-record',
      'first: no waiter, lock-record',
    ])
    await taking
  })
})

describe('three gateways', () => {
  it('take a free lock with its key and its record, written by the one that was asked', async () => {
    const room = await open(3)
    const session = await room.openSession()
    expect(await during(() => room.take(session))).toEqual(['first: lock-record', 'first: waiter'])
  })

  it('write nothing while one more waits', async () => {
    const room = await open(3)
    const { session } = await held(room)
    const next = await rooms[2]?.openSession()
    if (next === undefined) throw new Error('no third room')
    let taking: Promise<string> | undefined
    const written = await during(async () => {
      taking = rooms[2]?.take(next, 60_000)
    })
    expect(written).toEqual(['third: waiter'])
    await room.locking.plane.release(VOLUME, session)
    await quiet()
    await taking
  })

  it('give a lock back with one word of each other gateway', async () => {
    const room = await open(3)
    const { session } = await held(room)
    expect(await during(release(room, session))).toEqual([
      'first: no lock-record',
      'first: no waiter, lock-record',
      'second: watermark',
      'third: watermark',
    ])
  })

  it('hand a lock over in three transactions, one after the other: seal, the word of whom it does not concern, opening', async () => {
    const room = await open(3)
    const { session } = await held(room)
    const [taking] = await waitingAtThird()
    expect(await during(release(room, session))).toEqual([
      'first: no waiter, lock-record',
      'second: watermark',
      'third: lock-record',
    ])
    await taking
  })

  it('hand it over as well where the one that should go first does not, some hundred milliseconds later', async () => {
    const room = await open(3)
    const { session } = await held(room)
    const [taking] = await waitingAtThird()
    const third = rooms[2]
    if (third === undefined) throw new Error('no third room')
    const listen = third.far.loss
    third.far.loss = (transaction) => {
      listen(transaction)
      return told(transaction).includes('lock-record') ? 'request' : null
    }
    await release(room, session)()
    await room.clock.advance(300)
    expect(room.locking.plane.lock(VOLUME).phase).toBe('handover')
    await room.clock.advance(200)
    expect(room.locking.plane.lock(VOLUME).phase).toBe('open')
    await taking
  })

  it('wait for the word of the gateway that wrote the seal where it had a call open by then', async () => {
    const room = await open(3)
    const { session, token } = await held(room)
    const entry = room.admit(token, 'exclusive')
    const [taking] = await waitingAtThird()
    expect(await during(release(room, session))).not.toContain('third: lock-record')
    expect(rooms[2]?.locking.plane.lock(VOLUME).phase).toBe('handover')
    // Who comes meanwhile is no reason to say again what was said.
    const late = await room.openSession()
    let giving: Promise<unknown> | undefined
    const queued = await during(async () => {
      giving = room.acquire(late, 60_000)
    })
    expect(queued).toEqual(['first: waiter'])
    expect(await during(() => Promise.resolve(entry.ended()))).toEqual([
      'first: watermark',
      'third: lock-record',
    ])
    await taking
    const refused = expect(giving).rejects.toMatchObject({ code: 'session-unknown' })
    await room.locking.plane.closeSession(late)
    await refused
  })

  it('forget a session that expired with nothing in its hands by one transaction', async () => {
    const room = await open(3)
    await room.openSession(100)
    expect((await during(quiet)).map((each) => each.replace(/^.*: /, ''))).toEqual(['no session'])
  })

  it('forget it as well where the one that should does not, by the next sweep of another', async () => {
    const room = await open(3)
    await room.openSession(100)
    const asked: string[] = []
    for (const [i, { far }] of rooms.entries())
      far.loss = (transaction) => {
        if (told(transaction) !== 'no session') return null
        asked.push(NAMES[i] ?? '')
        return asked[0] === NAMES[i] ? 'request' : null
      }
    await quiet()
    expect(asked).toHaveLength(1)
    await room.clock.advance(2_500)
    expect((await room.store.read('/fencegate/sessions/')).items).toEqual([])
    expect(new Set(asked).size).toBeGreaterThan(1)
  })

  it('seal the lock of a session that expired in one transaction, and all report it', async () => {
    const room = await open(3)
    await room.take(await room.openSession(600))
    const written = await during(() => room.clock.advance(600))
    const seals = written.filter((line) => line.includes('lock-record'))
    expect(seals).toEqual([expect.stringMatching(/: fence, lock-record$/)])
    // Whoever runs the fence waits for every word.
    expect(written.filter((line) => line.includes('watermark'))).toEqual(
      NAMES.map((name) => `${name}: watermark`),
    )
  })
})

async function waitingAtThird(): Promise<Promise<string>[]> {
  const third = rooms[2]
  if (third === undefined) throw new Error('no third room')
  const next = await third.openSession(600_000)
  const taking = third.take(next, 60_000)
  await quiet()
  // In an array, as what an async function gives is waited for.
  return [taking]
}
