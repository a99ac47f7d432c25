// A gateway beside one of the next version, whose records it meets in the store: it keeps what it does not know, and leaves
// alone what it does not understand.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { SessionId } from '../../../gateway/core/names.ts'
import type { AdmissionResult } from '../../../gateway/spi/gate.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const anything = z.record(z.string(), z.unknown())
const LOCK_RECORD = `/fencegate/lock-records/${encodeURIComponent(VOLUME)}`

let room: TestRoom
beforeEach(async () => {
  room = await openRoom({ shared: true })
})
afterEach(async () => {
  await room.locking.close(0)
  await room.close()
})

async function stored(prefix: string): Promise<{ key: string; value: Record<string, unknown> }[]> {
  const { items } = await room.store.read(prefix)
  return items.map(({ key, value }) => ({ key, value: anything.parse(JSON.parse(value)) }))
}

/** As a gateway of the next version would write it over what is there; the watch has told by then. */
async function rewrite(key: string, change: Record<string, unknown>): Promise<void> {
  const [record] = await stored(key)
  await write(key, { ...record?.value, ...change })
}

async function write(key: string, value: Record<string, unknown>): Promise<void> {
  await room.store.transact({ compare: [], writes: [{ put: key, value: JSON.stringify(value) }] })
  await room.clock.advance(100)
}

function admit(token: string): AdmissionResult {
  const result = room.locking.gate.admit(
    {
      backend: 'cinder',
      method: 'POST',
      target: '/',
      rule: 'r',
      locks: [{ name: VOLUME, mode: 'exclusive' }],
      tokens: [{ lock: null, token: Number(token), signature: null }],
      waitMs: 0,
      quietMs: 20_000,
    },
    null,
  )
  if (result instanceof Promise) throw new Error('parked')
  return result
}

const phase = () => room.locking.plane.lock(VOLUME).phase
const openOf = async () => (await stored('/fencegate/watermarks/'))[0]?.value['open']

describe('a lock record', () => {
  it('with fields of the next version is used, and keeps them over seal and handover', async () => {
    const first = await room.openSession()
    const token = await room.take(first)
    await rewrite(LOCK_RECORD, { version: 2, readableFrom: 1, colour: 'blue' })
    const call = admit(token)
    if (call.kind !== 'admitted') throw new Error('not admitted')
    const next = room.take(await room.openSession(), 20_000)
    await room.locking.plane.release(VOLUME, first)
    await room.clock.advance(100)
    expect((await stored(LOCK_RECORD))[0]?.value).toMatchObject({ version: 1, colour: 'blue' })
    call.entry.ended()
    await room.clock.advance(3_000)
    await next
    expect((await stored(LOCK_RECORD))[0]?.value).toMatchObject({
      colour: 'blue',
      grants: [{ state: 'open' }],
    })
  })

  it('of the next version blocks this lock, loudly, and no other, until it can be read again', async () => {
    const token = await room.take(await room.openSession())
    const [before] = await stored(LOCK_RECORD)
    await write(LOCK_RECORD, { version: 2, everything: 'else' })
    expect(admit(token)).toMatchObject({
      refusal: {
        code: 'view-not-current',
        detail: expect.stringContaining('cannot be read by this version'),
      },
    })
    expect(phase()).toBe('blocked')
    expect(room.told).toContainEqual(expect.objectContaining({ type: 'lock.blocked', lock: VOLUME }))
    expect((await stored(LOCK_RECORD))[0]?.value).toEqual({ version: 2, everything: 'else' })
    const other = {
      lock: 'other' as typeof VOLUME,
      session: await room.openSession(),
      mode: 'exclusive',
    } as const
    const gone = new AbortController().signal
    expect(await room.locking.plane.acquire({ ...other, waitMs: 0, note: null }, gone)).toMatchObject({
      kind: 'granted',
    })
    await write(LOCK_RECORD, before?.value ?? {})
    expect(admit(token).kind).toBe('admitted')
    expect(phase()).toBe('open')
  })

  it('of the next version may be a seal: what is open here is reported until it has ended', async () => {
    const token = await room.take(await room.openSession())
    const call = admit(token)
    await write(LOCK_RECORD, { version: 2, everything: 'else' })
    await room.clock.advance(3_000)
    expect(await openOf()).toEqual([[VOLUME, Number(token), 'draining']])
    if (call.kind === 'admitted') call.entry.ended()
    await room.clock.advance(3_000)
    expect(await openOf()).toEqual([])
  })
})

describe('a session record of the next version', () => {
  async function meetOne(): Promise<{ session: SessionId; token: string }> {
    const session = await room.openSession(2_000)
    const token = await room.take(session)
    await write(`/fencegate/sessions/${session}`, { version: 2, everything: 'else' })
    return { session, token }
  }

  it('closes its locks here, and its holder is told to ask elsewhere, not that he is lost', async () => {
    const { session, token } = await meetOne()
    expect(admit(token)).toMatchObject({ refusal: { code: 'view-not-current' } })
    expect(phase()).toBe('blocked')
    await expect(room.locking.plane.keepAlive(session)).rejects.toMatchObject({ code: 'store-unavailable' })
  })

  it('is not taken for a session without a plan when it expires', async () => {
    await meetOne()
    await room.clock.advance(20_000)
    expect(await stored('/fencegate/fences/')).toEqual([])
    expect((await stored(LOCK_RECORD))[0]?.value).toMatchObject({ grants: [{ state: 'open' }] })
    expect(phase()).toBe('blocked')
  })
})

describe('a fence record of the next version', () => {
  it('ends the session all the same, is not written over, and waits for an operator', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const fence = `/fencegate/fences/${session}`
    await write(fence, { version: 2, everything: 'else' })
    expect(admit(token)).toMatchObject({ refusal: { code: 'stale-token' } })
    expect(await room.locking.plane.keepAlive(session)).toBeNull()
    await room.clock.advance(90_000)
    expect((await stored(fence))[0]?.value).toEqual({ version: 2, everything: 'else' })
    expect(await stored(`/fencegate/sessions/${session}`)).toHaveLength(1)
    expect((await stored(LOCK_RECORD))[0]?.value).toMatchObject({
      grants: [{ state: 'sealed', fence: session }],
    })
    expect(phase()).toBe('blocked')
  })
})

describe('the registration of a gateway of the next version', () => {
  const registration = {
    version: 2,
    readableFrom: 1,
    state: 'serving',
    quietMs: 20_000,
    name: 'next',
    startedAt: 't',
    formats: { reads: 2, writes: 2 },
    colour: 'blue',
  }

  it('keeps what is not known here when its end is written down', async () => {
    await write('/fencegate/gateways/next', registration)
    const [record] = await stored('/fencegate/gateways/next')
    expect(record?.value).toEqual({ ...registration, version: 1, readableFrom: undefined, state: 'gone' })
  })

  it('is left alone where it cannot be read, and what it may have open blocks loudly', async () => {
    await write('/fencegate/gateways/next', { ...registration, readableFrom: 2 })
    const first = await room.openSession()
    await room.take(first)
    await room.locking.plane.release(VOLUME, first)
    await room.clock.advance(60_000)
    expect((await stored('/fencegate/gateways/next'))[0]?.value['state']).toBe('serving')
    expect(phase()).toBe('blocked')
    expect(room.locking.plane.lock(VOLUME).waitingOn[0]).toContain('its record cannot be read')
  })

  it('says of this gateway what it reads and writes', async () => {
    expect((await stored('/fencegate/gateways/'))[0]?.value).toMatchObject({
      formats: { reads: 1, writes: 1 },
    })
  })
})
