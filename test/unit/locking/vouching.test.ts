// An operator's word for calls of which nobody knows what became of them.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import type { UnknownInfo, VouchedInfo } from '../../../gateway/spi/control-plane.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const WORD = { by: 'ann', reason: 'the array shows nothing of it' }

let room: TestRoom

beforeEach(async () => {
  room = await openRoom({ shared: true })
})
afterEach(async () => {
  await room.locking.close(0)
  await room.close()
})

function vouch(incarnations: readonly string[] | null = null, lock: LockName = VOLUME): Promise<VouchedInfo> {
  return room.locking.plane.vouch({ lock, ...WORD, incarnations, token: null })
}

function phase(): string {
  return room.locking.plane.lock(VOLUME).phase
}

function unknown(): readonly UnknownInfo[] {
  return room.locking.plane.lock(VOLUME).unknown
}

async function release(session: SessionId): Promise<void> {
  await room.locking.plane.release(VOLUME, session)
  await room.clock.advance(0)
}

/** Another gateway as the store shows it. */
async function other(about: {
  readonly open?: readonly (readonly [string, number, string])[]
  readonly sealed?: number
  readonly state?: 'serving' | 'gone'
}): Promise<void> {
  const record = {
    version: 1,
    state: about.state ?? 'serving',
    quietMs: 20_000,
    name: 'gateway-2',
    startedAt: '',
  }
  const { open = [], sealed = 1_000_000 } = about
  const { lease } = await room.store.grantLease(600_000)
  const watermark = {
    put: '/fencegate/watermarks/other',
    value: JSON.stringify({ version: 1, beat: 1, sealed, open }),
    lease,
  }
  await room.store.transact({
    compare: [],
    writes: [
      { put: '/fencegate/gateways/other', value: JSON.stringify(record) },
      about.state === 'gone' ? { delete: '/fencegate/watermarks/other' } : watermark,
    ],
  })
  await room.clock.advance(0)
}

