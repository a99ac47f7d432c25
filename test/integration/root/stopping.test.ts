// One of two gateways is told to end while something is going on: what it owes to those who wait, here and elsewhere.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { type Fleet, lockOf, openFleet, volumeId } from './processes.ts'

describe.skipIf(!etcdAvailable())('a gateway that is told to end', () => {
  let etcd: EtcdCluster
  let fleet: Fleet
  let prefix = ''
  let runs = 0
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd.stop())
  afterEach(() => fleet.close())

  async function startTwo(config: Readonly<Record<string, unknown>>): Promise<void> {
    prefix = `/stopping-${++runs}`
    fleet = await openFleet({ etcd, prefix, gateways: 2, volumes: 2, config })
    await Promise.all(fleet.places.map((place) => fleet.start(place)))
  }

  const control = (place: number) => new ControlClient(fleet.place(place).control)
  const write = (place: number, volume: number, token: string) =>
    send(`${fleet.place(place).volumes}/v3/p/volumes/${volumeId(volume)}/metadata`, {
      headers: { 'fencing-token': token },
      body: { metadata: { token } },
    })
  const isHeld = () => fleet.backend.log().some((call) => call.executedAt === null)
  const signal = (place: number) => process.kill(fleet.place(place).process?.pid ?? 0, 'SIGTERM')
  const ended = (place: number) => fleet.place(place).process?.ended ?? Promise.reject(new Error('none'))
  const output = (place: number) => fleet.place(place).process?.output() ?? ''

  async function registrations(): Promise<number> {
    const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    try {
      return (await store.read(`${prefix}/gateways/`)).items.length
    } finally {
      await store.close()
    }
  }

  test('holds up the handover that its open call concerns, and no other, and leaves nothing behind', async () => {
    await startTwo({ shutdown: { delay: 0, limit: 20 } })
    const first = await control(1).openSession({ ttl: 30, holder: 'first' })
    const second = await control(1).openSession({ ttl: 30, holder: 'second' })
    const [token, other] = [await control(1).take(lockOf(0), first), await control(1).take(lockOf(1), first)]
    fleet.backend.hold('execution', 1)
    const call = write(0, 0, token)
    await expect.poll(isHeld).toBe(true)
    signal(0)
    await expect.poll(() => send(`${fleet.place(0).control}/readyz`).then(({ status }) => status)).toBe(503)
    await control(1).release(lockOf(0), first)
    const taking = control(1).take(lockOf(0), second, 20)
    // The other lock goes to and fro meanwhile, at the speed of the store.
    let from = first
    const startMs = performance.now()
    expect(Number(other)).toBeGreaterThan(0)
    for (let i = 0; i < 10; i++) {
      const to = from === first ? second : first
      await control(1).release(lockOf(1), from)
      await control(1).take(lockOf(1), to, 10)
      from = to
    }
    expect(performance.now() - startMs).toBeLessThan(3_000)
    expect((await control(1).lock(lockOf(0))).waitingOn).toEqual([expect.stringContaining('has calls open')])
    fleet.backend.letGo()
    expect((await call).status).toBe(200)
    expect(Number(await taking)).toBeGreaterThan(Number(token))
    expect(await ended(0)).toBe(0)
    expect(await registrations()).toBe(1)
    expect(output(0)).not.toContain('call.unknown')
  }, 120_000)

  test('leaves its registration where the limit was over before a call was', async () => {
    await startTwo({ shutdown: { delay: 0, limit: 1 } })
    const first = await control(1).openSession({ ttl: 30, holder: 'first' })
    const second = await control(1).openSession({ ttl: 30, holder: 'second' })
    const token = await control(1).take(lockOf(0), first)
    fleet.backend.hold('execution', 1)
    const call = write(0, 0, token)
    await expect.poll(isHeld).toBe(true)
    signal(0)
    const answer = await call
    expect([answer.status, answer.headers['fencing-verdict']]).toEqual([502, 'backend-down'])
    expect(await ended(0)).toBe(0)
    expect(output(0)).toContain('call.unknown')
    expect(await registrations()).toBe(2)
    await control(1).release(lockOf(0), first)
    const late = await send(control(1).lockUrl(lockOf(0)), { body: { session: second, wait: 1 } })
    expect(late.status).toBe(409)
    expect((await control(1).lock(lockOf(0))).waitingOn).toEqual([
      expect.stringContaining('is gone and may have had calls open'),
    ])
  }, 120_000)

  test('answers who waits for a lock, admits whose call waits for a handover', async () => {
    await startTwo({ shutdown: { delay: 0, limit: 20 } })
    const first = await control(1).openSession({ ttl: 30, holder: 'first' })
    const second = await control(1).openSession({ ttl: 30, holder: 'second' })
    const third = await control(1).openSession({ ttl: 30, holder: 'third' })
    const token = await control(1).take(lockOf(0), first)
    fleet.backend.hold('execution', 1)
    const call = write(1, 0, token)
    await expect.poll(isHeld).toBe(true)
    const taking = control(1).take(lockOf(0), second, 30)
    const waiters = async () => (await control(1).lock(lockOf(0))).waiters.map((waiter) => waiter.token)
    await expect.poll(waiters).toHaveLength(1)
    const [next = ''] = await waiters()
    const parked = write(0, 0, next)
    const refused = send(control(0).lockUrl(lockOf(0)), { body: { session: third, wait: 30 } })
    await expect.poll(waiters).toHaveLength(2)
    signal(0)
    const answer = await refused
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(answer.body).toContain('ask another one')
    // It has left the queue, so that nothing is granted to somebody who does not listen.
    await expect.poll(waiters).toHaveLength(1)
    await control(1).release(lockOf(0), first)
    fleet.backend.letGo()
    expect((await call).status).toBe(200)
    expect(await taking).toBe(next)
    expect((await parked).status).toBe(200)
    expect(await ended(0)).toBe(0)
    expect(await registrations()).toBe(1)
  }, 120_000)

  test('gives back the fence that it runs while it still waits for its calls', async () => {
    await startTwo({
      shutdown: { delay: 0, limit: 20 },
      fencers: { hang: { driver: 'exec', command: ['/bin/sleep', '60'] } },
      plans: { hang: { levels: [['hang']] } },
    })
    const holder = await control(1).openSession({ ttl: 30, holder: 'alive' })
    const token = await control(1).take(lockOf(1), holder)
    const due = await control(1).openSession({
      ttl: 1,
      holder: 'dead',
      plan: 'hang',
      fenceInfo: { target: 'dead' },
    })
    await control(1).take(lockOf(0), due)
    const runner = () => fleet.places.findIndex((_, place) => output(place).includes('fence.started'))
    await expect.poll(runner, { timeout: 20_000 }).not.toBe(-1)
    const [one, other] = [runner(), 1 - runner()]
    fleet.backend.hold('execution', 1)
    const call = write(one, 1, token)
    await expect.poll(isHeld).toBe(true)
    signal(one)
    await expect.poll(() => output(other).includes('fence.started'), { timeout: 5_000 }).toBe(true)
    expect(await registrations()).toBe(2)
    fleet.backend.letGo()
    expect((await call).status).toBe(200)
    expect(await ended(one)).toBe(0)
    expect(await registrations()).toBe(1)
  }, 120_000)

  test('does not wait where it is told twice', async () => {
    await startTwo({ shutdown: { delay: 20, limit: 20 } })
    const first = await control(1).openSession({ ttl: 30, holder: 'first' })
    const token = await control(1).take(lockOf(0), first)
    fleet.backend.hold('execution', 1)
    const call = write(0, 0, token).catch(() => 'dropped')
    await expect.poll(isHeld).toBe(true)
    signal(0)
    await expect.poll(() => output(0)).toContain('"ending')
    signal(0)
    expect(await ended(0)).toBe(1)
    expect(await call).toBe('dropped')
    expect(await registrations()).toBe(2)
  }, 120_000)
})
