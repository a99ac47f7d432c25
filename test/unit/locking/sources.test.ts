// Keys that lie in another layout, written here by hand as their clients write them.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LockSource, wholeName } from '../../../gateway/core/lock-source.ts'
import type { LeaseId, LockName, Revision } from '../../../gateway/core/names.ts'
import type { AdmissionResult } from '../../../gateway/spi/gate.ts'
import type { Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const TOOZ: LockSource = {
  name: 'tooz',
  prefix: '/tooz/locks',
  rules: [
    {
      match: wholeName('(?<name>.+)-delete'),
      lock: 'cinder/{name}',
      holder: 'deleter of {name}',
      fenceInfo: { of: '{name}' },
    },
    { match: wholeName('(?<name>volume/.+)'), lock: 'cinder/{name}', holder: null, fenceInfo: {} },
  ],
  plan: null,
  unfenced: false,
  onDisappearance: { keyDeleted: 'released', leaseEnded: 'expired' },
}
const KEY = '/tooz/locksvolume/1-delete'
const OTHER_KEY = '/tooz/locksvolume/1'

let rooms: TestRoom[] = []
let room: TestRoom

async function open(source: LockSource | null = TOOZ): Promise<TestRoom> {
  return opened({ sources: source === null ? [] : [source] })
}

async function opened(options: Parameters<typeof openRoom>[0]): Promise<TestRoom> {
  const next = await openRoom(options)
  rooms.push(next)
  return next
}

beforeEach(() => {
  rooms = []
})
afterEach(async () => {
  for (const each of rooms.toReversed()) await each.close()
})

async function rested(): Promise<void> {
  for (let turns = 0; turns < 60; turns++) await room.clock.advance(0)
}

/** What a foreign client does: a lease for the attempt, and the key where nobody has it. */
async function takeKey(key = KEY, ttlMs = 30_000): Promise<{ token: Revision; lease: LeaseId }> {
  const { lease } = await room.store.grantLease(ttlMs)
  const result = await room.store.transact({
    compare: [{ key, createRevision: 0 }],
    writes: [{ put: key, value: '\u{FFFD}uuid', lease }],
  })
  if (!result.succeeded) throw new Error(`${key} is taken`)
  await rested()
  return { token: result.revision, lease }
}

async function deleteKey(key = KEY): Promise<void> {
  await room.store.transact({ compare: [], writes: [{ delete: key }] })
  await rested()
}

async function call(token: number, at: TestRoom = room): Promise<string> {
  const result: AdmissionResult = await at.locking.gate.admit(
    {
      backend: 'b',
      method: 'POST',
      target: '/',
      rule: 'r',
      locks: [{ name: VOLUME, mode: 'exclusive' }],
      tokens: [{ lock: null, token, signature: null }],
      waitMs: 0,
      quietMs: 1_000,
    },
    null,
  )
  if (result.kind === 'refused') return result.refusal.code
  result.entry.ended()
  return 'admitted'
}

function lock(at: TestRoom = room) {
  return at.locking.plane.lock(VOLUME)
}

function fences() {
  return room.locking.plane.fences({ limit: 10, after: null }).items
}

describe('a lock of a source', () => {
  beforeEach(async () => {
    room = await open()
  })

  it('is owned by whoever has the key, and its create revision is the token', async () => {
    const { token } = await takeKey()
    expect(lock().owners).toMatchObject([
      { token: String(token), holder: { id: 'deleter of volume/1', source: 'tooz' } },
    ])
    expect(await call(token)).toBe('admitted')
    await deleteKey()
    expect(await call(token)).toBe('stale-token')
  })

  it('keeps our own sessions out, and goes to the next of them when it is given back', async () => {
    const { token } = await takeKey()
    const session = await room.openSession()
    expect((await room.acquire(session)).kind).toBe('held')
    const taking = room.take(session, 20_000)
    await rested()
    await deleteKey()
    expect(Number(await taking)).toBeGreaterThan(token)
    expect(fences()).toEqual([])
  })

  it('is kept from whoever took the key while one of ours owns it, until that one is done', async () => {
    const session = await room.openSession()
    const ours = await room.take(session)
    const { token } = await takeKey()
    expect([await call(token), await call(Number(ours))]).toEqual(['handover', 'admitted'])
    await room.locking.plane.release(VOLUME, session)
    await rested()
    expect([await call(token), await call(Number(ours))]).toEqual(['admitted', 'stale-token'])
  })

  it('has those as waiters in order who have the keys of its several names', async () => {
    const first = await takeKey(KEY)
    const second = await takeKey(OTHER_KEY)
    expect(lock().waiters.map((waiter) => waiter.token)).toEqual([String(second.token)])
    expect([await call(first.token), await call(second.token)]).toEqual(['admitted', 'handover'])
    await deleteKey(KEY)
    expect(await call(second.token)).toBe('admitted')
  })

  it('is not touched by a key whose name only begins like one of its own', async () => {
    await takeKey('/tooz/locksvolume/10')
    expect(lock().phase).toBe('free')
    expect(room.locking.plane.lock('cinder/volume/10' as LockName).phase).toBe('open')
  })

  it('has its holder fenced as the source says where his lease ended', async () => {
    const { lease } = await takeKey()
    await room.store.revokeLease(lease)
    await rested()
    expect(fences()).toMatchObject([
      {
        id: lease,
        cause: 'expired',
        plan: 'kill',
        fenceInfo: { of: 'volume/1' },
        holder: { id: 'deleter of volume/1' },
      },
    ])
    expect(lock().phase).toBe('handover')
  })

  it('is released, and nobody is fenced, where the key goes and the lease later', async () => {
    const { lease } = await takeKey()
    await deleteKey()
    await room.store.revokeLease(lease)
    await rested()
    expect([lock().phase, fences()]).toEqual(['free', []])
  })

  it('is told from the next one under the same key by its revision', async () => {
    const first = await takeKey()
    await deleteKey()
    const second = await takeKey()
    expect([await call(first.token), await call(second.token)]).toEqual(['stale-token', 'admitted'])
  })

  it('is judged right where the key went and came again while the watch was broken', async () => {
    const first = await takeKey()
    const { lease } = first
    room.far.breakWatches()
    await room.store.revokeLease(lease)
    const second = await takeKey()
    await room.clock.advance(1_000)
    await rested()
    expect(fences().map(({ id }) => id)).toEqual([lease])
    expect([await call(first.token), await call(second.token)]).toEqual(['stale-token', 'handover'])
  })

  it('forgets who waited for it with a key that came again under another lease', async () => {
    const session = await room.openSession()
    await room.take(session)
    const { lease } = await takeKey()
    room.far.breakWatches()
    await deleteKey()
    await takeKey()
    await room.clock.advance(1_000)
    await rested()
    expect(room.locking.plane.session(lease)).toBeNull()
  })

  it('is never opened to a key without a lease, of which nobody could tell the end', async () => {
    await room.store.transact({ compare: [], writes: [{ put: KEY, value: '' }] })
    await rested()
    expect(lock().waitingOn.join()).toContain('no lease')
    await deleteKey()
    expect(lock().phase).toBe('free')
  })

  it('is taken from its holder, key and all, where an operator has him fenced', async () => {
    const { token, lease } = await takeKey()
    const order = { by: 'op', reason: 'hangs', plan: null }
    await room.locking.plane.fenceSession(lease, order)
    await rested()
    expect(await call(token)).toBe('stale-token')
    expect((await room.store.read(KEY)).items).toEqual([])
  })
})

describe('what the disappearance of a key means', () => {
  it('can be that every deletion is an expiry', async () => {
    room = await open({ ...TOOZ, onDisappearance: { keyDeleted: 'expired', leaseEnded: 'expired' } })
    const { lease } = await takeKey()
    await deleteKey()
    expect(fences().map(({ id }) => id)).toEqual([lease])
  })

  it('can be that a lease that ends is a release', async () => {
    room = await open({ ...TOOZ, onDisappearance: { keyDeleted: 'released', leaseEnded: 'released' } })
    const { lease } = await takeKey()
    await room.store.revokeLease(lease)
    await rested()
    expect([lock().phase, fences()]).toEqual(['free', []])
  })

  it('leaves the holder of an unfenced source unfenced, whatever the default plan says, and says so', async () => {
    room = await open({ ...TOOZ, unfenced: true })
    const { lease } = await takeKey()
    await room.store.revokeLease(lease)
    await rested()
    expect(lock().phase).toBe('free')
    expect(fences()).toMatchObject([
      { plan: null, progress: { outcome: 'unfenced', reason: expect.stringContaining('tooz') } },
    ])
  })
})

describe('gateways whose sources differ', () => {
  it('open no key that was held before the source was there, and leave the lock to its end', async () => {
    room = await open(null)
    const { token } = await takeKey()
    const later = await opened({ beside: room, sources: [TOOZ], name: 'gateway-2' })
    await rested()
    expect(lock(later).waitingOn.join()).toContain('before the gateways watched')
    expect(await call(token, later)).toBe('handover')
    await deleteKey()
    const next = await takeKey()
    expect(await call(next.token, later)).toBe('admitted')
  })

  it('never serve beside each other: the later one grants and admits nothing until the earlier is gone', async () => {
    room = await opened({ shared: true, sources: [TOOZ] })
    const other = await opened({ shared: true, beside: room, sources: [], name: 'gateway-2' })
    await rested()
    const session = await room.openSession()
    const token = Number(await room.take(session))
    expect([await call(token), await call(token, other)]).toEqual(['admitted', 'view-not-current'])
    await room.locking.plane.release(VOLUME, session)
    await rested()
    await room.locking.close(0)
    await rested()
    expect(await call(Number(await other.take(session)), other)).toBe('admitted')
  })

  it('do not drive beside each other: the later one opens nothing of what it queues', async () => {
    room = await opened({ shared: true, sources: [TOOZ] })
    const other = await opened({ shared: true, beside: room, sources: [], name: 'gateway-2' })
    await rested()
    room.far.breakWatches()
    const session = await other.openSession()
    const taking = other.acquire(session, 20_000)
    await rested()
    expect(lock(other)).toMatchObject({ owners: [], waiters: [{ session }] })
    // The earlier one sees again, and does it.
    await room.clock.advance(1_000)
    expect((await taking).kind).toBe('granted')
  })

  it('do not judge each other: what only one of them watches', async () => {
    room = await opened({ shared: true, sources: [TOOZ] })
    const { token } = await takeKey()
    const other = await opened({ shared: true, beside: room, sources: [], name: 'gateway-2' })
    await rested()
    expect([await call(token), await call(token, other)]).toEqual(['admitted', 'view-not-current'])
    await room.locking.close(0)
    await rested()
    // It does not see the key: neither does it admit under it, nor take it for gone.
    expect(lock(other)).toMatchObject({ phase: 'blocked', owners: [{ state: 'open' }] })
    expect(lock(other).waitingOn.join()).toContain('no source')
    expect(await call(token, other)).toBe('view-not-current')
    const session = await other.openSession()
    expect(await call(Number(token), other)).toBe('view-not-current')
    expect((await other.acquire(session)).kind).toBe('held')
  })

  it('move on from a key that nobody watches any more when an operator says so', async () => {
    room = await opened({ shared: true, sources: [TOOZ] })
    const { lease } = await takeKey()
    await room.locking.close(0)
    const other = await opened({ shared: true, beside: room, sources: [], name: 'gateway-2' })
    await rested()
    expect(lock(other).phase).toBe('blocked')
    const order = { by: 'op', reason: 'the source is gone', plan: null }
    const fence = await other.locking.plane.fenceSession(lease, order)
    await rested()
    await other.locking.plane.confirmFence(fence.id, { by: 'op', reason: 'saw it' })
    await rested()
    await room.clock.advance(60_000)
    await rested()
    expect(lock(other).phase).toBe('free')
  })

  it('serve as one where they have the same', async () => {
    room = await opened({ shared: true, sources: [TOOZ] })
    const other = await opened({ shared: true, beside: room, sources: [TOOZ], name: 'gateway-2' })
    const { token } = await takeKey()
    expect([await call(token), await call(token, other)]).toEqual(['admitted', 'admitted'])
  })

  it('come to an agreement also where the store did not hear the first word of the only gateway', async () => {
    let lost = 0
    const isWord = ({ writes }: Transaction) =>
      writes.some((write) => 'put' in write && write.put.endsWith('/agreed'))
    room = await opened({
      sources: [TOOZ],
      loss: (transaction) => (isWord(transaction) && lost++ === 0 ? 'request' : null),
    })
    expect(room.locking.plane.readiness().ready).toBe(false)
    await room.clock.advance(1_000)
    expect(room.locking.plane.readiness().ready).toBe(true)
  })
})
