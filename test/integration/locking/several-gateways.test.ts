import { spawn } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { AdmissionRequest, AdmissionResult, LedgerEntry } from '../../../gateway/spi/gate.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'

const NO_PLAN: FencePlanner = {
  defaultPlan: null,
  levels: () => null,
  checkFenceInfo: () => ({ kind: 'faulty', faults: ['there is no plan'] }),
}
const NEVER = new AbortController().signal
const mark = { revision: 0, raise: () => Promise.resolve() }
const VOLUME = 'cinder/volume/1' as LockName

interface Member {
  readonly locking: Locking
  readonly store: Store
}

describe.skipIf(!etcdAvailable())('several gateways on one etcd', () => {
  let etcd: EtcdCluster
  let prefix: string
  let members: Member[] = []
  let prefixes = 0

  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd.stop())

  afterEach(async () => {
    for (const { locking, store } of members) {
      await locking.close(0)
      await store.close()
    }
    members = []
  })

  async function join(name: string, quietMs = 1_000): Promise<Member> {
    if (members.length === 0) prefix = `/fencegate-${++prefixes}`
    const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    const locking = await startLocking({
      store,
      prefix,
      clock: systemClock,
      events: () => undefined,
      mark,
      planner: NO_PLAN,
      name,
      newId: () => crypto.randomUUID(),
      quietMs,
      leaseMs: 3_000,
      drainMs: 10_000,
      parkedMax: 16,
      ttlMsMin: 1_000,
      ttlMsMax: 60_000,
      signing: null,
      onStopped: (reason) => {
        throw new Error(reason)
      },
    })
    const member = { locking, store }
    members.push(member)
    return member
  }

  async function openSession({ locking }: Member, ttlMs = 20_000): Promise<SessionId> {
    return (await locking.plane.openSession({ ttlMs, holder: { id: 'h' }, fenceInfo: {}, plan: null }))
      .session
  }

  async function take({ locking }: Member, session: SessionId, waitMs = 0): Promise<number> {
    const request = { lock: VOLUME, session, mode: 'exclusive' as const, waitMs, note: null }
    const result = await locking.plane.acquire(request, NEVER)
    if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
    return Number(result.grant.token)
  }

  function call(token: number): AdmissionRequest {
    return {
      backend: 'b',
      method: 'POST',
      target: '/',
      rule: 'r',
      locks: [{ name: VOLUME, mode: 'exclusive' }],
      tokens: [{ lock: null, token, signature: null }],
      waitMs: 5_000,
      quietMs: 1_000,
    }
  }

  function entryOf(result: AdmissionResult): LedgerEntry {
    if (result.kind !== 'admitted') throw new Error(JSON.stringify(result.refusal))
    return result.entry
  }

  function phase({ locking }: Member): string {
    return locking.plane.lock(VOLUME).phase
  }

  it('each admit the token that another granted', async () => {
    const [a, b] = [await join('a'), await join('b')]
    const token = await take(a, await openSession(a))
    entryOf(await b.locking.gate.admit(call(token), null)).ended()
  })

  it('open the next grant only after every other gateway has drained the old one', async () => {
    const [a, b] = [await join('a'), await join('b')]
    const first = await openSession(a)
    const old = await take(a, first)
    const entry = entryOf(await b.locking.gate.admit(call(old), null))
    const taking = take(a, await openSession(a), 20_000)
    let taken = false
    void taking.then(() => {
      taken = true
    })
    await a.locking.plane.release(VOLUME, first)
    await expect.poll(() => a.locking.plane.lock(VOLUME).waitingOn).toEqual(['gateway b has calls open'])
    expect(taken).toBe(false)
    entry.ended()
    expect(await taking).toBeGreaterThan(old)
    expect(await b.locking.gate.admit(call(old), null)).toMatchObject({ refusal: { code: 'stale-token' } })
  })

  it('wait for the calls of a gateway that is shutting down', async () => {
    const [a, b] = [await join('a'), await join('b')]
    const first = await openSession(a)
    const old = await take(a, first)
    const entry = entryOf(await b.locking.gate.admit(call(old), null))
    const closing = b.locking.close(20_000)
    const taking = take(a, await openSession(a), 20_000)
    let taken = false
    void taking.then(() => {
      taken = true
    })
    await a.locking.plane.release(VOLUME, first)
    await expect
      .poll(() => a.locking.plane.lock(VOLUME).waitingOn, { timeout: 5_000 })
      .toEqual(['gateway b has calls open'])
    expect(taken).toBe(false)
    entry.ended()
    expect(await taking).toBeGreaterThan(old)
    await closing
  })

  it('wait, and are not blocked, while another gateway counts the quiet time of a lost call', async () => {
    const [a, b] = [await join('a'), await join('b')]
    const first = await openSession(a)
    const old = await take(a, first)
    const entry = entryOf(await b.locking.gate.admit(call(old), null))
    entry.unknown('connection broken')
    const taking = take(a, await openSession(a), 20_000)
    await a.locking.plane.release(VOLUME, first)
    await expect.poll(() => a.locking.plane.lock(VOLUME).waitingOn).toEqual(['gateway b has calls open'])
    expect(phase(a)).toBe('handover')
    expect(await taking).toBeGreaterThan(old)
  })

  it('wait out the quiet time of a gateway that vanished with a call open', async () => {
    const [a, b] = [await join('a'), await join('b', 1_500)]
    const first = await openSession(a)
    const old = await take(a, first)
    entryOf(await b.locking.gate.admit(call(old), null))
    // As kill -9 would: it stops renewing, and says nothing.
    await b.store.close()
    await a.locking.plane.release(VOLUME, first)
    const startMs = systemClock.monotonicMs()
    const token = await take(a, await openSession(a), 25_000)
    expect(token).toBeGreaterThan(old)
    expect(systemClock.monotonicMs() - startMs).toBeGreaterThan(1_500)
  })

  it('go on at once after a gateway that left with nothing open', async () => {
    const [a, b] = [await join('a', 60_000), await join('b', 60_000)]
    const first = await openSession(a)
    const old = await take(a, first)
    entryOf(await b.locking.gate.admit(call(old), null)).ended()
    await b.locking.close(1_000)
    await a.locking.plane.release(VOLUME, first)
    await take(a, await openSession(a), 5_000)
  })

  it('seal a grant whose lease etcd has ended', async () => {
    const [a, b] = [await join('a'), await join('b')]
    const session = await openSession(a, 1_000)
    const token = await take(a, session)
    const verdict = async ({ locking }: Member) => {
      const result = await locking.gate.admit({ ...call(token), waitMs: 0 }, null)
      if (result.kind === 'admitted') result.entry.ended()
      return result.kind
    }
    for (const member of [a, b]) await expect.poll(() => verdict(member), { timeout: 10_000 }).toBe('refused')
    await expect
      .poll(() => a.locking.plane.fence(session)?.progress, { timeout: 5_000 })
      .toMatchObject({ outcome: 'unfenced' })
    await expect.poll(() => phase(b), { timeout: 5_000 }).toBe('free')
  })

  it('keep out, and are kept out by, etcdctl lock on the same name', async () => {
    const a = await join('a')
    const name = `${prefix}/locks/${encodeURIComponent(VOLUME)}`
    const session = await openSession(a)
    await take(a, session)
    const foreign = spawn('etcdctl', ['--endpoints', etcd.endpoints.join(','), 'lock', name], {
      env: { ...process.env, ETCDCTL_API: '3' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    foreign.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
    try {
      await expect.poll(() => a.locking.plane.lock(VOLUME).waiters.length, { timeout: 5_000 }).toBe(1)
      expect(printed).toBe('')
      const foreignToken = Number(a.locking.plane.lock(VOLUME).waiters[0]?.token)
      await a.locking.plane.release(VOLUME, session)
      await expect.poll(() => printed, { timeout: 5_000 }).toContain(name)
      entryOf(await a.locking.gate.admit(call(foreignToken), null)).ended()
      const again = await a.locking.plane.acquire(
        { lock: VOLUME, session, mode: 'exclusive', waitMs: 0, note: null },
        NEVER,
      )
      expect(again.kind).toBe('held')
    } finally {
      // etcdctl unlocks on SIGINT, then revokes: a clean release by a foreign hand.
      foreign.kill('SIGINT')
    }
    await take(a, await openSession(a), 5_000)
    expect(a.locking.plane.fences({ limit: 5, after: null }).items).toEqual([])
  })
})
