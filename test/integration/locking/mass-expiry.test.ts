// A session that ends with very many locks, on a real etcd with its own limits (128 operations in a transaction, 1.5 MiB in a
// request): one fence, every lock sealed, others served meanwhile, and all of it over once the fence is closed. That others do not
// wait for all of it is test/unit/locking/mass-expiry.test.ts's to say, on a clock of its own.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { asLockName, type LockName } from '../../../gateway/core/names.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { heldName, NOBODY_FENCES, populate, startRoom } from '../../bench/etcd/population.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'

const LOCKS = 5_000
const PREFIX = '/fencegate'
const NEVER = new AbortController().signal
const PATIENT = { timeout: 120_000, interval: 50 }

describe.skipIf(!etcdAvailable())('a session that ends with five thousand locks', () => {
  let etcd: EtcdCluster
  let sealed = 0
  const clean: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterEach(async () => {
    for (const step of clean.splice(0).reverse()) await step()
  })
  afterAll(() => etcd.stop())

  async function join(name: string) {
    const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    clean.push(() => store.close())
    const events = ({ type, detail }: GatewayEvent) => {
      if (type === 'grant.sealed' && detail === 'expired') sealed++
    }
    const room = await startRoom(store, name, PREFIX, { planner: NOBODY_FENCES, events })
    clean.push(() => room.close(0))
    return { store, room, plane: room.plane }
  }

  it('is fenced once, has each of them sealed at both gateways while others go on, and none opened before the fence is closed', async () => {
    const filler = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    const [large] = await populate(filler, PREFIX, { sessions: 1, locks: LOCKS })
    await filler.close()
    if (large === undefined) throw new Error('no session')
    const [a, b] = [await join('a'), await join('b')]
    const asked = { ttlMs: 600_000, holder: { id: 'other' }, fenceInfo: {}, plan: null }
    const { session } = await a.plane.openSession(asked)
    const take = (lock: LockName, waitMs: number) =>
      b.plane.acquire({ lock, session, mode: 'exclusive', waitMs, note: null }, NEVER)
    const wanted = heldName(LOCKS - 1)
    const waiting = take(wanted, 300_000)
    await expect.poll(() => a.plane.lock(wanted).waiters.length, PATIENT).toBe(1)

    await a.store.revokeLease(large)
    const other = asLockName('other/lock')
    if (other === null) throw new Error('no name')
    do {
      expect((await take(other, 60_000)).kind).toBe('granted')
      await b.plane.release(other, session)
    } while (sealed < LOCKS)
    expect(sealed).toBe(LOCKS)
    const { items } = a.plane.fences({ limit: 10, after: null })
    expect(items.map(({ id }) => id)).toEqual([large])
    expect(a.plane.locks('cinder/', { limit: LOCKS + 1, after: null }).items.length).toBe(LOCKS)
    expect(a.plane.lock(wanted)).toMatchObject({ phase: 'handover', waiters: [{ session }] })

    await b.plane.confirmFence(large, { by: 'operator', reason: 'it is switched off' })
    expect(await waiting).toMatchObject({ kind: 'granted' })
    await expect
      .poll(() => a.plane.locks('cinder/', { limit: 2, after: null }).items.map(({ lock }) => lock), PATIENT)
      .toEqual([wanted])
  }, 300_000)
})
