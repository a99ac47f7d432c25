import { rmSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type LockSource, wholeName } from '../../../gateway/core/lock-source.ts'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import {
  buildGoMutex,
  ForeignClient,
  GO_BUILD_MS_MAX,
  goMutexAvailable,
  startTooz,
  toozAvailable,
} from '../../support/foreign-clients.ts'

const PLANNER: FencePlanner = {
  defaultPlan: null,
  levels: (plan) => (plan === 'kill' ? [['kill']] : null),
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}
const NEVER = new AbortController().signal
const PREFIX = '/tooz/fencegate'
const ID = '5aa1c0de-0000-4000-8000-000000000001'
const VOLUME = `cinder/volume/${ID}` as LockName
const TOOZ_NAME = `cinder-${ID}-delete_volume`
const TOOZ_KEY = `/tooz/locks${TOOZ_NAME}`
const TOOZ: LockSource = {
  name: 'tooz',
  prefix: '/tooz/locks',
  rules: [
    {
      match: wholeName('cinder-(?<id>[0-9a-f-]{36})(-delete_volume)?'),
      lock: 'cinder/volume/{id}',
      holder: 'cinder-volume, of {id}',
      fenceInfo: { volume: '{id}' },
    },
  ],
  plan: 'kill',
  unfenced: false,
  onDisappearance: { keyDeleted: 'released', leaseEnded: 'expired' },
}

