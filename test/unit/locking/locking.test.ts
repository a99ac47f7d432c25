import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, type LockingOptions, startLocking } from '../../../gateway/locking/locking.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { AdmissionRequest, AdmissionResult, LedgerEntry } from '../../../gateway/spi/gate.ts'
import type { Transaction } from '../../../gateway/spi/store.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { FarStore } from './far-store.ts'

const VOLUME = 'cinder/volume/1' as LockName
const QUIET_MS = 20_000
const DRAIN_MS = 5_000
const FENCES_KEPT_MS = 600_000
const PLAN: FencePlanner = {
  defaultPlan: null,
  levels: (plan) => (plan === 'kill' ? [['kill']] : null),
  checkFenceInfo: (_plan, fenceInfo) =>
    typeof fenceInfo['pid'] === 'number'
      ? { kind: 'complete', fenceInfo, targets: [`process:${fenceInfo['pid']}`] }
      : { kind: 'faulty', faults: ['pid: expected a number'] },
}
const NEVER = new AbortController().signal

let folder: string
let clock: ManualClock
let store: EmbeddedStore
let locking: Locking
let events: GatewayEvent[]
let far: FarStore
let ids = 0
let planner = PLAN

function options(): LockingOptions {
  return {
    store,
    prefix: '/fencegate',
    clock,
    events: (event) => events.push(event),
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner,
    name: 'gateway-1',
    newId: () => `incarnation-${++ids}`,
    quietMs: QUIET_MS,
    leaseMs: 10_000,
    drainMs: DRAIN_MS,
    parkedMax: 4,
    fencesKeptMs: FENCES_KEPT_MS,
    ttlMsMin: 100,
    ttlMsMax: 3_600_000,
    signing: null,
    onStopped: (reason) => {
      throw new Error(reason)
    },
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fencegate-locking-'))
  clock = new ManualClock()
  events = []
  store = openEmbeddedStore({ path: folder, clock })
  locking = await startLocking(options())
})

afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

/** As kill -9 leaves it: nothing is said to the store any more, and a new process opens the file. */
async function crashAndRestart(): Promise<void> {
  await store.close()
  store = openEmbeddedStore({ path: folder, clock })
  locking = await startLocking(options())
}

async function openSession(over: { pid?: number; ttlMs?: number } = {}): Promise<SessionId> {
  const info = await locking.plane.openSession({
    ttlMs: over.ttlMs ?? 1_000,
    holder: { id: 'cinder-volume-1' },
    fenceInfo: over.pid === undefined ? {} : { pid: over.pid },
    plan: over.pid === undefined ? null : 'kill',
  })
  return info.session
}

async function take(session: SessionId, lock = VOLUME, waitMs = 0): Promise<number> {
  const result = await locking.plane.acquire({ lock, session, mode: 'exclusive', waitMs, note: null }, NEVER)
  if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
  return Number(result.grant.token)
}

function call(token: number, over: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    backend: 'cinder',
    method: 'POST',
    target: '/v3/p/volumes/1/action',
    rule: 'volume.extend',
    locks: [{ name: VOLUME, mode: 'exclusive' }],
    tokens: [{ lock: null, token, signature: null }],
    waitMs: 0,
    quietMs: QUIET_MS,
    ...over,
  }
}

function admitted(result: AdmissionResult | Promise<AdmissionResult>): LedgerEntry {
  if (result instanceof Promise) throw new Error('parked')
  if (result.kind !== 'admitted') throw new Error(JSON.stringify(result.refusal))
  return result.entry
}

function refused(result: AdmissionResult | Promise<AdmissionResult>): string {
  if (result instanceof Promise) throw new Error('parked')
  return result.kind === 'admitted' ? 'admitted' : result.refusal.code
}

async function until(condition: () => boolean): Promise<void> {
  for (let rounds = 0; rounds < 200; rounds++) {
    if (condition()) return
    await clock.advance(0)
  }
  expect(condition()).toBe(true)
}

function phase(): string {
  return locking.plane.lock(VOLUME).phase
}