describe('an operator’s word', () => {
  it('stands for the quiet time of a call whose answer was lost, and is told and shown', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    room.admit(token, 'exclusive').unknown('the answer was lost')
    await release(session)
    const info = room.locking.plane.lock(VOLUME)
    expect(info).toMatchObject({ phase: 'handover', unknown: [{ token, gateway: 'gateway-1', calls: 1 }] })
    const next = room.take(await room.openSession(), 5_000)
    expect(await vouch()).toMatchObject({ ...WORD, lock: VOLUME, vouched: info.unknown })
    await next
    expect(room.told).toContainEqual(expect.objectContaining({ type: 'lock.vouched', lock: VOLUME, token }))
    await expect(vouch()).rejects.toMatchObject({ code: 'nothing-unknown' })
  })

  it('is refused where nothing is unknown, with what the lock waits for', async () => {
    await expect(vouch()).rejects.toMatchObject({ code: 'nothing-unknown' })
    const session = await room.openSession()
    const token = await room.take(session)
    room.admit(token, 'exclusive').unknown('the answer was lost')
    const running = room.admit(token, 'exclusive')
    // Nobody waits for what is unknown under a grant that lives.
    await expect(vouch()).rejects.toMatchObject({ code: 'nothing-unknown' })
    await release(session)
    await expect(vouch()).rejects.toThrow(/POST \/ has not been answered/)
    running.ended()
    await vouch()
    await room.clock.advance(0)
    expect(phase()).toBe('free')
  })

  it('does not hold for a call that became unknown after it', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const calls = [room.admit(token, 'exclusive'), room.admit(token, 'exclusive')]
    await other({ open: [[VOLUME, Number(token), 'unknown']] })
    calls[0]?.unknown('the answer was lost')
    await release(session)
    expect((await vouch()).vouched).toMatchObject([{ gateway: 'gateway-2', calls: null }])
    calls[1]?.unknown('and so was this')
    await room.clock.advance(0)
    expect(phase()).toBe('handover')
    expect(unknown()).toMatchObject([{ gateway: 'gateway-1', calls: 2 }])
    expect(room.locking.plane.lock(VOLUME).owners).toMatchObject([
      { vouched: [{ ...WORD, incarnations: ['other'] }] },
    ])
    await vouch()
    await room.clock.advance(0)
    expect(phase()).toBe('free')
  })

  it('does not widen while it is being written', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    await other({ open: [[VOLUME, Number(token), 'unknown']] })
    const running = room.admit(token, 'exclusive')
    await release(session)
    const [record] = (await room.store.read('/fencegate/lock-records/')).items
    if (record === undefined) throw new Error('there is no record')
    let rewriting: Promise<unknown> | null = null
    room.far.loss = ({ writes }) => {
      if (rewriting === null && writes.some((write) => 'put' in write && write.value.includes('"vouched"'))) {
        running.unknown('the answer was lost')
        rewriting = room.store.transact({ compare: [], writes: [{ put: record.key, value: record.value }] })
      }
      return null
    }
    expect((await vouch()).vouched).toMatchObject([{ incarnation: 'other' }])
    expect(rewriting).not.toBeNull()
    await room.clock.advance(0)
    expect(unknown()).toMatchObject([{ gateway: 'gateway-1' }])
    expect(phase()).toBe('handover')
  })

  it('can be kept to what was looked at', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    await other({ open: [[VOLUME, Number(token), 'unknown']] })
    room.admit(token, 'exclusive').unknown('the answer was lost')
    await release(session)
    expect((await vouch(['other'])).vouched).toMatchObject([{ incarnation: 'other' }])
    await expect(vouch(['other'])).rejects.toMatchObject({ code: 'nothing-unknown' })
    expect(unknown()).toMatchObject([{ gateway: 'gateway-1' }])
    expect(phase()).toBe('handover')
  })

  it('never holds for what another gateway reports as running, or for one that has not reported the seal', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    await other({ sealed: 1 })
    await release(session)
    await expect(vouch()).rejects.toThrow(/gateway-2 has not reported the seal/)
    await other({ open: [[VOLUME, Number(token), 'draining']] })
    await expect(vouch()).rejects.toThrow(/gateway-2 has calls open/)
    await other({ open: [[VOLUME, Number(token), 'unknown']] })
    await vouch()
    await room.clock.advance(0)
    expect(phase()).toBe('free')
  })

  it('stands for all that a gateway that is gone may have had open, once it can send no more', async () => {
    const session = await room.openSession()
    await room.take(session)
    await other({})
    await release(session)
    const second = await room.openSession()
    const token = await room.take(second)
    await other({ state: 'gone' })
    await release(second)
    expect(unknown()).toEqual([])
    await expect(vouch()).rejects.toThrow(/is gone and may have had calls open/)
    await room.clock.advance(1_000)
    expect((await vouch()).vouched).toMatchObject([{ token, gateway: 'gateway-2', calls: null }])
    await room.clock.advance(0)
    expect(phase()).toBe('free')
  })

  it('is kept, and goes by what the record said of the grant, when the lock moves on in the same moment', async () => {
    const session = await room.openSession()
    const readers = [await room.openSession(), await room.openSession()]
    const tokens = [await room.take(session, 0, 'shared')]
    for (const reader of readers) tokens.push(await room.take(reader, 0, 'shared'))
    room.admit(tokens[0] ?? '', 'shared').unknown('the answer was lost')
    await release(session)
    const moving = Promise.all(readers.map((reader) => room.locking.plane.release(VOLUME, reader)))
    await vouch()
    await moving
    await room.clock.advance(0)
    expect(phase()).toBe('free')
  })

  it('about a downgrade does not hold for shared calls when the grant ends', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    room.admit(token, 'exclusive').unknown('the answer was lost')
    await other({ open: [[VOLUME, Number(token), 'draining']] })
    await room.change(session, token, 'shared')
    room.admit(token, 'shared').unknown('so was this one')
    expect((await vouch()).vouched).toMatchObject([{ gateway: 'gateway-1', calls: 1 }])
    await release(session)
    await other({})
    expect(unknown()).toMatchObject([{ token, calls: 2 }])
    expect(phase()).toBe('handover')
  })
})
