// A gateway that takes longer to load what the store holds than its lease lasts.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Snapshot, StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openRoom, type RoomOptions, type TestRoom, VOLUME } from './room.ts'

/** Of `openRoom`. */
const LEASE_MS = 10_000

let room: TestRoom

beforeEach(async () => {
  room = await openRoom({ shared: true })
})
afterEach(async () => {
  await room.locking.close(0)
  await room.close()
})

/** As after an outage of the store that was longer than the lease. */
async function loseLease(name: string): Promise<void> {
  for (const { lease } of (await room.store.read(`/fencegate/watermarks/${name}`)).items)
    if (lease !== null) await room.store.revokeLease(lease)
}

describe('a gateway that starts', () => {
  it('loads for as long as it takes, and nobody waits for it meanwhile', async () => {
    let load: (snapshot: Promise<Snapshot>) => void = () => undefined
    const read = () => new Promise<Snapshot>((resolve) => (load = resolve))
    const joining = openRoom({ shared: true, beside: room, name: 'gateway-2', read })
    const session = await room.openSession(600_000)
    for (let leases = 0; leases < 5; leases++) {
      await room.take(session)
      await room.locking.plane.release(VOLUME, session)
      await room.clock.advance(LEASE_MS)
      expect(room.locking.plane.lock(VOLUME).phase).toBe('free')
    }
    const token = await room.take(session)
    load(room.store.read('/fencegate/'))
    const second = await joining
    expect(second.verdict(token, 'exclusive')).toBe('admitted')
    await second.locking.close(0)
    await second.close()
  })

  it('leaves nothing behind that keeps its process alive where the store fails after the load', async () => {
    let brought = 0
    const watchHold = () => {
      brought++
      return Promise.resolve()
    }
    const failing: RoomOptions = { loss: () => 'request', watchHold }
    const timers = room.clock.pendingTimers
    const joining = openRoom({ shared: true, beside: room, name: 'gateway-2', ...failing })
    await expect(joining).rejects.toThrow(StoreUnavailable)
    const before = brought
    await room.take(await room.openSession())
    expect(brought).toBe(before)
    expect(room.clock.pendingTimers).toBe(timers)
  })

  it('serves only once its view holds its own registration', async () => {
    const held: (() => void)[] = []
    let isDone = false
    const joining = openRoom({
      shared: true,
      beside: room,
      name: 'gateway-2',
      watchHold: () => new Promise<void>((resolve) => held.push(resolve)),
    }).then((second) => {
      isDone = true
      return second
    })
    await expect.poll(() => held.length).toBeGreaterThan(0)
    await room.clock.advance(100)
    expect(isDone).toBe(false)
    for (const go of held.splice(0)) go()
    const second = await joining
    expect(second.locking.plane.readiness().ready).toBe(true)
    await second.locking.close(0)
    await second.close()
  })
})

describe('a gateway that comes back with calls open', () => {
  it('keeps its lease while it loads, longer than three leases', async () => {
    const token = await room.take(await room.openSession(600_000))
    const entry = room.admit(token, 'exclusive')
    let load: (snapshot: Promise<Snapshot>) => void = () => undefined
    room.far.nextRead = () => new Promise<Snapshot>((resolve) => (load = resolve))
    await loseLease('gateway-1')
    await room.clock.advance(5 * LEASE_MS)
    load(room.store.read('/fencegate/'))
    await expect
      .poll(async () => {
        await room.clock.advance(1)
        return room.locking.plane.readiness().ready
      })
      .toBe(true)
    const names = (await room.store.read('/fencegate/gateways/')).items.map(({ key }) =>
      key.split('/').at(-1),
    )
    expect(names).toEqual(['gateway-1-incarnation-1', 'gateway-1-incarnation-3'])
    entry.ended()
  })

  it('does not keep it for ever: others wait for its word', async () => {
    const beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
    const session = await beside.openSession(3_600_000)
    const token = await beside.take(session)
    const entry = room.admit(token, 'exclusive')
    room.far.nextRead = () => new Promise(() => undefined)
    await loseLease('gateway-1')
    await room.clock.advance(1_000)
    entry.ended()
    await beside.locking.plane.release(VOLUME, session)
    await room.clock.advance(5 * LEASE_MS)
    expect(beside.locking.plane.lock(VOLUME).phase).toBe('handover')
    await room.clock.advance(15 * LEASE_MS)
    expect(beside.locking.plane.lock(VOLUME).phase).toBe('free')
    await beside.locking.close(0)
    await beside.close()
  })
})
