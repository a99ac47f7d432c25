// The gateway that runs a fence is killed in each state that the fence can be in, and another one on the same etcd takes over:
// the service that fences is asked at most what its idempotence allows, and the record has all of the evidence.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts'
import { Relay } from '../store/relay.ts'

const SECRET = 'a shared key of some length'
const VOLUME = '5aa1f3d2-0000-4000-8000-000000000001'
const LOCK = `cinder/volume/${VOLUME}`
const patient = { timeout: 30_000, interval: 20 }

describe.skipIf(!etcdAvailable())('a fence whose gateway is killed', { timeout: 90_000 }, () => {
  let etcd: EtcdCluster
  let prefixes = 0
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd?.stop())

  let relay: Relay
  let receiver: WebhookReceiver
  let array: Server
  let prefix: string
  let folders: GatewayFolder[]
  let first: GatewayProcess
  let next: string

  beforeEach(async () => {
    relay = await Relay.open(etcd.endpoints[0] ?? '')
    receiver = await startWebhookReceiver(SECRET)
    // An array that takes calls and answers none.
    array = createServer(() => undefined).listen(0, '127.0.0.1')
    await new Promise((resolve) => array.once('listening', resolve))
    prefix = `/takeover-${++prefixes}`
    folders = []
    first = await start(relay.endpoint)
  })
  afterEach(async () => {
    await Promise.all(folders.map((folder) => folder.remove()))
    array.closeAllConnections()
    array.close()
    await receiver.server.close()
    await relay.close()
  })

  async function start(endpoint: string): Promise<GatewayProcess> {
    const folder = new GatewayFolder()
    folders.push(folder)
    const { port } = array.address() as AddressInfo
    folder.configure({
      store: { etcd: { endpoints: [endpoint], prefix } },
      gateway: { lease: 3 },
      backends: {
        volumes: { listen: '127.0.0.1:0', upstream: `http://127.0.0.1:${port}`, policy: 'cinder', quiet: 1 },
      },
      fencers: { service: { driver: 'webhook', url: receiver.server.url, secret: SECRET } },
      plans: {
        now: { levels: [['service']], timeout: 30 },
        later: { levels: [{ after: 4, fencers: ['service'] }], timeout: 30 },
      },
    })
    return folder.start()
  }

  /** A holder whom an operator has fenced, at the gateway that is to be killed. */
  async function fenced(plan: string, hold: (token: string) => void = () => undefined): Promise<string> {
    const control = new ControlClient(first.control)
    const session = await control.openSession({
      ttl: 60,
      holder: 'volume-1',
      plan,
      fenceInfo: { host: 'c3' },
    })
    hold(await control.take(LOCK, session))
    // Whoever waits when the lock moves on is told of the fence; his connection goes with the gateway, his place does not.
    next = await control.openSession({ ttl: 60, holder: 'volume-2' })
    send(control.lockUrl(LOCK), { body: { session: next, wait: 60 } }).catch(() => undefined)
    await expect.poll(async () => (await control.lock(LOCK)).waiters, patient).toHaveLength(1)
    return session
  }

  async function order(session: string): Promise<void> {
    const body = { by: 'ops', reason: 'hangs' }
    await send(`${first.control}/v1/sessions/${session}/fence`, { body })
  }

  /** The next owner has the lock, and its grant names the fence, whose record has one attempt and its evidence. */
  async function expectTakenOver(second: GatewayProcess, session: string): Promise<void> {
    const control = new ControlClient(second.control)
    const body = { session: next, wait: 30 }
    const grant = JSON.parse((await send(control.lockUrl(LOCK), { body })).body)
    expect(grant).toMatchObject({ lock: LOCK, afterFences: [session] })
    expect(await control.fence(session)).toMatchObject({
      state: 'closed',
      outcome: 'fenced',
      attempts: [{ fencer: 'service', number: 1, outcome: 'verified' }],
      proofs: [{ fencer: 'service', observed: expect.stringContaining(`looked at ${session}`) }],
    })
    expect([...receiver.orders]).toEqual([`${session}-1`])
  }

  const posted = () => receiver.server.calls.filter(({ method }) => method === 'POST').length

  it('after it was claimed and before anything was tried, is carried out once', async () => {
    const session = await fenced('later')
    await order(session)
    const control = new ControlClient(first.control)
    await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('running')
    await first.kill()
    expect(posted()).toBe(0)
    await expectTakenOver(await start(etcd.endpoints[0] ?? ''), session)
    expect(posted()).toBe(1)
  })

  it('while its attempt runs, is asked for again under the same key', async () => {
    receiver.mode = 'slow'
    const session = await fenced('now')
    await order(session)
    await expect.poll(posted, patient).toBe(1)
    await first.kill()
    const second = await start(etcd.endpoints[0] ?? '')
    await expect.poll(posted, patient).toBe(2)
    expect((await new ControlClient(second.control).fence(session))?.state).toBe('running')
    receiver.finish()
    await expectTakenOver(second, session)
  })

  it('after it was verified and before that was recorded, is seen again', async () => {
    receiver.mode = 'slow'
    const session = await fenced('now')
    await order(session)
    await expect.poll(posted, patient).toBe(1)
    relay.cut()
    receiver.finish()
    await expect
      .poll(() => first.output(), patient)
      .toMatch(/"fence\.attempted".*"verified"|"verified".*"fence\.attempted"/)
    await first.kill()
    const second = await start(etcd.endpoints[0] ?? '')
    const found = await new ControlClient(second.control).fence(session)
    expect(found).toMatchObject({ state: 'running', attempts: [] })
    await expectTakenOver(second, session)
  })

  it('after it was closed and before the lock moved on, is not begun again', async () => {
    const session = await fenced('now', (token) => {
      // Never answered: the handover waits for it until nobody can know any more.
      const headers = { 'fencing-token': token }
      const url = `${first.backend('volumes')}/v3/p/volumes/${VOLUME}/metadata`
      send(url, { headers, body: { metadata: {} } }).catch(() => undefined)
    })
    const control = new ControlClient(first.control)
    await expect.poll(async () => (await control.lock(LOCK)).owners[0]?.inFlight, patient).toBe(1)
    await order(session)
    await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('closed')
    expect((await control.lock(LOCK)).phase).toBe('handover')
    await first.kill()
    await expectTakenOver(await start(etcd.endpoints[0] ?? ''), session)
    expect(posted()).toBe(1)
  })
})
