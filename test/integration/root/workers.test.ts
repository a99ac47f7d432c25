// Several processes on one set of ports: each a gateway of its own towards the others, one gateway towards everybody else.

import { readdirSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { freePort } from '../../support/free-port.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { type Fleet, lockOf, openFleet, volumeId } from './processes.ts'

const WORKERS = 2

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('workers on the embedded store', () => {
  test('are refused before anything is started', async () => {
    const folder = new GatewayFolder()
    try {
      folder.configure({ workers: 2 })
      await expect(folder.start()).rejects.toThrow(
        /2 workers cannot share the embedded store: only one process can have it open/,
      )
    } finally {
      await folder.remove()
    }
  }, 30_000)
})

describe.skipIf(!etcdAvailable())('several workers', () => {
  let etcd: EtcdCluster
  let fleet: Fleet
  let prefix = ''
  let runs = 0
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd.stop())
  beforeEach(async () => {
    prefix = `/workers-${++runs}`
    fleet = await openFleet({
      etcd,
      prefix,
      gateways: 1,
      volumes: 2,
      config: { workers: WORKERS, shutdown: { delay: 0, limit: 10 } },
      quiet: 1,
    })
    await fleet.start(fleet.place(0))
    // The line about a worker may come after the word that all of them serve.
    await expect.poll(() => servedBy().size, { timeout: 10_000 }).toBe(WORKERS)
  })
  afterEach(async () => {
    const left = [...servedBy().values()].filter(isAlive)
    await fleet.close()
    // One that a test has left standing still cannot see that its parent is gone.
    for (const pid of left) if (isAlive(pid)) process.kill(pid, 'SIGCONT')
    for (const pid of left) await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false)
  })

  const parent = () => fleet.place(0).process
  const output = () => parent()?.output() ?? ''
  const control = () => new ControlClient(fleet.place(0).control)
  const write = (volume: number, token: string) =>
    send(`${fleet.place(0).volumes}/v3/p/volumes/${volumeId(volume)}/metadata`, {
      headers: { 'fencing-token': token, connection: 'close' },
      body: { metadata: { token } },
    })
  const metrics = async () => (await send(`${fleet.place(0).control}/metrics`)).body
  const seriesOf = (text: string, name: string) =>
    text.split('\n').flatMap((line) => {
      const [, labels = '', value = ''] = new RegExp(`^${name}\\{(.*)\\} (.*)$`).exec(line) ?? []
      return labels === '' ? [] : [{ worker: /worker="(\d+)"/.exec(labels)?.[1], value: Number(value) }]
    })

  /** The process that serves under each number now, by what the parent has said. */
  function servedBy(): Map<string, number> {
    const pids = new Map<string, number>()
    for (const [, worker = '', pid = ''] of output().matchAll(
      /"worker":(\d+),"pid":(\d+),"msg":"a worker serves"/g,
    ))
      pids.set(worker, Number(pid))
    return pids
  }

  function pidOf(worker: number): number {
    const pid = servedBy().get(String(worker))
    if (pid === undefined) throw new Error(`worker ${worker} does not serve`)
    return pid
  }

  async function registrations(): Promise<number> {
    const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    try {
      return (await store.read(`${prefix}/gateways/`)).items.length
    } finally {
      await store.close()
    }
  }

  test('share the ports, evenly, and each is a gateway of its own', async () => {
    expect(await registrations()).toBe(WORKERS)
    const session = await control().openSession({ ttl: 30, holder: 'h' })
    const token = await control().take(lockOf(0), session)
    for (let i = 0; i < 20; i++) expect((await write(0, token)).status).toBe(200)
    const text = await metrics()
    const calls = seriesOf(text, 'fencegate_calls_total')
    expect(new Set(calls.map(({ worker }) => worker))).toEqual(new Set(['1', '2']))
    expect(calls.map(({ value }) => value)).toEqual([10, 10])
    expect(seriesOf(text, 'fencegate_worker_up').map(({ value }) => value)).toEqual([1, 1])
    expect(text.match(/^# TYPE fencegate_calls_total counter$/gm)).toHaveLength(1)
    expect(seriesOf(text, 'fencegate_sessions').map(({ value }) => value)).toEqual([1, 1])
    const state = join(fleet.place(0).folder.path, 'state')
    await expect
      .poll(() => readdirSync(state).filter((name) => /-worker-\d$/.test(name)), { timeout: 10_000 })
      .toHaveLength(WORKERS)
    expect(output()).toMatch(/"worker":1,.*"msg":"lock|"worker":2,.*"msg":"lock/)
  }, 180_000)

  test('tell every reader what happens at any of them, in one order, also one who comes back', async () => {
    const ids: string[] = []
    const types: string[] = []
    const read = async (lastId: string | null, until: () => boolean): Promise<void> => {
      const headers = lastId === null ? {} : { 'last-event-id': lastId }
      const agent = new Agent()
      const request = get(`${fleet.place(0).control}/v1/events`, { agent, headers }, (response) => {
        response.on('error', () => undefined)
        response.setEncoding('utf8').on('data', (text: string) => {
          for (const [, id = ''] of text.matchAll(/^id: (.*)$/gm)) ids.push(id)
          for (const [, type = ''] of text.matchAll(/^event: (.*)$/gm)) types.push(type)
        })
      })
      request.on('error', () => undefined)
      await expect.poll(until, { timeout: 10_000 }).toBe(true)
      request.destroy()
    }
    const refuse = async (times: number) => {
      for (let i = 0; i < times; i++) expect((await write(0, '1')).status).toBe(412)
    }
    const refusals = () => types.filter((type) => type === 'call.refused').length
    const first = read(null, () => refusals() >= 6)
    await expect.poll(() => send(`${fleet.place(0).control}/livez`).then(({ status }) => status)).toBe(200)
    await sleep(200)
    await refuse(6)
    await first
    // Another connection, and so another worker or the same: neither has forgotten anything.
    await refuse(4)
    for (let i = 0; i < WORKERS; i++) await read(ids[5] ?? '', () => refusals() >= 6 + (i + 1) * 4)
    expect(types).not.toContain('gap')
    const numbers = ids.slice(0, 6).map((id) => Number(id.split('-')[1]))
    expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i))
  }, 180_000)

  test('go on when one is killed, which is started again as somebody new', async () => {
    const session = await control().openSession({ ttl: 60, holder: 'a' })
    const killed = pidOf(1)
    process.kill(killed, 'SIGKILL')
    await expect.poll(() => pidOf(1) !== killed, { timeout: 20_000 }).toBe(true)
    expect(output()).toMatch(/"worker":1,"code":null,"signal":"SIGKILL".*a worker ended; it is started again/)
    // What the dead one may have had open is waited for: its lease, and the quiet time. Then nothing is left of it.
    const token = await control().take(lockOf(0), session, 30)
    expect((await write(0, token)).status).toBe(200)
    await expect.poll(registrations, { timeout: 30_000 }).toBe(WORKERS)
    const restarts = seriesOf(await metrics(), 'fencegate_worker_restarts')
    expect(restarts.map(({ value }) => value)).toEqual([1, 0])
  }, 180_000)

  test('leave no caller waiting whose connection was just being handed to one that is killed', async () => {
    const stopped = pidOf(1)
    process.kill(stopped, 'SIGSTOP')
    let open = 0
    let answered = 0
    const callers = Array.from({ length: 12 }, (_, i) => {
      const { hostname, port } = new URL(i % 2 === 0 ? fleet.place(0).control : fleet.place(0).volumes)
      const caller = connect(Number(port), hostname)
      open++
      caller.on('error', () => undefined)
      caller.once('data', () => answered++).resume()
      caller.on('close', () => open--)
      caller.write('GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
      return caller
    })
    // One of each port waits for the worker that stands still; the other worker answers all the others.
    await expect.poll(() => [answered, open], { timeout: 10_000 }).toEqual([10, 2])
    process.kill(stopped, 'SIGKILL')
    await expect.poll(() => open, { timeout: 5_000 }).toBe(0)
    for (const caller of callers) caller.destroy()
  }, 60_000)

  test('end in order with their parent, calls in flight first', async () => {
    const session = await control().openSession({ ttl: 30, holder: 'h' })
    const token = await control().take(lockOf(0), session)
    fleet.backend.hold('execution', 2)
    const calls = [write(0, token), write(0, token)]
    const held = () => fleet.backend.log().filter((call) => call.executedAt === null).length
    await expect.poll(held).toBe(2)
    process.kill(parent()?.pid ?? 0, 'SIGTERM')
    await expect.poll(() => output().match(/callers are sent elsewhere/g)?.length).toBe(WORKERS)
    fleet.backend.letGo()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200])
    expect(await parent()?.ended).toBe(0)
    expect(await registrations()).toBe(0)
    expect(output()).not.toContain('call.unknown')
    expect(output()).not.toContain('it is started again')
  }, 180_000)

  test('end at once when their parent is told twice', async () => {
    const session = await control().openSession({ ttl: 30, holder: 'h' })
    const token = await control().take(lockOf(0), session)
    fleet.backend.hold('execution', 1)
    const call = write(0, token).catch(() => 'dropped')
    await expect.poll(() => fleet.backend.log().some(({ executedAt }) => executedAt === null)).toBe(true)
    process.kill(parent()?.pid ?? 0, 'SIGTERM')
    await expect.poll(output).toContain('ending all workers')
    process.kill(parent()?.pid ?? 0, 'SIGTERM')
    expect(await parent()?.ended).toBe(1)
    expect(await call).toBe('dropped')
    for (const pid of servedBy().values())
      await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false)
  }, 180_000)

  test('end at once when their parent is killed', async () => {
    const pids = [...servedBy().values()]
    expect(pids.map(isAlive)).toEqual([true, true])
    await parent()?.kill()
    for (const pid of pids) await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false)
    // Nobody has said that nothing was open.
    expect(await registrations()).toBe(WORKERS)
  }, 180_000)

  test('are not held up by one that stands still for longer than its lease and the quiet time', async () => {
    const [first, second] = [
      await control().openSession({ ttl: 60, holder: 'a' }),
      await control().openSession({ ttl: 60, holder: 'b' }),
    ]
    await control().take(lockOf(0), first)
    const stopped = pidOf(1)
    process.kill(stopped, 'SIGSTOP')
    const startMs = performance.now()
    // A connection that was open to it, and one more that is handed to it, wait with the worker that stands still. No other.
    const alone = { headers: { connection: 'close' } }
    const url = control().lockUrl(lockOf(0))
    const met = Array.from({ length: 5 }, () => send(`${control().base}/livez`, alone).catch(() => null))
    let answered = 0
    for (const meeting of met) void meeting.then((answer) => (answered += answer === null ? 0 : 1))
    await expect.poll(() => answered, { timeout: 5_000 }).toBeGreaterThanOrEqual(3)
    // On a machine that is busy enough the other one may lose its lease too: whoever is broken off asks again.
    const asked = (target: string, call: Parameters<typeof send>[1]) =>
      vi.waitFor(() => send(target, { ...alone, ...call }), { timeout: 60_000, interval: 100 })
    expect((await asked(`${url}?session=${first}`, { method: 'DELETE' })).status).toBe(204)
    const taken = await asked(url, { body: { session: second, wait: 40 } })
    const tookMs = performance.now() - startMs
    expect(taken.body).toContain('"token"')
    expect(tookMs).toBeGreaterThan(5_000)
    expect(tookMs).toBeLessThan(25_000)
    // What was granted after that concerns it no more.
    expect((await asked(`${url}?session=${second}`, { method: 'DELETE' })).status).toBe(204)
    const againMs = performance.now()
    expect((await asked(url, { body: { session: first, wait: 40 } })).body).toContain('"token"')
    expect(performance.now() - againMs).toBeLessThan(5_000)
    // It is ended and started again.
    await expect.poll(() => pidOf(1) !== stopped, { timeout: 40_000 }).toBe(true)
    expect(isAlive(stopped)).toBe(false)
  }, 180_000)

  test('are each replaced without a loss when they are told to end by themselves', async () => {
    const told = pidOf(1)
    process.kill(told, 'SIGTERM')
    await expect.poll(() => pidOf(1) !== told, { timeout: 20_000 }).toBe(true)
    expect(await registrations()).toBe(WORKERS)
    expect(output()).not.toContain('call.unknown')
  }, 180_000)
})

describe.skipIf(!etcdAvailable())('workers that cannot start', () => {
  test('say why, and leave nothing running', async () => {
    const folder = new GatewayFolder()
    try {
      const endpoint = `http://127.0.0.1:${await freePort()}`
      folder.configure({ workers: 2, store: { etcd: { endpoints: [endpoint] } } })
      await expect(folder.start()).rejects.toThrow(/worker \d: the store does not answer/)
    } finally {
      await folder.remove()
    }
  }, 180_000)
})