describe.skipIf(!etcdAvailable())('clients of others', () => {
  let etcd: EtcdCluster
  let store: Store
  let locking: Locking
  const clients: ForeignClient[] = []

  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  beforeEach(async () => {
    await etcd.etcdctl(['del', '--prefix', '/tooz/'])
    store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    locking = await startLocking({
      store,
      prefix: PREFIX,
      sources: [TOOZ],
      clock: systemClock,
      events: () => undefined,
      mark: { revision: 0, raise: () => Promise.resolve() },
      planner: PLANNER,
      name: 'a',
      newId: () => crypto.randomUUID(),
      quietMs: 1_000,
      leaseMs: 10_000,
      drainMs: 10_000,
      parkedMax: 16,
      ttlMsMin: 1_000,
      ttlMsMax: 60_000,
      signing: null,
      onStopped: (reason) => {
        throw new Error(reason)
      },
    })
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.kill()
    await locking.close(0)
    await store.close()
  })

  function started(client: ForeignClient): ForeignClient {
    clients.push(client)
    return client
  }

  async function openSession(): Promise<SessionId> {
    const asked = { ttlMs: 30_000, holder: { id: 'h' }, fenceInfo: {}, plan: null }
    return (await locking.plane.openSession(asked)).session
  }

  async function acquire(session: SessionId, waitMs: number): Promise<number | 'held'> {
    const request = { lock: VOLUME, session, mode: 'exclusive' as const, waitMs, note: null }
    const result = await locking.plane.acquire(request, NEVER)
    return result.kind === 'granted' ? Number(result.grant.token) : 'held'
  }

  async function call(token: number): Promise<string> {
    const result = await locking.gate.admit(
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

  const verdictOf = (token: number) => expect.poll(() => call(token), { timeout: 15_000, interval: 50 })
  const fences = () => locking.plane.fences({ limit: 10, after: null }).items

  /** The create revision of a key, as its client could read it back. */
  async function tokenOf(key: string): Promise<number> {
    const answer: { kvs?: { create_revision: number }[] } = JSON.parse(
      await etcd.etcdctl(['get', key, '-w', 'json']),
    )
    return answer.kvs?.[0]?.create_revision ?? 0
  }

  /** The next owner, after whoever stands for the fence has said that it is done. */
  async function ownsAfterFence(session: SessionId): Promise<number | 'held'> {
    const taking = acquire(session, 30_000)
    await expect.poll(() => fences().length, { timeout: 20_000 }).toBe(1)
    const [fence] = fences()
    if (fence === undefined) throw new Error('there is a fence')
    expect(locking.plane.lock(VOLUME).phase).toBe('handover')
    if (fence.progress.state !== 'closed')
      await locking.plane.confirmFence(fence.id, { by: 'the test', reason: 'killed it' })
    return taking
  }

  describe.skipIf(!goMutexAvailable())("with Go's concurrency.Mutex", () => {
    const name = `${PREFIX}/locks/${encodeURIComponent(VOLUME)}`
    let program: string
    beforeAll(async () => {
      program = await buildGoMutex()
    }, GO_BUILD_MS_MAX)
    afterAll(() => rmSync(program, { force: true }))

    async function mutex(ttlSeconds = 30): Promise<ForeignClient> {
      const client = started(new ForeignClient(program, [etcd.endpoints[0] ?? '', name, String(ttlSeconds)]))
      expect(await client.next()).toBe('ready')
      return client
    }
    const waiters = (count: number) =>
      expect.poll(() => locking.plane.lock(VOLUME).waiters.length, { timeout: 10_000 }).toBe(count)

    it('our sessions, etcdctl lock and the mutex have the lock one after the other, as they asked', async () => {
      const session = await openSession()
      const ours = await acquire(session, 0)
      const go = await mutex()
      go.tell('lock')
      await waiters(1)
      const etcdctl = started(
        new ForeignClient('env', [
          'ETCDCTL_API=3',
          'etcdctl',
          `--endpoints=${etcd.endpoints.join(',')}`,
          'lock',
          name,
        ]),
      )
      await waiters(2)
      const later = await openSession()
      const last = acquire(later, 60_000)
      await waiters(3)
      expect([go.said, etcdctl.said]).toEqual([[], []])

      await locking.plane.release(VOLUME, session)
      const [word, token = ''] = (await go.next()).split(' ')
      expect(word).toBe('locked')
      await verdictOf(Number(token)).toBe('admitted')
      expect(await call(Number(ours))).toBe('stale-token')
      expect(etcdctl.said).toEqual([])

      expect(await go.ask('unlock')).toBe('unlocked')
      const key = await etcdctl.next()
      await verdictOf(await tokenOf(key)).toBe('admitted')
      await verdictOf(Number(token)).toBe('stale-token')
      expect(fences()).toEqual([])
      // Killed, it gives nothing back: its lease of 60 s stays. A third hand takes the key away, which is a release.
      await etcdctl.kill()
      await etcd.etcdctl(['del', key])
      expect(await last).toBeGreaterThan(Number(token))
    }, 60_000)

    it('an unlock, and the revocation right after it, is a release', async () => {
      const go = await mutex()
      const token = Number((await go.ask('lock')).split(' ')[1])
      await verdictOf(token).toBe('admitted')
      expect(await go.ask('unlock')).toBe('unlocked')
      expect(await go.ask('close')).toBe('closed')
      expect(await acquire(await openSession(), 10_000)).toBeGreaterThan(token)
      expect(fences()).toEqual([])
    })

    it('a kill is an expiry, once the lease is over', async () => {
      const go = await mutex(1)
      const token = Number((await go.ask('lock')).split(' ')[1])
      await verdictOf(token).toBe('admitted')
      await go.kill()
      expect(await acquire(await openSession(), 30_000)).toBeGreaterThan(token)
      expect(fences()).toMatchObject([{ cause: 'expired', progress: { outcome: 'unfenced' } }])
    }, 60_000)
  })

  describe.skipIf(!toozAvailable())('with tooz over etcd3gw', () => {
    const tooz = async (ttlSeconds = 30) =>
      started(await startTooz(etcd.endpoints[0] ?? '', TOOZ_NAME, ttlSeconds))

    it('its lock keeps our session out, and its token is admitted as long as it has the lock', async () => {
      const client = await tooz()
      expect(await client.ask('acquire')).toBe('acquired')
      const token = await tokenOf(TOOZ_KEY)
      await verdictOf(token).toBe('admitted')
      expect(locking.plane.lock(VOLUME).owners).toMatchObject([{ holder: { id: `cinder-volume, of ${ID}` } }])
      const session = await openSession()
      expect(await acquire(session, 0)).toBe('held')
      const other = await tooz()
      expect(await other.ask('acquire')).toBe('taken')
      const taking = acquire(session, 20_000)
      expect(await client.ask('heartbeat')).toBe('alive')
      expect(await client.ask('release')).toBe('released')
      expect(await taking).toBeGreaterThan(token)
      expect([await call(token), fences()]).toEqual(['stale-token', []])
    }, 60_000)

    it('is kept out by our session, whatever it believes', async () => {
      const session = await openSession()
      const ours = Number(await acquire(session, 0))
      const client = await tooz()
      expect(await client.ask('acquire')).toBe('acquired')
      const token = await tokenOf(TOOZ_KEY)
      await verdictOf(token).toBe('handover')
      expect(await call(ours)).toBe('admitted')
      await locking.plane.release(VOLUME, session)
      await verdictOf(token).toBe('admitted')
      expect(await call(ours)).toBe('stale-token')
    }, 60_000)

    it('is fenced by the plan of its source when it was killed and its lease is over, before the next has the lock', async () => {
      const client = await tooz(1)
      expect(await client.ask('acquire')).toBe('acquired')
      const token = await tokenOf(TOOZ_KEY)
      await verdictOf(token).toBe('admitted')
      await client.kill()
      expect(await ownsAfterFence(await openSession())).toBeGreaterThan(token)
      expect(fences()).toMatchObject([{ cause: 'expired', plan: 'kill', fenceInfo: { volume: ID } }])
    }, 60_000)
  })

  it('are known by the keys alone that they leave, written here by hand', async () => {
    // etcdctl writes all sixteen digits, also where the first are zeros.
    const lease = /lease 0*(\S+) granted/.exec(await etcd.etcdctl(['lease', 'grant', '5']))?.[1] ?? ''
    await etcd.etcdctl(['put', `--lease=${lease}`, TOOZ_KEY, 'uuid'])
    const token = await tokenOf(TOOZ_KEY)
    await verdictOf(token).toBe('admitted')
    expect(await ownsAfterFence(await openSession())).toBeGreaterThan(token)
    expect(fences()).toMatchObject([{ id: lease, plan: 'kill' }])
  }, 60_000)
})
