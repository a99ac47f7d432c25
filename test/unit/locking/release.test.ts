import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StoreUnavailable, type Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

function phase(): string {
  return room.locking.plane.lock(VOLUME).phase
}

/** Until a step follows no other any more. */
async function rested(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await room.clock.advance(0)
}

function fences(): number {
  return room.locking.plane.fences({ limit: 1, after: null }).items.length
}

function owners(): readonly string[] {
  return room.locking.plane
    .lock(VOLUME)
    .owners.flatMap(({ state, token }) => (state === 'open' ? [token] : []))
}

/** Whether a transaction takes a waiter key away. */
function givesBack({ writes }: Transaction): boolean {
  return writes.some((write) => 'delete' in write && write.delete.includes('/locks/'))
}

function enqueues({ writes }: Transaction): boolean {
  return writes.some((write) => 'put' in write && write.put.includes('/locks/'))
}

describe('a release that the store does not hear', () => {
  it('is said when the store is back', async () => {
    const session = await room.openSession()
    await room.take(session)
    room.far.loss = (transaction) => (givesBack(transaction) ? 'request' : null)
    await room.locking.plane.release(VOLUME, session)
    await room.clock.advance(2_000)
    expect(phase()).toBe('handover')
    room.far.loss = () => null
    await room.clock.advance(1_000)
    await expect.poll(phase).toBe('free')
    expect(fences()).toBe(0)
  })

  it('does not take away what the session took since', async () => {
    const session = await room.openSession()
    await room.take(session)
    room.far.loss = (transaction) => (givesBack(transaction) ? 'answer' : null)
    await room.locking.plane.release(VOLUME, session)
    room.far.loss = () => null
    await room.clock.advance(0)
    const token = await room.take(session, 100)
    await room.clock.advance(5_000)
    expect(owners()).toEqual([token])
  })

  it('is said before the gateway goes', async () => {
    const session = await room.openSession()
    await room.take(session)
    room.far.loss = (transaction) => (givesBack(transaction) ? 'request' : null)
    await room.locking.plane.release(VOLUME, session)
    room.far.loss = () => null
    await room.locking.close(0)
    const { items } = await room.store.read('/fencegate/locks/')
    expect(items).toEqual([])
  })

  it('keeps the session from being closed, which would have its holder fenced', async () => {
    const session = await room.openSession()
    await room.take(session)
    room.far.loss = (transaction) => (givesBack(transaction) ? 'request' : null)
    await expect(room.locking.plane.closeSession(session)).rejects.toBeInstanceOf(StoreUnavailable)
    room.far.loss = () => null
    await room.locking.plane.closeSession(session)
    await room.clock.advance(1_000)
    expect(phase()).toBe('free')
    expect(fences()).toBe(0)
    expect(room.locking.plane.session(session)).toBe(null)
  })
})

describe('a session that is closed', () => {
  it('gives back what it was taking in that moment, without a fence', async () => {
    const session = await room.openSession()
    // The key is on its way to the store when the session is closed; nobody here has seen it yet.
    const taking = room.acquire(session).catch(() => null)
    await room.locking.plane.closeSession(session)
    await taking
    await rested()
    expect(phase()).toBe('free')
    expect(fences()).toBe(0)
  })

  it('is given nothing any more from the moment at which its lease is about to end', async () => {
    const session = await room.openSession()
    let last: unknown = null
    room.far.beforeRevoke = async () => {
      last = await room.acquire(session).catch((error: unknown) => error)
    }
    await room.locking.plane.closeSession(session)
    expect(last).toMatchObject({ code: 'session-unknown' })
    await rested()
    expect(phase()).toBe('free')
    expect(fences()).toBe(0)
  })
})

describe('an acquisition that comes to nothing', () => {
  it('takes its own key out of the queue, and not the one of another of the session', async () => {
    const [owner, session] = [await room.openSession(), await room.openSession()]
    await room.take(owner)
    const shortly = room.acquire(session, 1_000)
    const longer = room.acquire(session, 10_000, 'shared')
    await room.clock.advance(1_000)
    expect((await shortly).kind).toBe('held')
    await room.locking.plane.release(VOLUME, owner)
    await room.clock.advance(0)
    expect(await longer).toMatchObject({ kind: 'granted', grant: { mode: 'shared' } })
  })

  it('says that it is held, and not that the session is over, where the session itself gives up its place', async () => {
    const [owner, session] = [await room.openSession(), await room.openSession()]
    await room.take(owner)
    const waiting = room.acquire(session, 10_000)
    await rested()
    await room.locking.plane.release(VOLUME, session)
    await rested()
    expect(await waiting).toMatchObject({ kind: 'held', owner: { session: owner }, waiters: 0 })
  })

  it('is told how many others wait, and not counted itself', async () => {
    const [owner, session] = [await room.openSession(), await room.openSession()]
    await room.take(owner)
    const waiting = room.acquire(session, 1_000)
    await rested()
    const seeAll = room.far.lag()
    await room.clock.advance(1_000)
    expect(await waiting).toMatchObject({ kind: 'held', waiters: 0 })
    seeAll()
  })

  it('leaves no key behind where the store did not say whether it was written', async () => {
    const session = await room.openSession()
    room.far.loss = (transaction) => (enqueues(transaction) ? 'answer' : null)
    await expect(room.acquire(session)).rejects.toBeInstanceOf(StoreUnavailable)
    room.far.loss = () => null
    await room.clock.advance(2_000)
    expect(phase()).toBe('free')
  })

  it('leaves the key to whoever asks again meanwhile', async () => {
    const session = await room.openSession()
    room.far.loss = (transaction) => (enqueues(transaction) ? 'answer' : null)
    await expect(room.acquire(session)).rejects.toBeInstanceOf(StoreUnavailable)
    room.far.loss = () => null
    const token = await room.take(session)
    await room.clock.advance(5_000)
    expect(owners()).toEqual([token])
  })
})

describe('a try without time to wait, at a lock that was just given back', () => {
  /** Two gateways; the lock was taken and given back at the first, and the second has still to see it. */
  async function givenBack() {
    let seen = (): void => undefined
    let hold: Promise<void> | undefined
    const first = await openRoom({ shared: true, name: 'first' })
    const second = await openRoom({
      beside: first,
      shared: true,
      name: 'second',
      watchHold: () => hold ?? Promise.resolve(),
    })
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 50; turn++) await first.clock.advance(0)
    }
    const [owner, next] = [await first.openSession(), await first.openSession()]
    await first.take(owner, 5_000)
    await turns()
    hold = new Promise((resolve) => {
      seen = resolve
    })
    await first.locking.plane.release(VOLUME, owner)
    const trying = async (room: TestRoom) => {
      const answer = room.acquire(next)
      await turns()
      return { answer }
    }
    const end = async (): Promise<void> => {
      seen()
      await second.close()
      await first.close()
    }
    return { first, second, trying, seen, end }
  }

  it('gets it as soon as the other gateways have told that it was given back', async () => {
    const { first, trying, seen, end } = await givenBack()
    const { answer } = await trying(first)
    seen()
    expect((await answer).kind).toBe('granted')
    await end()
  })

  it('gets it at a gateway that has not seen yet that it was given back', async () => {
    const { second, trying, seen, end } = await givenBack()
    const { answer } = await trying(second)
    seen()
    expect((await answer).kind).toBe('granted')
    await end()
  })

  it('does not wait long for a gateway that says nothing', async () => {
    const { first, trying, end } = await givenBack()
    const { answer } = await trying(first)
    await first.clock.advance(500)
    expect((await answer).kind).toBe('held')
    await end()
  })
})
