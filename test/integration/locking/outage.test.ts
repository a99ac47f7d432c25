// An outage of etcd that is longer than every TTL: whoever goes on renewing has its session afterwards, and nobody is fenced.

import { afterEach, describe, expect, it } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'

const TTL_MS = 4_000
const HOLDERS = 20
const NEVER = new AbortController().signal
const KILL: FencePlanner = {
  defaultPlan: 'kill',
  levels: () => [['kill']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function cluster(members: 1 | 3): Promise<EtcdCluster> {
  const etcd = await startEtcd({ members })
  ends.push(() => etcd.stop())
  return etcd
}

async function join(etcd: EtcdCluster, name: string): Promise<Locking> {
  const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock, requestTimeoutMs: 1_000 })
  const locking = await startLocking({
    store,
    prefix: '/outage',
    clock: systemClock,
    events: () => undefined,
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner: KILL,
    name,
    newId: () => crypto.randomUUID(),
    quietMs: 1_000,
    leaseMs: 3_000,
    drainMs: 1_000,
    parkedMax: 16,
    ttlMsMin: 1_000,
    ttlMsMax: 60_000,
    signing: null,
    onStopped: () => undefined,
  })
  ends.push(async () => {
    await locking.close(0)
    await store.close()
  })
  return locking
}

async function hold(locking: Locking, index: number): Promise<SessionId> {
  const asked = { ttlMs: TTL_MS, holder: { id: `h-${index}` }, fenceInfo: {}, plan: null }
  const { session } = await locking.plane.openSession(asked)
  const request = {
    lock: `v/${index}` as LockName,
    session,
    mode: 'exclusive' as const,
    waitMs: 0,
    note: null,
  }
  await locking.plane.acquire(request, NEVER)
  return session
}

/** As a holder does: three times in a TTL, whatever the answer. */
function renew(locking: Locking, sessions: readonly SessionId[]): () => void {
  let stopped = false
  const round = async () => {
    await Promise.all(
      sessions.map((session) =>
        locking.plane.keepAlive(session).catch((error: unknown) => {
          if (!(error instanceof StoreUnavailable)) throw error
        }),
      ),
    )
    if (!stopped) setTimeout(() => void round(), TTL_MS / 3)
  }
  void round()
  return () => {
    stopped = true
  }
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20)
}

describe.skipIf(!etcdAvailable())('after an outage of etcd that was longer than the TTL', () => {
  it('every session lives on and holds what it held, and who is gone expires a whole TTL later', {
    timeout: 90_000,
  }, async () => {
    const etcd = await cluster(3)
    const [first, second] = [await join(etcd, 'first'), await join(etcd, 'second')]
    const sessions = await Promise.all(
      Array.from({ length: HOLDERS }, (_, index) => hold(index % 2 === 0 ? first : second, index)),
    )
    const [gone, ...living] = sessions
    if (gone === undefined) throw new Error('no session')
    const stop = renew(first, living)
    ends.push(() => Promise.resolve(stop()))
    await Promise.all(etcd.members.map((member) => etcd.kill(member)))
    // Gateways lose their leases with everybody else's, and come back as somebody new.
    await sleep(TTL_MS * 2)
    expect(first.plane.readiness().ready).toBe(false)
    await Promise.all(etcd.members.map((member) => etcd.restart(member)))
    const backAtMs = performance.now()
    await eventually(() => first.plane.readiness().ready && second.plane.readiness().ready)
    await eventually(() => second.plane.fence(gone) !== null)
    expect(performance.now() - backAtMs).toBeGreaterThan(TTL_MS * 0.5)
    expect(second.plane.fences({ limit: 100, after: null }).items.map(({ id }) => id)).toEqual([gone])
    for (const session of living) expect(first.plane.session(session)?.holds).toHaveLength(1)
  })

  it('of which the members were only stopped, etcd ends the leases at once, and the storm guard is what is left', {
    timeout: 90_000,
  }, async () => {
    const etcd = await cluster(1)
    const gateway = await join(etcd, 'only')
    const sessions = await Promise.all(Array.from({ length: HOLDERS }, (_, index) => hold(gateway, index)))
    const member = etcd.member(0)
    etcd.freeze(member)
    await sleep(TTL_MS * 1.5)
    etcd.thaw(member)
    const thawedAtMs = performance.now()
    await eventually(() => sessions.every((session) => gateway.plane.fence(session) !== null))
    expect(performance.now() - thawedAtMs).toBeLessThan(TTL_MS)
  })
})
