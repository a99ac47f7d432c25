// One gateway over a real embedded store that is restored from a backup: what it refuses, what a new epoch ends, and when
// it goes on.

import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EPOCH_MAX, epochOf, REVISION_MAX } from '../../../gateway/core/epoch.ts'
import type { LockName, Revision, SessionId } from '../../../gateway/core/names.ts'
import { bumpEpoch, epochStatus } from '../../../gateway/locking/epoch-bump.ts'
import { enterEpoch } from '../../../gateway/locking/epoch-keeper.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { AdmissionResult } from '../../../gateway/spi/gate.ts'
import { type Store, StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { openFileMark } from '../../../gateway/store/file-mark.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const VOLUME = 'cinder/volume/1' as LockName
const OTHER = 'cinder/volume/2' as LockName
const PREFIX = '/fencegate'
const QUIET_MS = 20_000
const LEASE_MS = 10_000
const SETTLE_MS = QUIET_MS + LEASE_MS + 1_000
const NEVER = new AbortController().signal
const KILL: FencePlanner = {
  defaultPlan: 'kill',
  levels: () => [['kill']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}

let folder: string
let clock: ManualClock
let store: Store
let locking: Locking
let events: GatewayEvent[]
let ids = 0

const newId = () => `id-${++ids}`
const stateOf = (gateway: string) => join(folder, 'state', gateway)
const openStore = () => openEmbeddedStore({ path: join(folder, 'store'), clock })

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fencegate-epoch-'))
  clock = new ManualClock()
  await start()
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

/** `state` names the gateway's directory: another one is another gateway, or one that has lost its own. */
async function start({
  state = 'a',
  opened = openStore(),
}: {
  state?: string
  opened?: Store
} = {}): Promise<void> {
  store = opened
  events = []
  const common = {
    prefix: PREFIX,
    clock,
    events: (event: GatewayEvent) => events.push(event),
    newId,
    quietMs: QUIET_MS,
    leaseMs: LEASE_MS,
  }
  const epoch = await enterEpoch({ ...common, store, mark: openFileMark(stateOf(state)) })
  locking = await startLocking({
    ...common,
    store: epoch.store,
    mark: epoch,
    epoch,
    planner: KILL,
    name: state,
    drainMs: 5_000,
    parkedMax: 4,
    ttlMsMin: 100,
    ttlMsMax: 3_600_000,
    signing: null,
    onStopped: (reason) => {
      throw new Error(reason)
    },
  })
}

/** As kill -9 leaves it. */
async function crash(): Promise<void> {
  await store.close()
}

/** Of what the store holds now; the gateway starts again behind it. */
async function backUp(): Promise<void> {
  await crash()
  cpSync(join(folder, 'store'), join(folder, 'backup'), { recursive: true })
  await start()
}

async function restore(): Promise<void> {
  await crash()
  rmSync(join(folder, 'store'), { recursive: true })
  cpSync(join(folder, 'backup'), join(folder, 'store'), { recursive: true })
}

async function bump(over: { above?: number; again?: boolean; state?: string; opened?: Store } = {}) {
  const { above = 0, again = false, state = 'a', opened = openStore() } = over
  try {
    const mark = openFileMark(stateOf(state))
    const word = { by: 'ada', reason: 'the disk broke' }
    return await bumpEpoch({ store: opened, prefix: PREFIX, mark, clock, newId, ...word, above, again })
  } finally {
    await opened.close()
  }
}

async function openSession(): Promise<SessionId> {
  const asked = { ttlMs: 3_600_000, holder: { id: 'cinder-volume-1' }, fenceInfo: { pid: 7 }, plan: null }
  return (await locking.plane.openSession(asked)).session
}

async function take(session: SessionId, lock = VOLUME): Promise<number> {
  const result = await locking.plane.acquire(
    { lock, session, mode: 'exclusive', waitMs: 0, note: null },
    NEVER,
  )
  if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
  return Number(result.grant.token)
}

async function verdict(token: number, lock = VOLUME): Promise<string> {
  const result: AdmissionResult = await locking.gate.admit(
    {
      backend: 'cinder',
      method: 'POST',
      target: '/',
      rule: 'r',
      locks: [{ name: lock, mode: 'exclusive' }],
      tokens: [{ lock: null, token, signature: null }],
      waitMs: 0,
      quietMs: QUIET_MS,
    },
    null,
  )
  if (result.kind === 'refused') return result.refusal.code
  result.entry.ended()
  return 'admitted'
}

const why = () => locking.plane.readiness().reason ?? ''
/** Until the gateway remembers more than before. */
async function sweep(state = 'a'): Promise<void> {
  const known = () => openFileMark(stateOf(state)).memory?.revision ?? 0
  const before = known()
  await clock.advance(2_000)
  await expect.poll(known).toBeGreaterThan(before)
}

/** The store, but for some of its methods. */
function withOther(inner: Store, other: Partial<Store>): Store {
  return {
    kind: inner.kind,
    shared: inner.shared,
    read: (prefix) => inner.read(prefix),
    transact: (transaction) => inner.transact(transaction),
    transactEach: (transactions) => inner.transactEach(transactions),
    watch: (prefix, after, listener) => inner.watch(prefix, after, listener),
    grantLease: (ttlMs) => inner.grantLease(ttlMs),
    keepAlive: (lease) => inner.keepAlive(lease),
    revokeLease: (lease) => inner.revokeLease(lease),
    currentRevision: () => inner.currentRevision(),
    close: () => inner.close(),
    ...other,
  }
}

/** Everything of a first life: a token from before the backup, and a later one that the backup does not have. */
async function lostHistory(): Promise<{ session: SessionId; old: number; lost: number }> {
  const session = await openSession()
  const old = await take(session)
  await sweep()
  await backUp()
  const lost = await take(await openSession(), OTHER)
  await sweep()
  return { session, old, lost }
}

describe('a gateway whose store was restored', () => {
  it('admits nothing, says why, and writes nothing, also after a restart', async () => {
    const { session, old, lost } = await lostHistory()
    await restore()
    await start()
    for (const [token, lock] of [
      [old, VOLUME],
      [lost, OTHER],
    ] as const)
      expect(await verdict(token, lock)).toBe('view-not-current')
    expect(why()).toMatch(/older backup.*fencegate epoch bump/)
    expect(events.filter(({ type }) => type === 'view.lost')).toHaveLength(1)
    const revision = await store.currentRevision()
    await expect(openSession()).rejects.toThrow('older backup')
    await expect(take(session, OTHER)).rejects.toThrow('older backup')
    await expect(locking.plane.keepAlive(session)).rejects.toThrow('older backup')
    await locking.plane.release(VOLUME, session)
    await clock.advance(10_000)
    await locking.close(0)
    expect(await store.currentRevision()).toBe(revision)
    await crash()
    await start()
    expect(why()).toContain('older backup')
  })

  it('refuses it still when others have written it up past the mark', async () => {
    const { lost } = await lostHistory()
    await restore()
    await start({ state: 'b' })
    for (let writes = 0; writes < 100; writes++)
      await store.transact({ compare: [], writes: [{ put: '/elsewhere', value: '' }] })
    expect(await store.currentRevision()).toBeGreaterThan(lost)
    await crash()
    await start()
    expect(why()).toContain('the store lacks what this gateway wrote to it')
  })

  it('refuses an emptied store, and another one that was put in its place', async () => {
    await lostHistory()
    await crash()
    rmSync(join(folder, 'store'), { recursive: true })
    await start()
    expect(why()).toContain('another one than this gateway knows')
    for (let writes = 0; writes < 100; writes++)
      await store.transact({ compare: [], writes: [{ put: '/elsewhere', value: '' }] })
    await crash()
    await start()
    expect(why()).toContain('another one than this gateway knows')
    await crash()
    await start({ state: 'b' })
    expect(why()).toBe('')
    await crash()
    await start()
    expect(why()).toContain('another one than this gateway knows')
  })

  it('serves a store that is as it left it, and one that others have gone on with', async () => {
    await sweep()
    await crash()
    await start()
    expect(why()).toBe('')
    await crash()
    await start({ state: 'b' })
    await take(await openSession())
    await sweep('b')
    await crash()
    await start()
    expect(why()).toBe('')
  })

  it('says loudly that it remembers nothing of a store that has been served', async () => {
    expect(events.map(({ type }) => type)).not.toContain('mark.missing')
    await crash()
    await start({ state: 'b' })
    expect(events.map(({ type }) => type)).toContain('mark.missing')
    expect(why()).toBe('')
  })

  it('knows a mark of the time before epochs', async () => {
    await sweep()
    const mark = openFileMark(stateOf('a'))
    const { revision } = await store.read('/')
    await mark.save({ revision, lineage: null, witness: null })
    await crash()
    await start()
    expect(why()).toBe('')
    await crash()
    await openFileMark(stateOf('a')).save({ revision: revision + 1_000, lineage: null, witness: null })
    await start()
    expect(why()).toContain('older backup')
  })
})

describe('a new epoch', () => {
  it('makes every token larger than all before, and refuses the old ones for good', async () => {
    const { old, lost } = await lostHistory()
    await restore()
    expect(await bump()).toEqual({ kind: 'begun', epoch: 1 })
    await start()
    expect(why()).toBe('')
    await clock.advance(SETTLE_MS)
    const session = await openSession()
    const token = await take(session, OTHER)
    expect(epochOf(token)).toBe(1)
    expect(token).toBeGreaterThan(lost)
    expect(await verdict(token, OTHER)).toBe('admitted')
    expect(await verdict(old)).toBe('stale-token')
    expect(await verdict(lost, OTHER)).toBe('stale-token')
    expect(await verdict(lost + REVISION_MAX + 1, OTHER)).toBe('stale-token')
    await crash()
    await start()
    // At once: a restart in a settled epoch waits for nothing.
    expect(await verdict(token, OTHER)).toBe('admitted')
    expect(locking.plane.lock(OTHER).owners).toMatchObject([{ token: String(token) }])
    await locking.plane.release(OTHER, session)
    await clock.advance(QUIET_MS + 1_000)
    expect(await take(await openSession(), OTHER)).toBeGreaterThan(token)
  })

  it('ends every session of the backup as expired, and fences those that held something', async () => {
    const { session, old } = await lostHistory()
    await restore()
    await bump()
    await start()
    expect(await verdict(old)).toBe('stale-token')
    expect(await locking.plane.keepAlive(session)).toBeNull()
    await clock.advance(0)
    expect(locking.plane.lock(VOLUME).owners).toMatchObject([
      { token: String(old), state: 'sealed', cause: 'expired' },
    ])
    expect(locking.plane.fence(session)).toMatchObject({ cause: 'expired', progress: { state: 'due' } })
    await clock.advance(SETTLE_MS)
    expect(locking.plane.lock(VOLUME).phase).toBe('handover')
    await locking.plane.confirmFence(session, { by: 'ada', reason: 'saw it' }).catch(() => undefined)
  })

  it('opens nothing before all that the store has forgotten is over, counted from when a gateway saw it', async () => {
    await lostHistory()
    await restore()
    await bump()
    await start()
    const session = await openSession()
    const waiting = locking.plane.acquire(
      { lock: OTHER, session, mode: 'exclusive', waitMs: 600_000, note: null },
      NEVER,
    )
    await clock.advance(SETTLE_MS - 1_000)
    expect(locking.plane.lock(OTHER)).toMatchObject({
      phase: 'handover',
      owners: [],
      waitingOn: [expect.stringMatching(/epoch 1 was begun by ada: nothing is opened before 2030-01-01T/)],
    })
    await clock.advance(1_000)
    expect(await waiting).toMatchObject({ kind: 'granted' })
  })

  it('counts anew after a restart: later, never earlier', async () => {
    await lostHistory()
    await restore()
    await bump()
    await start()
    await clock.advance(SETTLE_MS - 1_000)
    await crash()
    await start()
    await clock.advance(SETTLE_MS - 1_000)
    await expect(take(await openSession(), OTHER)).rejects.toThrow('not granted')
    await clock.advance(1_000)
    await take(await openSession(), OTHER)
  })

  it('never opens a key that is older than itself, whoever wrote it', async () => {
    await lostHistory()
    await restore()
    const opened = openStore()
    // Somebody else, straight in the store, before the bump: his revision was given out in the lost history too.
    const { lease } = await opened.grantLease(3_600_000)
    const key = `${PREFIX}/locks/${encodeURIComponent(OTHER)}/${lease}`
    await opened.transact({ compare: [], writes: [{ put: key, value: '', lease }] })
    await bump({ opened })
    await start()
    await clock.advance(2 * SETTLE_MS)
    expect(locking.plane.lock(OTHER)).toMatchObject({ phase: 'free', owners: [], waiters: [] })
    expect(await store.keepAlive(lease)).toBeNull()
  })

  it('holds a key that is older than itself for ever, also where its lease could not be ended', async () => {
    await lostHistory()
    await restore()
    await bump()
    await start()
    await clock.advance(SETTLE_MS)
    const mark = openFileMark(stateOf('a'))
    const common = { store, prefix: PREFIX, mark, clock, events: () => undefined, newId, quietMs: QUIET_MS }
    const keeper = await enterEpoch({ ...common, leaseMs: LEASE_MS })
    const { revision } = await keeper.store.read(`${PREFIX}/`)
    const marks = ['x', 'y'].map((key) => ({ compare: [], writes: [{ put: `${PREFIX}/${key}`, value: '' }] }))
    for (const written of await keeper.store.transactEach(marks)) expect(written.revision).toBe(revision + 1)
    expect(keeper.held(revision)).toBeNull()
    expect(keeper.held(2)).toContain('older than epoch 1')
  })

  it('is seen by a gateway that runs on in the old one, which then admits and writes nothing', async () => {
    const session = await openSession()
    const token = await take(session)
    const mark = openFileMark(stateOf('a'))
    const word = { by: 'ada', reason: 'r', above: 0, again: false }
    const before = locking.gate
    await bumpEpoch({ store, prefix: PREFIX, mark, clock, newId, ...word })
    await clock.advance(0)
    expect(before).toBe(locking.gate)
    expect(await verdict(token)).toBe('view-not-current')
    expect(why()).toContain('restart the gateway')
    const revision = await store.currentRevision()
    await expect(openSession()).rejects.toThrow('restart the gateway')
    await clock.advance(10_000)
    await locking.close(0)
    expect(await store.currentRevision()).toBe(revision)
  })

  it('lets nothing through that a gateway writes that has not heard of it yet', async () => {
    const keeper = await enterEpoch({
      store,
      prefix: PREFIX,
      mark: openFileMark(stateOf('b')),
      clock,
      events: () => undefined,
      newId,
      quietMs: QUIET_MS,
      leaseMs: LEASE_MS,
    })
    const writeOf = (key: string) => ({ compare: [], writes: [{ put: `${PREFIX}/${key}`, value: '' }] })
    const write = () => keeper.store.transact(writeOf('x'))
    const writeEach = async () =>
      (await keeper.store.transactEach([writeOf('y'), writeOf('z')])).map(({ succeeded }) => succeeded)
    expect((await write()).succeeded).toBe(true)
    expect(await writeEach()).toEqual([true, true])
    const word = { by: 'ada', reason: 'r', above: 0, again: false }
    await bumpEpoch({ store, prefix: PREFIX, mark: openFileMark(stateOf('a')), clock, newId, ...word })
    expect((await write()).succeeded).toBe(false)
    expect(await writeEach()).toEqual([false, false])
    await expect(keeper.store.read(`${PREFIX}/`)).rejects.toThrow('restart the gateway')
    expect(await keeper.verify()).toContain('restart the gateway')
  })

  it('is refused by a gateway that knows a later one, and told apart from one of the same number', async () => {
    await lostHistory()
    await restore()
    await bump()
    await start()
    await sweep()
    // The backup is from before the first bump.
    await restore()
    await start()
    expect(why()).toContain('in epoch 0, and this gateway has seen epoch 1')
    await crash()
    // Begun with another gateway's mark, which does not know the first.
    await bump({ state: 'c' })
    await start()
    expect(why()).toContain('another one than this gateway knows')
    await crash()
    expect(await bump({ again: true })).toEqual({ kind: 'begun', epoch: 2 })
    await start()
    expect(why()).toBe('')
  })

  it('is begun once, however often it is asked for before anything is opened in it', async () => {
    await lostHistory()
    await restore()
    await bump()
    expect(await bump()).toMatchObject({ kind: 'begun-before', epoch: 1, by: 'ada' })
    const lossy = openStore()
    const losing = withOther(lossy, {
      transact: async (transaction) => {
        await lossy.transact(transaction)
        throw new StoreUnavailable('no answer')
      },
    })
    // Its own answer was lost, but the store knows its id.
    expect(await bump({ again: true, opened: losing })).toEqual({ kind: 'begun', epoch: 2 })
    expect(await bump({ above: 7 })).toEqual({ kind: 'begun', epoch: 8 })
    await start()
    await clock.advance(SETTLE_MS + 2_000)
    await crash()
    expect(await bump()).toEqual({ kind: 'begun', epoch: 9 })
  })

  it('does not fit past the last one, and is not begun then', async () => {
    await crash()
    await expect(bump({ above: EPOCH_MAX })).rejects.toThrow(/does not fit into a token/)
    await start()
    expect(why()).toBe('')
  })

  it('is shown with who began it, and with what a gateway would say to it', async () => {
    await lostHistory()
    await restore()
    const opened = openStore()
    const mark = openFileMark(stateOf('a'))
    const look = () => epochStatus({ store: opened, prefix: PREFIX, mark })
    expect(await look()).toMatchObject({
      epoch: 0,
      settled: true,
      refusal: expect.stringContaining('older backup'),
    })
    const word = { by: 'ada', reason: 'the disk broke', above: 0, again: false }
    await bumpEpoch({ store: opened, prefix: PREFIX, mark, clock, newId, ...word })
    expect(await look()).toMatchObject({
      epoch: 1,
      settled: false,
      begunBy: 'ada',
      reason: 'the disk broke',
      refusal: null,
    })
    await opened.close()
    await start()
  })

  it('waits for a token of a later epoch, and then does not call it stale', async () => {
    const token = await take(await openSession())
    expect(await verdict(token + REVISION_MAX + 1)).toBe('view-not-current')
  })
})

describe('a store whose revisions are too large for a token', () => {
  it('is not served', async () => {
    await crash()
    const inner = openStore()
    const far = withOther(inner, {
      read: async (prefix) => ({ ...(await inner.read(prefix)), revision: (REVISION_MAX + 1) as Revision }),
    })
    await expect(start({ opened: far })).rejects.toThrow(/does not fit into a token/)
    expect(readdirSync(folder)).toContain('store')
  })
})
