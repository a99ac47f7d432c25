// A service that calls back, and two gateways on one etcd: its word reaches the one that runs the fence by way of the other, of
// a gateway that is gone, late, twice, forged, and contradicted.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import {
  callBack,
  signedCallback,
  startWebhookReceiver,
  type WebhookReceiver,
} from '../../support/webhook-receiver.ts'

const SECRET = 'a shared key of some length'
const LOCK = 'cinder/volume/v-1'
const patient = { timeout: 30_000, interval: 20 }

describe.skipIf(!etcdAvailable())('a fence whose service calls back', { timeout: 90_000 }, () => {
  let etcd: EtcdCluster
  let prefixes = 0
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd?.stop())

  let receiver: WebhookReceiver
  let prefix: string
  let folders: GatewayFolder[]
  let first: GatewayProcess
  let second: GatewayProcess

  beforeEach(async () => {
    receiver = await startWebhookReceiver(SECRET)
    receiver.mode = 'slow'
    prefix = `/callback-${++prefixes}`
    folders = []
    first = await start()
  })
  afterEach(async () => {
    await Promise.all(folders.map((folder) => folder.remove()))
    await receiver.server.close()
  })

  function start(): Promise<GatewayProcess> {
    const folder = new GatewayFolder()
    folders.push(folder)
    const { url } = receiver.server
    folder.configure({
      store: { etcd: { endpoints: etcd.endpoints, prefix } },
      gateway: { lease: 3 },
      fencers: {
        service: {
          driver: 'webhook',
          url,
          secret: SECRET,
          callback: 'http://gateways.example',
          monitorPath: '/m',
        },
      },
      plans: {
        patient: { levels: [['service']], timeout: 30, attempts: 1 },
        hasty: { levels: [['service']], timeout: 1, attempts: 1 },
      },
    })
    return folder.start()
  }

  /** A fence that the first gateway runs, and which has been ordered from the service. */
  async function ordered(plan = 'patient') {
    const control = new ControlClient(first.control)
    const session = await control.openSession({ ttl: 60, holder: 'v-1', plan, fenceInfo: { host: 'c3' } })
    await control.take(LOCK, session)
    const body = { by: 'ops', reason: 'hangs' }
    await send(`${first.control}/v1/sessions/${session}/fence`, { body })
    await expect.poll(() => receiver.answerable.get(`${session}-1`), patient).toBeDefined()
    return session
  }

  const answerable = (session: string, attempt = 1) => {
    const found = receiver.answerable.get(`${session}-${attempt}`)
    if (found === undefined) throw new Error('that order cannot be answered')
    return found
  }
  const say = (gateway: GatewayProcess, session: string, state = 'fenced', secret = SECRET) => {
    const { url, ticket } = answerable(session)
    const said = { fence: session, ticket, state, evidence: `plug of ${session} with ${SECRET}` }
    return callBack(gateway.control, { url }, signedCallback(secret, said))
  }
  const fenceAt = (gateway: GatewayProcess, session: string) =>
    new ControlClient(gateway.control).fence(session)

  it('is closed by a word that another gateway took; the next owner’s grant names it; forged words did nothing', async () => {
    second = await start()
    const session = await ordered()
    const { url, ticket } = answerable(session)
    await expect.poll(async () => (await fenceAt(second, session))?.state, patient).toBe('running')
    expect((await say(second, session, 'fenced', 'another key that is as long')).status).toBe(401)
    const unsigned = { fence: session, ticket, state: 'fenced' }
    expect((await send(second.control + new URL(url).pathname, { body: unsigned })).status).toBe(401)
    expect(await fenceAt(first, session)).toMatchObject({ state: 'running', attempts: [] })

    expect(await say(second, session)).toEqual({ status: 200, body: '{"result":"taken"}' })
    const control = new ControlClient(second.control)
    const next = await control.openSession({ ttl: 60, holder: 'v-2' })
    const answer = await send(control.lockUrl(LOCK), { body: { session: next, wait: 30 } })
    expect(JSON.parse(answer.body)).toMatchObject({ lock: LOCK, afterFences: [session] })
    const closed = await fenceAt(second, session)
    expect(closed).toMatchObject({
      state: 'closed',
      outcome: 'fenced',
      callbacks: [{ fencer: 'service', attempt: 1, state: 'fenced' }],
      attempts: [{ fencer: 'service', number: 1, outcome: 'verified' }],
      proofs: [{ observed: expect.stringContaining(`plug of ${session}`), proves: ['no-new-calls'] }],
    })
    expect(JSON.stringify(closed)).not.toContain(SECRET)
    // Again, at the other gateway, and then the opposite.
    expect(await say(first, session)).toEqual({ status: 200, body: '{"result":"known"}' })
    expect((await say(first, session, 'failed')).status).toBe(409)
    expect(await fenceAt(first, session)).toEqual(closed)
  })

  it('is taken over from a gateway that was killed, with the word that came meanwhile to its order', async () => {
    const session = await ordered()
    second = await start()
    await first.kill()
    await say(second, session)
    await expect.poll(async () => (await fenceAt(second, session))?.state, patient).toBe('closed')
    expect(await fenceAt(second, session)).toMatchObject({
      outcome: 'fenced',
      attempts: [{ number: 1, outcome: 'verified' }],
    })
    expect([...receiver.orders]).toEqual([`${session}-1`])
  })

  it('goes on without a service that says both, and takes its late word at the next try', async () => {
    const session = await ordered('hasty')
    expect((await say(first, session, 'failed')).status).toBe(200)
    expect((await say(first, session)).status).toBe(409)
    await expect.poll(async () => (await fenceAt(first, session))?.state, patient).toBe('blocked')
    const both = [{ state: 'failed' }, { state: 'fenced' }]
    expect(await fenceAt(first, session)).toMatchObject({ callbacks: both, proofs: [] })
    // An operator has it tried again: another order, and an answer that comes when that attempt is over, too.
    await send(`${first.control}/v1/fences/${session}/retry`, { method: 'POST' })
    await expect.poll(() => receiver.answerable.has(`${session}-2`), patient).toBe(true)
    await expect.poll(async () => (await fenceAt(first, session))?.state, patient).toBe('blocked')
    const { url, ticket } = answerable(session, 2)
    const late = signedCallback(SECRET, { fence: session, ticket, state: 'fenced' })
    expect((await callBack(first.control, { url }, late)).status).toBe(200)
    expect((await fenceAt(first, session))?.state).toBe('blocked')
    await send(`${first.control}/v1/fences/${session}/retry`, { method: 'POST' })
    await expect.poll(async () => (await fenceAt(first, session))?.['outcome'], patient).toBe('fenced')
  })
})