describe('one gateway', () => {
  it('admits the owner, and refuses a call without, with an older and with a made-up token', async () => {
    const first = await openSession()
    const old = await take(first)
    await locking.plane.release(VOLUME, first)
    const token = await take(await openSession())
    expect(token).toBeGreaterThan(old)
    admitted(locking.gate.admit(call(token), null)).ended()
    expect(refused(locking.gate.admit(call(token, { tokens: [] }), null))).toBe('missing-token')
    expect(refused(locking.gate.admit(call(old), null))).toBe('stale-token')
    expect(await locking.gate.admit(call(token + 1_000_000), null)).toMatchObject({
      refusal: { code: 'stale-token' },
    })
    const named = call(0, { tokens: [{ lock: 'other' as LockName, token, signature: null }] })
    expect(refused(locking.gate.admit(named, null))).toBe('wrong-lock')
  })

  it('refuses a call that presents a stale token beside the one it needs', async () => {
    const session = await openSession()
    const token = await take(session)
    const other = 'cinder/backend/ssd' as LockName
    const stale = await take(session, other)
    const both = (second: number) =>
      call(0, {
        tokens: [
          { lock: VOLUME, token, signature: null },
          { lock: other, token: second, signature: null },
        ],
      })
    admitted(locking.gate.admit(both(stale), null)).ended()
    await locking.plane.release(other, session)
    expect(refused(locking.gate.admit(both(stale), null))).toBe('stale-token')
  })

  it('answers a retried acquisition with the same grant, and a second session with who holds it', async () => {
    const session = await openSession()
    const token = await take(session)
    expect(await take(session)).toBe(token)
    const other = await openSession()
    const result = await locking.plane.acquire(
      { lock: VOLUME, session: other, mode: 'exclusive', waitMs: 0, note: null },
      NEVER,
    )
    expect(result).toMatchObject({ kind: 'held', owner: { session, token: String(token) } })
    expect(locking.plane.lock(VOLUME).waiters).toEqual([])
  })

  it('hands the lock on in the order of the queue, without polling', async () => {
    const [a, b, c] = [await openSession(), await openSession(), await openSession()]
    await take(a)
    const order: string[] = []
    const second = take(b, VOLUME, 60_000).then(() => order.push('b'))
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    const third = take(c, VOLUME, 60_000).then(() => order.push('c'))
    await until(() => locking.plane.lock(VOLUME).waiters.length === 2)
    await locking.plane.release(VOLUME, a)
    await until(() => order.length === 1)
    await locking.plane.release(VOLUME, b)
    await until(() => order.length === 2)
    await Promise.all([second, third])
    expect(order).toEqual(['b', 'c'])
  })

  it('takes a waiter out of the queue at its deadline, and when it hangs up', async () => {
    const [a, b] = [await openSession({ ttlMs: 60_000 }), await openSession({ ttlMs: 60_000 })]
    await take(a)
    const late = locking.plane.acquire(
      { lock: VOLUME, session: b, mode: 'exclusive', waitMs: 2_000, note: null },
      NEVER,
    )
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    await clock.advance(2_000)
    expect((await late).kind).toBe('held')
    await until(() => locking.plane.lock(VOLUME).waiters.length === 0)
    const caller = new AbortController()
    const gone = locking.plane.acquire(
      { lock: VOLUME, session: b, mode: 'exclusive', waitMs: 9_000, note: null },
      caller.signal,
    )
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    caller.abort()
    await gone
    await until(() => locking.plane.lock(VOLUME).waiters.length === 0)
  })

  it('keeps the next holder out until the calls of the old one have ended, and his calls wait for it', async () => {
    const a = await openSession()
    const entry = admitted(locking.gate.admit(call(await take(a)), null))
    const b = await openSession({ ttlMs: 60_000 })
    const taking = take(b, VOLUME, 60_000)
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    const next = Number(locking.plane.lock(VOLUME).waiters[0]?.token)
    await locking.plane.release(VOLUME, a)
    await until(() => phase() === 'handover')
    expect(refused(locking.gate.admit(call(next), null))).toBe('handover')
    const parked = locking.gate.admit(call(next, { waitMs: 30_000 }), null)
    expect(parked).toBeInstanceOf(Promise)
    entry.ended()
    expect(await taking).toBe(next)
    admitted(await parked).ended()
  })

  it('fences an expired holder before the next one is let in', async () => {
    const a = await openSession({ pid: 4711 })
    const old = await take(a)
    const b = await openSession({ ttlMs: 60_000 })
    const taking = take(b, VOLUME, 60_000)
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    await clock.advance(1_001)
    expect(refused(locking.gate.admit(call(old), null))).toBe('stale-token')
    await until(() => locking.plane.fences({ limit: 10, after: null }).items.length === 1)
    expect(locking.plane.fence(a)).toMatchObject({
      cause: 'expired',
      levels: [['kill']],
      progress: { state: 'due' },
    })
    await clock.advance(10_000)
    expect(phase()).toBe('handover')
    await locking.plane.confirmFence(a, { by: 'ops', reason: 'pulled the power cord' })
    expect(await taking).toBeGreaterThan(old)
  })

  it('names in the grant, the lock and the queue’s next grant which fence was closed before it', async () => {
    const a = await openSession({ pid: 4711 })
    await take(a)
    const [b, c] = [await openSession({ ttlMs: 60_000 }), await openSession({ ttlMs: 60_000 })]
    const ask = (session: SessionId) =>
      locking.plane.acquire({ lock: VOLUME, session, mode: 'exclusive', waitMs: 60_000, note: null }, NEVER)
    const [first, second] = [ask(b), ask(c)]
    await until(() => locking.plane.lock(VOLUME).waiters.length === 2)
    await clock.advance(1_001)
    await until(() => locking.plane.fences({ limit: 10, after: null }).items.length === 1)
    await locking.plane.confirmFence(a, { by: 'ops', reason: 'off' })
    expect(await first).toMatchObject({ kind: 'granted', grant: { afterFences: [a] } })
    expect(locking.plane.lock(VOLUME).owners[0]?.afterFences).toEqual([a])
    // Asked again, it is the same grant.
    expect(await ask(b)).toMatchObject({ already: true, grant: { afterFences: [a] } })
    await locking.plane.release(VOLUME, b)
    const next = await second
    expect(next.kind === 'granted' && next.grant).not.toHaveProperty('afterFences')
  })

  it('keeps a closed fence for its time, and longer while a lock needs it', async () => {
    const a = await openSession()
    const entry = admitted(locking.gate.admit(call(await take(a)), null))
    entry.job('task-1', { kind: 'vsphere-task', task: 'task-1' })
    await clock.advance(1_001)
    await until(() => locking.plane.fence(a)?.progress.state === 'closed')
    await clock.advance(FENCES_KEPT_MS + 60_000)
    expect(phase()).toBe('blocked')
    expect(locking.plane.fence(a)).not.toBeNull()
    const b = await openSession()
    await take(b, 'other' as LockName)
    await clock.advance(1_001)
    await until(() => locking.plane.fence(b)?.progress.state === 'closed')
    entry.ended()
    await clock.advance(10_000)
    expect(locking.plane.fence(a)).toBeNull()
    expect(locking.plane.fence(b)).not.toBeNull()
  })

  it('does not fence after a release, nor a session that expires without a lock', async () => {
    const a = await openSession({ pid: 1 })
    await take(a)
    await locking.plane.release(VOLUME, a)
    await clock.advance(5_000)
    expect(locking.plane.fences({ limit: 10, after: null }).items).toEqual([])
    await until(() => locking.plane.session(a) === null)
  })

  it('refuses a new session for what is being fenced', async () => {
    await take(await openSession({ pid: 4711 }))
    await clock.advance(1_001)
    await until(() => locking.plane.fences({ limit: 1, after: null }).items.length === 1)
    await expect(openSession({ pid: 4711 })).rejects.toMatchObject({ code: 'fence-due' })
    await openSession({ pid: 4712 })
  })

  describe('does not open a session for what another has lost and is about to be fenced for', () => {
    beforeEach(async () => {
      await locking.close(0)
      far = new FarStore(store)
      locking = await startLocking({ ...options(), store: far.store })
    })
    const touches = ({ writes }: Transaction, room: string) =>
      writes.some((write) => 'put' in write && write.put.includes(`/${room}/`))

    it('where its lease is over and nobody could seal its grants yet', async () => {
      await take(await openSession({ pid: 4711 }))
      far.loss = (transaction) => (touches(transaction, 'fences') ? 'request' : null)
      await clock.advance(1_001)
      await expect(openSession({ pid: 4711 })).rejects.toMatchObject({ code: 'fence-due' })
      await openSession({ pid: 4712 })
      await clock.advance(2_000)
      await expect(openSession({ pid: 4711 })).rejects.toMatchObject({ code: 'fence-due' })
    })

    it('also where that happens while the session is being opened, of which nothing stays then', async () => {
      const first = await openSession({ pid: 4711, ttlMs: 60_000 })
      await take(first)
      let revoking: Promise<void> | null = null
      far.loss = (transaction) => {
        if (touches(transaction, 'sessions')) revoking ??= store.revokeLease(first)
        return null
      }
      await expect(openSession({ pid: 4711 })).rejects.toMatchObject({ code: 'fence-due' })
      expect(revoking).not.toBeNull()
      const kept = (await store.read('/fencegate/sessions/')).items.map(({ key }) => key)
      expect(kept).toEqual([`/fencegate/sessions/${first}`])
      expect((await store.read('/fencegate/canaries/')).items).toEqual([])
    })
  })

  it('says unfenced where there is no plan, and goes on once the calls are over', async () => {
    const a = await openSession()
    await take(a)
    await clock.advance(1_001)
    const b = await openSession()
    await take(b, VOLUME, 5_000)
    expect(locking.plane.fence(a)?.progress).toMatchObject({ state: 'closed', outcome: 'unfenced' })
  })

  it('refuses a session whose fenceInfo does not satisfy its plan, or whose plan does not exist', async () => {
    const request = { ttlMs: 1_000, holder: { id: 'h' }, fenceInfo: {} }
    await expect(locking.plane.openSession({ ...request, plan: 'kill' })).rejects.toMatchObject({
      code: 'fence-info',
    })
    await expect(locking.plane.openSession({ ...request, plan: 'nope' })).rejects.toMatchObject({
      code: 'plan-unknown',
    })
  })

  it('refuses a session of which the plan cannot know what it must, and keeps what the plan says', async () => {
    planner = {
      ...PLAN,
      fillFenceInfo: (_plan, { holder, fenceInfo }) =>
        holder['host'] === 'nova-1'
          ? { kind: 'filled', fenceInfo: { ...fenceInfo, pid: 11 } }
          : { kind: 'faulty', faults: ['pid: the inventory has no host "nova-2"'] },
    }
    await crashAndRestart()
    const open = (host: string) =>
      locking.plane.openSession({
        ttlMs: 60_000,
        holder: { id: 'n', host },
        fenceInfo: { pid: 7 },
        plan: 'kill',
      })
    await expect(open('nova-2')).rejects.toMatchObject({
      code: 'fence-info',
      message: 'fenceInfo does not satisfy plan kill: pid: the inventory has no host "nova-2"',
    })
    expect(await open('nova-1')).toMatchObject({ fenceInfo: { pid: 11 } })
    planner = PLAN
  })

  it('knows who else lives on the host of whom it fences, and what they hold', async () => {
    const open = (id: string, host?: string, fenceInfo = {}) =>
      locking.plane.openSession({
        ttlMs: id === 'a' ? 1_000 : 60_000,
        holder: { id, ...(host === undefined ? {} : { host }) },
        fenceInfo,
        plan: null,
      })
    const a = (await open('a', 'nova-1')).session
    const b = (await open('b', 'nova-1')).session
    const c = (await open('c', undefined, { host: 'nova-1' })).session
    await open('d', 'nova-2')
    await open('e')
    await locking.plane.closeSession((await open('gone', 'nova-1')).session)
    const dead = await locking.plane.openSession({
      ttlMs: 1_000,
      holder: { id: 'dead', host: 'nova-1' },
      fenceInfo: { pid: 7 },
      plan: 'kill',
    })
    await take(dead.session, 'cinder/volume/3' as LockName)
    await take(a)
    await take(b, 'cinder/volume/2' as LockName)
    await clock.advance(1_001)
    await until(() => locking.plane.fence(a) !== null && locking.plane.fence(dead.session) !== null)
    const record = locking.plane.fence(a)
    const found = record === null ? [] : (locking.plane.neighbours?.(record) ?? [])
    expect(found.toSorted((x, y) => x.holder.localeCompare(y.holder))).toEqual([
      { session: b, holder: 'b', locks: ['cinder/volume/2'] },
      { session: c, holder: 'c', locks: [] },
    ])
  })

  it('waits the quiet time for a call whose answer was lost, and not for one that ended', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    admitted(locking.gate.admit(call(await take(a)), null)).unknown('connection broken')
    await locking.plane.release(VOLUME, a)
    const taking = take(await openSession({ ttlMs: 60_000 }), VOLUME, 60_000)
    await clock.advance(QUIET_MS - 100)
    expect(locking.plane.lock(VOLUME)).toMatchObject({ phase: 'handover', owners: [{ unknown: 1 }] })
    await clock.advance(200)
    await taking
  })

  it('counts the quiet time also where the last call that was answered ended after the one that was lost', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    const token = await take(a)
    admitted(locking.gate.admit(call(token), null)).unknown('connection broken')
    const answered = admitted(locking.gate.admit(call(token), null))
    await locking.plane.release(VOLUME, a)
    await clock.advance(1_000)
    answered.ended()
    await clock.advance(QUIET_MS)
    expect(phase()).toBe('free')
  })

  it('breaks off a call that outlasts the drain limit, which is then unknown', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    const entry = admitted(locking.gate.admit(call(await take(a)), null))
    let sealed = 0
    let abandoned = 0
    entry.onSealed(() => sealed++)
    entry.onAbandoned(() => abandoned++)
    await locking.plane.release(VOLUME, a)
    expect([sealed, abandoned]).toEqual([1, 0])
    await clock.advance(DRAIN_MS)
    expect([sealed, abandoned]).toEqual([1, 1])
    expect(locking.plane.lock(VOLUME).inFlight).toMatchObject([{ state: 'unknown' }])
  })

  it('keeps a call unknown whose answer comes after it was given up, whatever it names', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    const entry = admitted(locking.gate.admit(call(await take(a)), null))
    await locking.plane.release(VOLUME, a)
    await clock.advance(DRAIN_MS)
    entry.job('task-12', { kind: 'vsphere-task', task: 'task-12' })
    entry.ended()
    expect(locking.plane.lock(VOLUME).inFlight).toMatchObject([{ state: 'unknown' }])
    await clock.advance(QUIET_MS)
    await until(() => phase() === 'free')
    expect(locking.counts()).toMatchObject({ inFlight: 0, unknown: 0 })
    entry.unknown('late')
    expect(locking.counts()).toMatchObject({ inFlight: 0, unknown: 0 })
  })

  it('waits for a job that an answer named, past the drain limit', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    const entry = admitted(locking.gate.admit(call(await take(a)), null))
    entry.job('task-12', { kind: 'vsphere-task', task: 'task-12' })
    await locking.plane.release(VOLUME, a)
    const taking = take(await openSession({ ttlMs: 120_000 }), VOLUME, 100_000)
    expect(phase()).toBe('handover')
    await clock.advance(DRAIN_MS + QUIET_MS)
    expect(locking.plane.lock(VOLUME)).toMatchObject({
      phase: 'blocked',
      inFlight: [{ state: 'job', job: 'task-12' }],
      owners: [{ jobs: [{ backend: 'cinder', job: 'task-12' }] }],
      waitingOn: [expect.stringMatching(/started task-12 at cinder, which is not over past the drain limit/)],
    })
    expect(events).toContainEqual(expect.objectContaining({ type: 'lock.blocked', lock: VOLUME }))
    entry.ended()
    await taking
  })

  it('admits nothing under a grant whose record somebody deleted, and counts its calls once', async () => {
    const entry = admitted(locking.gate.admit(call(await take(await openSession({ ttlMs: 60_000 }))), null))
    const record = (await store.read('/fencegate/lock-records/')).items[0]
    await store.transact({ compare: [], writes: [{ delete: record?.key ?? '' }] })
    await until(() => entry.sealed)
    entry.ended()
    expect(locking.counts()).toMatchObject({ inFlight: 0, unknown: 0 })
  })

  it('parks a bounded number of calls', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    await take(a)
    const b = await openSession({ ttlMs: 60_000 })
    void locking.plane.acquire(
      { lock: VOLUME, session: b, mode: 'exclusive', waitMs: 9_000, note: null },
      NEVER,
    )
    await until(() => locking.plane.lock(VOLUME).waiters.length === 1)
    const next = Number(locking.plane.lock(VOLUME).waiters[0]?.token)
    const parked = Array.from({ length: 4 }, () => locking.gate.admit(call(next, { waitMs: 1_000 }), null))
    expect(refused(locking.gate.admit(call(next, { waitMs: 1_000 }), null))).toBe('handover')
    await clock.advance(1_000)
    for (const result of parked) expect(refused(await result)).toBe('handover')
  })

  it('fences a session at an operator’s word, and lets nothing of it pass from then on', async () => {
    const a = await openSession({ pid: 7, ttlMs: 60_000 })
    const token = await take(a)
    await locking.plane.fenceSession(a, { by: 'ops', reason: 'runs wild', plan: null })
    expect(refused(locking.gate.admit(call(token), null))).toBe('stale-token')
    expect(await locking.plane.keepAlive(a)).toBeNull()
    await until(() => locking.plane.lock(VOLUME).owners[0]?.state === 'sealed')
    expect(locking.plane.fence(a)).toMatchObject({ cause: 'operator', by: 'ops', progress: { state: 'due' } })
  })

  it('closes a session: gives back what it holds, without a fence, also when asked again', async () => {
    const a = await openSession({ pid: 7 })
    await take(a)
    await locking.plane.closeSession(a)
    await locking.plane.closeSession(a)
    await take(await openSession())
    expect(locking.plane.fences({ limit: 1, after: null }).items).toEqual([])
  })

  it('lists locks and sessions by page', async () => {
    const session = await openSession()
    for (const name of ['a', 'b', 'c']) await take(session, `p/${name}` as LockName)
    const first = locking.plane.locks('p/', { limit: 2, after: null })
    expect(first.items.map((item) => item.lock)).toEqual(['p/a', 'p/b'])
    const second = locking.plane.locks('p/', { limit: 2, after: first.next })
    expect([second.items.map((item) => item.lock), second.next]).toEqual([['p/c'], null])
    expect(locking.plane.session(session)?.holds).toHaveLength(3)
  })
})

