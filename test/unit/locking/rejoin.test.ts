import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AdmissionRequest } from '../../../gateway/spi/gate.ts'
import { type Snapshot, StoreUnavailable, type Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom({ shared: true })
})
afterEach(async () => {
  await room.locking.close(0)
  await room.close()
})

async function incarnations(): Promise<readonly string[]> {
  return (await room.store.read('/fencegate/gateways/')).items.map((item) => item.key)
}

/** As after an outage of the store that was longer than the lease. */
async function loseLease(name = ''): Promise<void> {
  for (const { lease } of (await room.store.read(`/fencegate/watermarks/${name}`)).items)
    if (lease !== null) await room.store.revokeLease(lease)
}

function call(token: string): AdmissionRequest {
  return {
    backend: 'cinder',
    method: 'POST',
    target: '/',
    rule: 'r',
    locks: [{ name: VOLUME, mode: 'exclusive' }],
    tokens: [{ lock: null, token: Number(token), signature: null }],
    waitMs: 0,
    quietMs: null,
  }
}

function forgetsGateway({ writes }: Transaction): boolean {
  return writes.some((write) => 'delete' in write && write.delete.includes('/gateways/'))
}

describe('a gateway that survives its lease', () => {
  it('stops in the moment in which a third hand has ended its lease: the others wait for its word no longer', async () => {
    const token = await room.take(await room.openSession())
    await loseLease()
    await room.clock.advance(0)
    expect(await room.locking.gate.admit(call(token), null)).toMatchObject({
      refusal: { code: 'view-not-current' },
    })
  })

  it('closes its earlier record once what it had admitted has ended, also where the store is deaf at first', async () => {
    const token = await room.take(await room.openSession())
    const [first] = await incarnations()
    const result = room.locking.gate.admit(call(token), null)
    if (result instanceof Promise || result.kind !== 'admitted') throw new Error('not admitted')
    expect(result.entry.leaseStands).toBe(true)
    await loseLease()
    await room.clock.advance(5_000)
    expect(await incarnations()).toHaveLength(2)
    // The new registration does not speak for what went out under the old one.
    expect(result.entry.leaseStands).toBe(false)
    let lost = 0
    room.far.loss = (transaction) => (forgetsGateway(transaction) && lost++ === 0 ? 'request' : null)
    result.entry.ended()
    await room.clock.advance(5_000)
    expect(lost).toBeGreaterThan(1)
    expect(await incarnations()).toHaveLength(1)
    expect(await incarnations()).not.toContain(first)
  })

  it('lets no more of a call go out from the moment at which its lease may be over, before it knows that it is', async () => {
    const token = await room.take(await room.openSession())
    const result = room.locking.gate.admit(call(token), null)
    if (result instanceof Promise || result.kind !== 'admitted') throw new Error('not admitted')
    room.far.loss = () => 'request'
    await room.clock.advance(8_000)
    expect(result.entry.leaseStands).toBe(true)
    await room.clock.advance(1_500)
    expect(result.entry.leaseStands).toBe(false)
    expect((await room.store.read('/fencegate/watermarks/')).items).toHaveLength(1)
    result.entry.ended()
  })

  it('names what it has open from its first watermark on, though it has not seen what was sealed meanwhile', async () => {
    const beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
    try {
      const session = await room.openSession()
      const token = await room.take(session)
      const entries = [room.admit(token, 'exclusive'), room.admit(token, 'exclusive')]
      room.far.breakWatches()
      room.far.nextRead = () => new Promise(() => undefined)
      await room.clock.advance(100)
      await beside.locking.plane.release(VOLUME, session)
      await loseLease('gateway-1')
      let load: (snapshot: Promise<Snapshot>) => void = () => undefined
      room.far.nextRead = () => new Promise((resolve) => (load = resolve))
      await room.clock.advance(5_000)
      // Somebody vouches for the one that is gone, whose calls go on in the one that came back.
      const word = { by: 'ann', reason: 'it is gone', incarnations: null, token: null }
      expect(await beside.locking.plane.vouch({ lock: VOLUME, ...word })).toMatchObject({
        vouched: [{ incarnation: 'gateway-1-incarnation-1' }],
      })
      const isHeldUp = async () => {
        await room.clock.advance(0)
        expect(beside.locking.plane.lock(VOLUME).waitingOn).toEqual(['gateway gateway-1 has calls open'])
      }
      await isHeldUp()
      entries[0]?.ended()
      await isHeldUp()
      load(room.store.read('/fencegate/'))
      await isHeldUp()
      entries[1]?.ended()
      await room.clock.advance(1_000)
      expect(beside.locking.plane.lock(VOLUME).phase).toBe('free')
    } finally {
      await beside.locking.close(0)
      await beside.close()
    }
  })

  it('leaves no record behind of a registration that came to nothing', async () => {
    await room.take(await room.openSession())
    await loseLease()
    room.far.nextRead = () => Promise.reject(new StoreUnavailable('no answer within 5,000 ms'))
    await room.clock.advance(10_000)
    expect(room.locking.plane.readiness().ready).toBe(true)
    expect(await incarnations()).toHaveLength(1)
  })

  it('takes back a registration that the store carries out long after it was given up', async () => {
    await room.take(await room.openSession())
    let late: Transaction | null = null
    room.far.loss = (transaction) => {
      const registers = transaction.writes.some((write) => 'put' in write && write.put.includes('/gateways/'))
      if (!registers || late !== null) return null
      late = transaction
      return 'request'
    }
    await loseLease()
    await room.clock.advance(10_000)
    expect(room.locking.plane.readiness().ready).toBe(true)
    if (late === null) throw new Error('it did not register')
    await room.store.transact(late)
    expect(await incarnations()).toHaveLength(2)
    await room.clock.advance(5_000)
    expect(await incarnations()).toHaveLength(1)
  })
})

describe('another gateway that came back', () => {
  it('is waited for while it reports calls of its former self, though it registered after the seal', async () => {
    const session = await room.openSession()
    const entry = room.admit(await room.take(session), 'exclusive')
    await room.locking.plane.release(VOLUME, session)
    const [token] = room.locking.plane.lock(VOLUME).owners.map((owner) => Number(owner.token))
    const { lease } = await room.store.grantLease(600_000)
    const record = { version: 1, state: 'serving', quietMs: 1_000, name: 'gateway-2', startedAt: '' }
    const reports = async (open: readonly unknown[]) => {
      const value = JSON.stringify({ version: 1, beat: 1, sealed: 1_000_000, open })
      await room.store.transact({
        compare: [],
        writes: [
          { put: '/fencegate/gateways/other', value: JSON.stringify(record) },
          { put: '/fencegate/watermarks/other', value, lease },
        ],
      })
      await room.clock.advance(0)
    }
    await reports([[VOLUME, token, 'draining']])
    entry.ended()
    await room.clock.advance(60_000)
    expect(room.locking.plane.lock(VOLUME)).toMatchObject({
      phase: 'handover',
      waitingOn: ['gateway gateway-2 has calls open'],
    })
    await reports([])
    await room.clock.advance(1_000)
    expect(room.locking.plane.lock(VOLUME).phase).toBe('free')
    await room.store.revokeLease(lease)
  })
})
