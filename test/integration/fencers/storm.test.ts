// Two hundred holders expire at once on a real store; their fencer kills real processes.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { FenceRecord } from '../../../gateway/core/fence-record.ts'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { createFencing, type Fencing, PLAN_DEFAULTS } from '../../../gateway/fencing/plans.ts'
import { loadFencerRegistry } from '../../../gateway/fencing/registry.ts'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'

const HOLDERS = 200
const NEVER = new AbortController().signal

const children: ChildProcess[] = []
const ends: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

interface Gateway {
  readonly locking: Locking
  readonly sequencer: Sequencer
  /** As kill -9 leaves it: nothing is said to the store any more. */
  crash(): Promise<void>
}

async function startGateway(name: string, prefix: string, open: () => Store): Promise<Gateway> {
  const store = open()
  const fencing: Fencing = createFencing({
    fencers: { kill: { driver: 'process', options: {} } },
    plans: { plan: { ...PLAN_DEFAULTS, levels: [['kill']] } },
    defaultPlan: 'plan',
    registry: await loadFencerRegistry(),
    clock: systemClock,
  })
  const locking = await startLocking({
    store,
    prefix,
    clock: systemClock,
    events: () => undefined,
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner: fencing,
    name,
    newId: () => crypto.randomUUID(),
    quietMs: 1_000,
    leaseMs: 3_000,
    drainMs: 1_000,
    parkedMax: 16,
    ttlMsMin: 100,
    ttlMsMax: 60_000,
    signing: null,
    onStopped: (reason) => {
      throw new Error(reason)
    },
  })
  const sequencer = startSequencer({
    journal: locking.journal,
    fencing,
    clock: systemClock,
    random: Math.random,
    events: () => undefined,
  })
  let over = false
  const crash = async () => {
    if (over) return
    over = true
    // The store goes first, so that neither can write a word.
    await store.close()
    await sequencer.stop()
    await locking.close(0)
    await fencing.close()
  }
  ends.push(crash)
  return { locking, sequencer, crash }
}

async function hold({ locking }: Gateway, index: number, ttlMs: number): Promise<SessionId> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  children.push(child)
  const { session } = await locking.plane.openSession({
    ttlMs,
    holder: { id: `holder-${index}` },
    fenceInfo: { pid: child.pid },
    plan: null,
  })
  const lock = `volume/${index}` as LockName
  await locking.plane.acquire({ lock, session, mode: 'exclusive', waitMs: 0, note: null }, NEVER)
  return session
}

function alive(): number {
  return children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).length
}

function fences({ locking }: Gateway): readonly FenceRecord[] {
  return locking.plane.fences({ limit: 1_000, after: null }).items
}

function isHeld({ progress }: FenceRecord): boolean {
  return progress.state === 'blocked' && progress.held === true
}

async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => setTimeout(resolve, 20))
}

async function brakes(prefix: string, ttlMs: number, open: () => Store): Promise<void> {
  const first = await startGateway('first', prefix, open)
  const sessions: SessionId[] = []
  for (let index = 0; index < HOLDERS; index += 20) {
    sessions.push(
      ...(await Promise.all(Array.from({ length: 20 }, (_, more) => hold(first, index + more, ttlMs)))),
    )
    await Promise.all(sessions.map((session) => first.locking.plane.keepAlive(session)))
  }
  expect(alive()).toBe(HOLDERS)
  await eventually(() => fences(first).length === HOLDERS)
  await eventually(() => fences(first).filter(isHeld).length > 0)
  await first.crash()
  const next = await startGateway('next', prefix, open)
  await eventually(() =>
    fences(next).every(({ progress }) => progress.state === 'closed' || progress.state === 'blocked'),
  )
  const held = fences(next).filter(isHeld)
  // What the default lets through before anybody can see that it is a storm.
  expect(held.length).toBeGreaterThanOrEqual(HOLDERS - 5)
  expect(alive()).toBeGreaterThanOrEqual(HOLDERS - 5)
  const [one, other] = held
  if (one === undefined || other === undefined) throw new Error('nothing is held')
  const before = alive()
  await next.locking.plane.retryFence(one.id)
  await eventually(() => next.locking.plane.fence(one.id)?.progress.state === 'closed')
  expect(alive()).toBe(before - 1)
  await next.locking.plane.confirmFence(other.id, { by: 'ops', reason: 'seen dead' })
  expect(next.locking.plane.fence(other.id)?.progress).toMatchObject({ outcome: 'confirmed' })
  expect(alive()).toBe(before - 1)
}

describe('a storm of expiries kills at most the first few, whatever becomes of the gateway in the middle', () => {
  it('with the embedded store', { timeout: 150_000 }, async () => {
    const path = await mkdtemp(join(tmpdir(), 'fencegate-storm-'))
    ends.push(() => rm(path, { recursive: true, force: true }))
    await brakes('/fencegate', 5_000, () => openEmbeddedStore({ path, clock: systemClock }))
  })

  describe.skipIf(!etcdAvailable())('with etcd', () => {
    let etcd: EtcdCluster
    beforeAll(async () => {
      etcd = await startEtcd({ members: 1 })
    })
    afterAll(() => etcd.stop())

    it('that goes on', { timeout: 150_000 }, async () => {
      await brakes('/storm', 6_000, () => openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock }))
    })
  })
})
