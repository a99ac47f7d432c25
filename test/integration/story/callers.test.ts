// Clients that cannot send a header, at a vCenter: known by what they log in as and by the session that they then use.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ask, ControlClient, send } from '../../support/holder.ts'
import { createSoapClient, ROOT_FOLDER, SESSION_MANAGER, type SoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorAvailable,
} from '../../support/vcenter-simulator.ts'

const LOCK = 'vmware/folder/group-d1'
const patient = { timeout: 15_000, interval: 20 }

const SessionShown = z.object({
  fenceInfo: z.record(z.string(), z.unknown()),
  bindings: z.array(z.object({ backend: z.string(), by: z.string(), value: z.string().optional() })),
})

describe.skipIf(!vcenterSimulatorAvailable())('callers of a vCenter who send no token', () => {
  let vcenter: VcenterSimulator
  let folder: GatewayFolder
  let gateway: GatewayProcess
  let control: ControlClient
  const clients: SoapClient[] = []

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: { nova: 'secret', other: 'secret', fencer: 'secret' } })
  }, 300_000)
  afterAll(() => vcenter?.stop())

  beforeEach(async () => {
    await vcenter.forgetCalls()
    folder = new GatewayFolder()
    folder.configure({
      backends: {
        vcenter: {
          listen: '127.0.0.1:0',
          listeners: { 'nova-2': '127.0.0.1:0' },
          upstream: new URL(vcenter.url).origin,
          policy: 'vsphere',
          quiet: 1,
          identify: ['header', 'listener', 'login', 'session'],
          implicit: true,
        },
      },
      fencers: {
        ask: { driver: 'manual', instructions: 'see that {{holder.id}} is off' },
        session: { driver: 'vsphere-session', url: vcenter.url, username: 'fencer', password: 'secret' },
      },
      plans: {
        nova: { levels: [['session']], timeout: 20 },
        slow: { levels: [['ask']], attempts: 1, timeout: 5 },
      },
    })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close()
    await folder.remove()
  })

  function client(listener = 'vcenter'): SoapClient {
    const made = createSoapClient({ url: gateway.backend(listener) })
    clients.push(made)
    return made
  }

  function bind(session: string, by: string, value: string) {
    const body = { backend: 'vcenter', by, value }
    return send(`${gateway.control}/v1/sessions/${session}/bindings`, { body })
  }

  const createFolder = (from: SoapClient, name: string, headers: Readonly<Record<string, string>> = {}) =>
    from.call('CreateFolder', ROOT_FOLDER, `<name>${name}</name>`, { headers })

  it('go by the tokens of the session that their login is bound to, as long as it holds them', async () => {
    const session = await control.openSession({ ttl: 60, holder: 'nova-1' })
    expect((await bind(session, 'login', 'nova')).status).toBe(201)
    const nova = client()
    const opened = await nova.login('nova', 'secret')

    const early = await createFolder(nova, 'early')
    expect([early.status, early.fault]).toEqual([500, 'NoPermission'])
    expect(early.headers['fencing-verdict']).toBe('missing-token')
    expect(early.text).toContain(session)

    await control.take(LOCK, session)
    expect((await createFolder(nova, 'held')).fault).toBeNull()

    const other = client()
    await other.login('other', 'secret')
    const stranger = await createFolder(other, 'stranger')
    expect([stranger.status, stranger.headers['fencing-verdict']]).toEqual([500, 'missing-token'])

    const shown = await ask(SessionShown, `${gateway.control}/v1/sessions/${session}`)
    expect(shown.bindings).toEqual([
      { backend: 'vcenter', by: 'login', value: 'nova' },
      { backend: 'vcenter', by: 'session' },
    ])
    expect(shown.fenceInfo).toEqual({ sessionKeys: [opened.key], userName: 'nova' })

    await control.release(LOCK, session)
    const late = await createFolder(nova, 'late')
    expect([late.status, late.fault]).toEqual([500, 'NoPermission'])
    const landed = await vcenter.calls('CreateFolder')
    expect(landed.length).toBe(1)
  })

  it('lose what they were known by with their session, and are nobody then', async () => {
    const session = await control.openSession({ ttl: 60, holder: 'nova-1' })
    await bind(session, 'login', 'nova')
    const nova = client()
    await nova.login('nova', 'secret')
    await control.take(LOCK, session)
    expect((await createFolder(nova, 'mine')).fault).toBeNull()
    await send(`${gateway.control}/v1/sessions/${session}`, { method: 'DELETE' })

    // The next one of the same account, who holds the lock: what his predecessor opened is not his.
    const next = await control.openSession({ ttl: 60, holder: 'nova-1' })
    expect((await bind(next, 'login', 'nova')).status).toBe(201)
    await control.take(LOCK, next)
    const late = await createFolder(nova, 'late')
    expect([late.status, late.headers['fencing-verdict']]).toEqual([500, 'missing-token'])
    const fresh = client()
    await fresh.login('nova', 'secret')
    expect((await createFolder(fresh, 'fresh')).fault).toBeNull()
  })

  it('are refused where two marks of one call, or a mark and a token, belong to two holders', async () => {
    const one = await control.openSession({ ttl: 60, holder: 'nova-1' })
    const two = await control.openSession({ ttl: 60, holder: 'nova-2' })
    await bind(one, 'login', 'nova')
    expect((await bind(two, 'listener', 'nova-2')).status).toBe(201)
    const nova = client()
    const session = await nova.login('nova', 'secret')
    const token = await control.take(LOCK, one)

    const elsewhere = await client('vcenter/nova-2').call(
      'CreateFolder',
      ROOT_FOLDER,
      '<name>elsewhere</name>',
      { session },
    )
    expect([elsewhere.status, elsewhere.headers['fencing-verdict']]).toEqual([500, 'caller-conflict'])
    const named = await createFolder(nova, 'named', { 'fencing-session': two })
    expect(named.headers['fencing-verdict']).toBe('caller-conflict')
    const borrowed = await client('vcenter/nova-2').call(
      'CreateFolder',
      ROOT_FOLDER,
      '<name>borrowed</name>',
      { session: null, headers: { 'fencing-token': token } },
    )
    expect(borrowed.headers['fencing-verdict']).toBe('caller-conflict')
    const login = client('vcenter/nova-2').login('nova', 'secret')
    await expect(login).rejects.toThrow(/NoPermission/)
    expect(await vcenter.calls('CreateFolder')).toEqual([])
    expect((await createFolder(nova, 'own', { 'fencing-token': token })).fault).toBeNull()
  })

  it('cannot be bound to what another living session has', async () => {
    const one = await control.openSession({ ttl: 60, holder: 'nova-1' })
    const two = await control.openSession({ ttl: 60, holder: 'nova-2' })
    expect((await bind(one, 'login', 'nova')).status).toBe(201)
    expect((await bind(one, 'login', 'nova')).status).toBe(201)
    const taken = await bind(two, 'login', 'nova')
    expect([taken.status, JSON.parse(taken.body)['type']]).toEqual([
      409,
      expect.stringContaining('binding-taken'),
    ])
    expect((await bind(two, 'address', '127.0.0.1')).status).toBe(400)
    expect((await bind(two, 'listener', 'nova-9')).status).toBe(400)
    await send(`${gateway.control}/v1/sessions/${one}`, { method: 'DELETE' })
    expect((await bind(two, 'login', 'nova')).status).toBe(201)
  })

  it('have every session that they opened here terminated by their fence', async () => {
    const session = await control.openSession({
      ttl: 60,
      holder: 'nova-1',
      plan: 'nova',
      fenceInfo: { sessionKeys: [] },
    })
    await bind(session, 'login', 'nova')
    const first = await client().login('nova', 'secret')
    const second = await client().login('nova', 'secret')
    const body = { by: 'me', reason: 'test' }
    expect((await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })).status).toBe(202)
    await expect.poll(async () => (await control.fence(session))?.['outcome'], patient).toBe('fenced')
    const left = (await vcenter.sessions()).map(({ key }) => key)
    expect(left).not.toContain(first.key)
    expect(left).not.toContain(second.key)
  })

  it('open no session here while they are fenced, by whatever they were known', async () => {
    const session = await control.openSession({
      ttl: 60,
      holder: 'nova-2',
      plan: 'slow',
      fenceInfo: { host: 'h2' },
    })
    expect((await bind(session, 'listener', 'nova-2')).status).toBe(201)
    const body = { by: 'me', reason: 'test' }
    expect((await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })).status).toBe(202)
    const barred = client('vcenter/nova-2').login('other', 'secret')
    await expect(barred).rejects.toThrow(/being fenced/)
    // The same account elsewhere is somebody else's.
    expect((await client().login('other', 'secret')).key).not.toBe('')
    await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('blocked')
    await send(`${gateway.control}/v1/fences/${session}/confirm`, { body })
    await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('closed')
    expect((await client('vcenter/nova-2').login('other', 'secret')).key).not.toBe('')
  })

  it('are told beforehand what would become of their calls, by the same marks', async () => {
    const session = await control.openSession({
      ttl: 60,
      holder: 'nova-1',
      plan: 'slow',
      fenceInfo: { host: 'h1' },
    })
    await bind(session, 'login', 'nova')
    const nova = client()
    const { cookie } = await nova.login('nova', 'secret')
    await control.take(LOCK, session)
    const envelope = (inner: string) =>
      `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>${inner}</e:Body></e:Envelope>`
    const change = `<CreateFolder xmlns="urn:vim25"><_this type="Folder">${ROOT_FOLDER.value}</_this><name>n</name></CreateFolder>`
    const check = async (inner: string, rest: object = {}, headers: Record<string, string> = {}) => {
      const body = {
        backend: 'vcenter',
        method: 'POST',
        path: '/sdk',
        headers: { 'content-type': 'text/xml', ...headers },
        body: envelope(inner),
        ...rest,
      }
      const answer = await send(`${gateway.control}/v1/check`, { body })
      return [answer.status, JSON.parse(answer.body)] as const
    }
    const own = { cookie: `vmware_soap_session="${cookie}"` }
    expect(await check(change, {}, own)).toMatchObject([200, { verdict: 'admitted', session }])
    const [, unknown] = await check(change)
    expect(unknown).toMatchObject({
      verdict: 'missing-token',
      why: expect.stringContaining('nothing says whose'),
    })
    expect(unknown).not.toHaveProperty('session')
    const other = await control.openSession({ ttl: 60, holder: 'nova-2' })
    await bind(other, 'listener', 'nova-2')
    const there = { caller: { listener: 'nova-2' } }
    expect(await check(change, there)).toMatchObject([
      200,
      { verdict: 'missing-token', session: other, why: expect.stringContaining(`${other}, which sends it`) },
    ])
    // Two marks of two holders: as the data plane would refuse it.
    const both = await check(change, there, own)
    const sent = await createFolder(client('vcenter/nova-2'), 'n', own)
    expect(both[1].verdict).toBe(sent.headers['fencing-verdict'])
    expect((await check(change, { caller: { listener: 'none' } }))[0]).toBe(404)
    const body = { by: 'me', reason: 'test' }
    await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })
    await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('blocked')
    const ticket =
      '<AcquireCloneTicket xmlns="urn:vim25"><_this type="SessionManager">s</_this></AcquireCloneTicket>'
    expect(await check(ticket, {}, own)).toMatchObject([200, { verdict: 'fence-due', effect: 'session' }])
    expect(await check(ticket)).toMatchObject([200, { verdict: 'admitted' }])
    expect(await check(change, {}, own)).toMatchObject([
      200,
      { verdict: expect.not.stringMatching('admitted') },
    ])
  })

  it('open no further session on the one that they have while they are fenced, whatever they write', async () => {
    const session = await control.openSession({
      ttl: 60,
      holder: 'nova-1',
      plan: 'slow',
      fenceInfo: { host: 'h1' },
    })
    await control.openSession({ ttl: 60, holder: 'nova-9', fenceInfo: { login: 'other' } })
    expect((await bind(session, 'login', 'nova')).status).toBe(201)
    const nova = client()
    const opened = await nova.login('nova', 'secret')
    const other = client()
    await other.login('other', 'secret')
    const openings = [
      ['AcquireCloneTicket', ''],
      ['ImpersonateUser', '<userName>other</userName>'],
      ['HttpNfcLeaseComplete', ''],
      ['CloneSession', '<cloneTicket>cst-1</cloneTicket>'],
      ['LoginByToken', ''],
      ['LoginBySSPI', '<base64Token>YWJj</base64Token>'],
      ['LoginExtensionByCertificate', '<extensionKey>e</extensionKey>'],
    ] as const
    const refusals = async (from: SoapClient) => {
      const found: string[] = []
      for (const [method, args] of openings)
        if ((await from.call(method, SESSION_MANAGER, args)).headers['fencing-verdict'] === 'fence-due')
          found.push(method)
      return found
    }
    expect(await refusals(nova)).toEqual([])
    const body = { by: 'me', reason: 'test' }
    expect((await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })).status).toBe(202)
    await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('blocked')
    const before = (await vcenter.calls()).length
    expect(await refusals(nova)).toEqual(openings.map(([method]) => method))
    expect((await vcenter.calls()).length).toBe(before)
    // Somebody else's session, and his name, are his; of the rest nobody can tell whose they are.
    expect(await refusals(other)).toEqual(openings.slice(3).map(([method]) => method))
    await gateway.kill()
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
    const again = createSoapClient({ url: gateway.backend('vcenter') })
    clients.push(again)
    const own = { session: opened }
    const ticket = await again.call('AcquireCloneTicket', SESSION_MANAGER, '', own)
    expect(ticket.headers['fencing-verdict']).toBe('fence-due')
    await send(`${gateway.control}/v1/fences/${session}/confirm`, { body })
    await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('closed')
    const after = await again.call('AcquireCloneTicket', SESSION_MANAGER, '', own)
    expect(after.headers['fencing-verdict']).toBeUndefined()
  })

  it('are forgotten when they log out', async () => {
    const session = await control.openSession({ ttl: 60, holder: 'nova-1' })
    await bind(session, 'login', 'nova')
    const nova = client()
    await nova.login('nova', 'secret')
    await nova.call('Logout', { type: 'SessionManager', value: 'SessionManager' })
    await expect
      .poll(
        async () => (await ask(SessionShown, `${gateway.control}/v1/sessions/${session}`)).bindings,
        patient,
      )
      .toEqual([{ backend: 'vcenter', by: 'login', value: 'nova' }])
  })
})