describe('after a crash', () => {
  it('keeps the owner, whose lease has its TTL again', async () => {
    const a = await openSession()
    const token = await take(a)
    await crashAndRestart()
    expect(await locking.plane.keepAlive(a)).not.toBeNull()
    admitted(locking.gate.admit(call(token), null)).ended()
  })

  it('still fences whom it had to fence, and lets nobody in before', async () => {
    const a = await openSession({ pid: 4711 })
    await take(a)
    await clock.advance(1_001)
    await until(() => locking.plane.fence(a) !== null)
    await crashAndRestart()
    expect(locking.plane.fence(a)?.progress).toEqual({ state: 'due', level: 0 })
    expect(phase()).toBe('handover')
  })

  it('fences a holder whose lease ran out in the instant of the crash', async () => {
    const a = await openSession({ pid: 4711 })
    await take(a)
    const lost = store.revokeLease(a)
    await store.close()
    await lost.catch(() => undefined)
    store = openEmbeddedStore({ path: folder, clock })
    locking = await startLocking(options())
    await clock.advance(1_001)
    await until(() => locking.plane.fence(a) !== null)
  })

  it('treats what was in flight as unknown until the quiet time is over', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    admitted(locking.gate.admit(call(await take(a)), null))
    await crashAndRestart()
    await locking.plane.release(VOLUME, a)
    const taking = take(await openSession({ ttlMs: 60_000 }), VOLUME, 60_000)
    await clock.advance(QUIET_MS)
    expect(phase()).toBe('handover')
    await clock.advance(1_100)
    await taking
  })

  it('owes nothing to a crash for grants that are younger than it', async () => {
    await crashAndRestart()
    const a = await openSession()
    await take(a)
    await locking.plane.release(VOLUME, a)
    await take(await openSession(), VOLUME, 0)
  })

  it('leaves nothing open behind after a clean exit', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    admitted(locking.gate.admit(call(await take(a)), null)).ended()
    await locking.close(0)
    await crashAndRestart()
    await locking.plane.release(VOLUME, a)
    await take(await openSession(), VOLUME, 0)
  })

  it('does not call an exit clean that left a call open', async () => {
    const a = await openSession({ ttlMs: 60_000 })
    admitted(locking.gate.admit(call(await take(a)), null))
    const closing = locking.close(1_000)
    await clock.advance(1_100)
    await closing
    await crashAndRestart()
    await locking.plane.release(VOLUME, a)
    expect(phase()).toBe('handover')
  })
})
