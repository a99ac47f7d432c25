// The vSphere session fencer against the simulator: what it ends, what it awaits, and what it must leave alone.

import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import driver from '../../../fencers/vsphere-session.ts'
import { infoSecrets } from '../../../gateway/fencing/redaction.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import {
  createSoapClient,
  ROOT_FOLDER,
  SESSION_MANAGER,
  type SoapClient,
  type SoapReference,
  type SoapSession,
} from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = ReturnType<typeof driver.fenceInfo.parse>
const USERS = { fencer: 'f-secret', nova: 'n-secret', other: 'o-secret' }

describe.skipIf(vcenterSimulatorUnavailable() !== null)('the vSphere session fencer', () => {
  let vcenter: VcenterSimulator
  let nova: SoapClient
  let session: SoapSession
  const clients: SoapClient[] = []
  const fencers: Fencer<Info>[] = []
  let folders = 0

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: USERS })
  }, 240_000)
  afterAll(() => vcenter?.stop())
  beforeEach(async () => {
    nova = connect()
    session = await nova.login('nova', USERS.nova)
  })
  afterEach(async () => {
    await vcenter.dropRule()
    await vcenter.releaseTask()
    await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
    await Promise.all(clients.map((client) => client.call('Logout', SESSION_MANAGER)))
    await Promise.all(clients.splice(0).map((client) => client.close()))
    await vcenter.forgetCalls()
  })

  function connect(): SoapClient {
    const client = createSoapClient({ url: vcenter.url })
    clients.push(client)
    return client
  }

  function create(options: Readonly<Record<string, unknown>> = {}): Fencer<Info> {
    const all = { url: vcenter.url, username: 'fencer', password: USERS.fencer, ...options }
    const fencer = driver.create(driver.options.parse(all), { clock: realClock, note: () => undefined })
    fencers.push(fencer)
    return fencer
  }

  const isListed = async (key: string) => (await vcenter.sessions()).some((item) => item.key === key)

  async function startTask(
    client: SoapClient,
    rule: { readonly cancelable: boolean },
  ): Promise<SoapReference> {
    const path = '<inventoryPath>DC0/vm/DC0_H0_VM0</inventoryPath>'
    const found = await client.call(
      'FindByInventoryPath',
      { type: 'SearchIndex', value: 'SearchIndex' },
      path,
    )
    const machine = { type: 'VirtualMachine', value: found.returnval ?? '' }
    await vcenter.addRule({ method: 'ResetVM_Task', kind: 'task', times: 1, ...rule })
    const started = await client.call('ResetVM_Task', machine)
    return { type: 'Task', value: started.returnval ?? '' }
  }

  test('ends the session, sees it gone, and the holder changes nothing any more', async () => {
    const fencer = create()
    const info = { sessionKey: session.key }
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    const verification = await fencer.verify(info, anAttemptNow())
    expect(verification).toMatchObject({
      state: 'fenced',
      evidence: { request: 'RetrievePropertiesEx sessionList' },
    })
    expect(await isListed(session.key)).toBe(false)
    const late = await nova.call('CreateFolder', ROOT_FOLDER, `<name>late-${folders++}</name>`)
    expect(late.fault).toBe('NotAuthenticated')
  })

  test("leaves every other session alone, the same user's too", async () => {
    const second = connect()
    const spared = await second.login('nova', USERS.nova)
    await create().fence({ sessionKey: session.key }, anAttemptNow())
    expect(await isListed(session.key)).toBe(false)
    expect(await isListed(spared.key)).toBe(true)
  })

  test.each(['user', 'address'] as const)(
    "ends all sessions of the holder's %s where told to, and nobody else's",
    async (sessionsOf) => {
      const [second, third, other] = [connect(), connect(), connect()]
      await second.login('nova', USERS.nova)
      const stranger = await other.login('other', USERS.other)
      const fencer = create({ sessionsOf })
      const info = { sessionKey: session.key }
      await fencer.fence(info, anAttemptNow())
      expect((await vcenter.sessions()).filter((item) => item.userName === 'nova')).toEqual([])
      expect(await isListed(stranger.key)).toBe(true)
      expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
      await third.login('nova', USERS.nova)
      expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
      await third.call('Logout', SESSION_MANAGER)
      // Another gateway has not seen whose session it was.
      expect((await create({ sessionsOf }).verify(info, anAttemptNow())).state).toBe('unknown')
      const whole = { ...info, userName: 'nova', clientAddress: '127.0.0.1' }
      expect((await create({ sessionsOf }).verify(whole, anAttemptNow())).state).toBe('fenced')
    },
  )

  test("leaves the user's sessions from another address alone where it goes by address", async () => {
    const fencer = create({ sessionsOf: 'address' })
    const second = connect()
    const elsewhere = await second.login('nova', USERS.nova)
    await nova.call('Logout', SESSION_MANAGER)
    const info = { sessionKey: session.key, userName: 'nova', clientAddress: '192.0.2.7' }
    await fencer.fence(info, anAttemptNow())
    expect(await isListed(elsewhere.key)).toBe(true)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
  })

  test("never goes by a user who is the fencer's own", async () => {
    const same = connect()
    const { key } = await same.login('fencer', USERS.fencer)
    const fencer = create({ sessionsOf: 'user' })
    await expect(fencer.fence({ sessionKey: key }, anAttemptNow())).rejects.toThrow("fencer's own")
    expect(await isListed(key)).toBe(true)
  })

  test('a session that is gone already is success, as often as it is asked', async () => {
    const fencer = create()
    const info = { sessionKey: session.key }
    for (let i = 0; i < 3; i++) await fencer.fence(info, anAttemptNow())
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    const never = { sessionKey: '00000000-0000-0000-0000-000000000000' }
    await fencer.fence(never, anAttemptNow())
    expect((await fencer.verify(never, anAttemptNow())).state).toBe('fenced')
  })

  test('never ends the session that it works under', async () => {
    const fencer = create()
    await fencer.monitor({ clock: realClock, note: () => undefined, signal: AbortSignal.timeout(5_000) })
    const own = (await vcenter.sessions()).find((item) => item.userName === 'fencer')
    if (own === undefined) throw new Error('the fencer is not logged in')
    await expect(fencer.fence({ sessionKey: own.key }, anAttemptNow())).rejects.toThrow("fencer's own")
    expect(await isListed(own.key)).toBe(true)
    expect(await vcenter.calls('TerminateSession')).toEqual([])
  })

  test('logs in again where its own session has ended, and logs out when it is closed', async () => {
    const fencer = create()
    const info = { sessionKey: session.key }
    await fencer.verify(info, anAttemptNow())
    const own = (await vcenter.sessions()).find((item) => item.userName === 'fencer')
    await nova.call('TerminateSession', SESSION_MANAGER, `<sessionId>${own?.key}</sessionId>`)
    await fencer.fence(info, anAttemptNow())
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    await fencer.close?.()
    expect((await vcenter.sessions()).filter((item) => item.userName === 'fencer')).toEqual([])
  })

  test('wrong credentials are a failure without the password in it, and never "fenced"', async () => {
    const fencer = create({ password: 'wrong-but-secret' })
    const attempt = anAttemptNow()
    const info = { sessionKey: session.key }
    const problem = await fencer.fence(info, attempt).catch((error: unknown) => String(error))
    expect(problem).toContain('InvalidLogin')
    const verification = await fencer.verify(info, attempt)
    expect(verification.state).toBe('unknown')
    expect(JSON.stringify([problem, verification, attempt.notes])).not.toContain('wrong-but-secret')
    const signal = AbortSignal.timeout(5_000)
    await expect(fencer.monitor({ clock: realClock, note: () => undefined, signal })).rejects.toThrow(
      'InvalidLogin',
    )
    expect(await isListed(session.key)).toBe(true)
  })

  test('a vCenter that cannot be reached is unknown', async () => {
    const closed = await listen()
    const { url } = closed
    await closed.stop()
    const fencer = create({ url })
    await expect(fencer.fence({ sessionKey: session.key }, anAttemptNow())).rejects.toThrow()
    expect((await fencer.verify({ sessionKey: session.key }, anAttemptNow())).state).toBe('unknown')
  })

  test('a vCenter that accepts and never answers ends with the attempt', async () => {
    const silent = await listen()
    try {
      const fencer = create({ url: silent.url })
      const startedMs = realClock.monotonicMs()
      await expect(
        fencer.fence({ sessionKey: session.key }, anAttemptNow({ lengthMs: 300 })),
      ).rejects.toThrow()
      expect((await fencer.verify({ sessionKey: session.key }, anAttemptNow({ lengthMs: 300 }))).state).toBe(
        'unknown',
      )
      expect(realClock.monotonicMs() - startedMs).toBeLessThan(3_000)
    } finally {
      await silent.stop()
    }
  })

  test('an answer that comes after the attempt is over is not waited for', async () => {
    await vcenter.addRule({ method: 'TerminateSession', kind: 'delay-before', times: 1 })
    const startedMs = realClock.monotonicMs()
    await expect(
      create().fence({ sessionKey: session.key }, anAttemptNow({ lengthMs: 800 })),
    ).rejects.toThrow()
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(4_000)
  })

  test('an answer that was lost after the session was ended is found out by looking', async () => {
    await vcenter.addRule({ method: 'TerminateSession', kind: 'drop', times: 1 })
    const fencer = create()
    await expect(fencer.fence({ sessionKey: session.key }, anAttemptNow())).rejects.toThrow()
    expect((await fencer.verify({ sessionKey: session.key }, anAttemptNow())).state).toBe('fenced')
  })

  test('sends nothing once the claim is lost', async () => {
    const attempt = anAttemptNow({ mayStrike: false })
    await expect(create().fence({ sessionKey: session.key }, attempt)).rejects.toThrow('nothing was sent')
    expect(await isListed(session.key)).toBe(true)
    expect(await vcenter.calls('TerminateSession')).toEqual([])
  })

  test('a proxy that answers HTML is unknown', async () => {
    await vcenter.addRule({ method: 'RetrieveServiceContent', kind: 'status', status: 503 })
    const verification = await create().verify({ sessionKey: session.key }, anAttemptNow())
    expect(verification).toMatchObject({ state: 'unknown' })
    expect(JSON.stringify(verification)).toContain('503')
  })

  test('proves nothing by the termination alone, and "swept" with the tasks', () => {
    const base = { url: vcenter.url, username: 'a', password: 'b' }
    expect(driver.proves(driver.options.parse(base))).toEqual([])
    expect(driver.proves(driver.options.parse({ ...base, awaitTasks: true }))).toEqual(['swept'])
    expect(driver.proves(driver.options.parse({ ...base, cancelTasks: true }))).toEqual(['swept'])
  })

  test('awaits the tasks that the session left running', async () => {
    const task = await startTask(nova, { cancelable: false })
    const fencer = create({ awaitTasks: true })
    const info = { sessionKey: session.key }
    await fencer.fence(info, anAttemptNow())
    const waiting = await fencer.verify(info, anAttemptNow())
    expect(waiting).toMatchObject({ state: 'not-fenced' })
    expect(JSON.stringify(waiting)).toContain(`${task.value} (ResetVM_Task)`)
    await vcenter.releaseTask(task.value)
    await expect
      .poll(async () => (await fencer.verify(info, anAttemptNow())).state, { timeout: 5_000 })
      .toBe('fenced')
    // Awaited, not canceled: its work was done.
    expect((await vcenter.calls('ResetVM_Task')).at(-1)?.state).toBe('executed')
  })

  test('cancels what can be canceled, and awaits the rest', async () => {
    const stubborn = await startTask(nova, { cancelable: false })
    const task = await startTask(nova, { cancelable: true })
    const fencer = create({ cancelTasks: true })
    const info = { sessionKey: session.key }
    const attempt = anAttemptNow()
    await fencer.fence(info, attempt)
    expect(attempt.notes.join('\n')).toContain(`canceled ${task.value}`)
    const waiting = JSON.stringify(await fencer.verify(info, anAttemptNow()))
    expect(waiting).toContain(stubborn.value)
    await expect
      .poll(async () => JSON.stringify(await fencer.verify(info, anAttemptNow())))
      .not.toContain(task.value)
    await vcenter.releaseTask(stubborn.value)
    await expect
      .poll(async () => (await fencer.verify(info, anAttemptNow())).state, { timeout: 5_000 })
      .toBe('fenced')
  })

  test('cancels nothing of a user who has another session: the task may be its', async () => {
    const second = connect()
    await second.login('nova', USERS.nova)
    const task = await startTask(second, { cancelable: true })
    const fencer = create({ cancelTasks: true })
    const attempt = anAttemptNow()
    await fencer.fence({ sessionKey: session.key }, attempt)
    expect(attempt.notes.join('\n')).toContain('awaited, not canceled')
    expect(await vcenter.calls('CancelTask')).toEqual([])
    expect((await vcenter.tasks()).find((item) => item.id === task.value)?.state).toBe('running')
  })

  test("does not wait for another user's tasks, nor for those from before the login", async () => {
    const other = connect()
    await other.login('other', USERS.other)
    const earlier = connect()
    await earlier.login('nova', USERS.nova)
    await startTask(earlier, { cancelable: false })
    // A task of the login's own millisecond could be the session's, and is awaited.
    const queuedMs = Date.now()
    await expect.poll(() => Date.now(), { interval: 1 }).toBeGreaterThan(queuedMs + 1)
    const late = connect()
    const lateSession = await late.login('nova', USERS.nova)
    await startTask(other, { cancelable: false })
    const fencer = create({ awaitTasks: true })
    await fencer.fence({ sessionKey: lateSession.key }, anAttemptNow())
    expect((await fencer.verify({ sessionKey: lateSession.key }, anAttemptNow())).state).toBe('fenced')
  })

  test('does not claim the tasks of a session that was gone before anybody knew its user', async () => {
    await nova.call('Logout', SESSION_MANAGER)
    const fencer = create({ awaitTasks: true })
    await fencer.fence({ sessionKey: session.key }, anAttemptNow())
    expect((await fencer.verify({ sessionKey: session.key }, anAttemptNow())).state).toBe('unknown')
    const named = { sessionKey: session.key, userName: 'NOVA' }
    expect((await fencer.verify(named, anAttemptNow())).state).toBe('fenced')
  })

  async function openRest(userName: keyof typeof USERS): Promise<string> {
    const authorization = `Basic ${Buffer.from(`${userName}:${USERS[userName]}`).toString('base64')}`
    const url = new URL('/api/session', vcenter.url)
    return String(await (await fetch(url, { method: 'POST', headers: { authorization } })).json())
  }
  const restUser = async (id: string) =>
    await (
      await fetch(new URL('/api/session', vcenter.url), { headers: { 'vmware-api-session-id': id } })
    ).json()

  test("ends the holder's REST session as well, and no other, and is not content with one of the two", async () => {
    const fencer = create()
    const [restSession, spared] = [await openRest('nova'), await openRest('nova')]
    const info = { sessionKey: session.key, restSession }
    expect(await restUser(restSession)).toMatchObject({ user: 'nova' })
    await create().fence({ sessionKey: session.key }, anAttemptNow())
    expect(await fencer.verify(info, anAttemptNow())).toMatchObject({
      reason: expect.stringContaining('REST'),
    })
    const attempt = anAttemptNow()
    await fencer.fence(info, attempt)
    await fencer.fence(info, attempt)
    const seen = await fencer.verify(info, attempt)
    expect(seen).toMatchObject({
      state: 'fenced',
      evidence: { observed: expect.stringContaining('REST session is gone') },
    })
    expect(JSON.stringify([seen, attempt.notes])).not.toContain(restSession)
    expect(await restUser(restSession)).toMatchObject({ error_type: 'UNAUTHENTICATED' })
    expect(await restUser(spared)).toMatchObject({ user: 'nova' })
  })

  test('the id of a REST session is shown to nobody', () => {
    const info = { sessionKey: 'k', restSession: 'whoever-has-it-is-nova' }
    expect(infoSecrets([driver], []).hidden(info)).toEqual({ sessionKey: 'k', restSession: '[secret]' })
    expect(z.toJSONSchema(driver.fenceInfo, { io: 'input' })).toMatchObject({
      properties: { restSession: { description: expect.stringContaining('vmware-api-session-id') } },
    })
  })

  test('a REST session that cannot be ended or asked for is not taken for gone, and does not keep the other', async () => {
    const fencer = create()
    const restSession = await openRest('nova')
    const info = { sessionKey: session.key, restSession }
    await vcenter.addRule({ method: 'REST DELETE', kind: 'status', status: 503 })
    await vcenter.addRule({ method: 'REST GET', kind: 'status', status: 401, times: 1 })
    await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow('answered 503 to DELETE /api/session')
    expect(await isListed(session.key)).toBe(false)
    // A 401 that vCenter has not written.
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('unknown')
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await vcenter.dropRule()
    await expect(fencer.fence(info, anAttemptNow({ mayStrike: false }))).rejects.toThrow()
    expect(await restUser(restSession)).toMatchObject({ user: 'nova' })
  })

  test('a session that is gone is asked for by name, too', async () => {
    await vcenter.forgetCalls()
    const fencer = create()
    const info = { sessionKey: session.key, userName: 'nova' }
    await fencer.fence(info, anAttemptNow())
    expect(await fencer.verify(info, anAttemptNow())).toMatchObject({
      state: 'fenced',
      evidence: { observed: expect.stringContaining('and is not active') },
    })
    expect(await vcenter.calls('SessionIsActive')).toHaveLength(1)
  })

  const READ_ONLY = -2
  const setRole = async (roleId: number) => {
    const args =
      `<entity type="Folder">${ROOT_FOLDER.value}</entity><permission><principal>fencer</principal>` +
      `<group>false</group><roleId>${roleId}</roleId><propagate>true</propagate></permission>`
    await nova.call(
      'SetEntityPermissions',
      { type: 'AuthorizationManager', value: 'AuthorizationManager' },
      args,
    )
  }
  test('a privilege that the fencer lacks is named, by monitor before it is needed', async () => {
    const fencer = create()
    const monitored = () => {
      const notes: string[] = []
      const signal = AbortSignal.timeout(5_000)
      return fencer.monitor({ clock: realClock, note: (line) => notes.push(line), signal }).then(() => notes)
    }
    expect(await monitored()).toEqual([])
    await setRole(READ_ONLY)
    try {
      await expect(monitored()).rejects.toThrow('fencer lacks the privilege Sessions.TerminateSession')
      await expect(fencer.fence({ sessionKey: session.key }, anAttemptNow())).rejects.toThrow(
        'wants the privilege Sessions.TerminateSession',
      )
      expect(await isListed(session.key)).toBe(true)
      const over = { sessionKey: 'over-and-gone', userName: 'nova' }
      expect(await fencer.verify(over, anAttemptNow())).toMatchObject({
        state: 'fenced',
        evidence: { observed: expect.stringContaining('wants the privilege Sessions.ValidateSession') },
      })
    } finally {
      await setRole(-1)
    }
  })

  test('trusts a certificate only by its authority, or where told to trust any', async () => {
    const secure = await startVcenterSimulator({ tls: true })
    try {
      const info = { sessionKey: 'none-such' }
      const look = (tls: Readonly<Record<string, unknown>>) =>
        create({ url: secure.url, tls }).verify(info, anAttemptNow())
      expect((await look({ ca: secure.ca })).state).toBe('fenced')
      expect((await look({ rejectUnauthorized: false })).state).toBe('fenced')
      expect((await look({})).state).toBe('unknown')
    } finally {
      await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
      await secure.stop()
    }
  })
})

describe('an answer of vCenter that is not to be believed', () => {
  const session = (key: string) => `<UserSession xsi:type="UserSession"><key>${key}</key></UserSession>`
  const objects = (inner: string) =>
    `<returnval><objects><obj type="SessionManager">sm</obj>${inner}</objects></returnval>`
  const list = (...keys: string[]) =>
    objects(`<propSet><name>sessionList</name><val>${keys.map(session).join('')}</val></propSet>`)
  const missing = (kind: string) =>
    objects(`<missingSet><path>sessionList</path><fault><fault xsi:type="${kind}"/></fault></missingSet>`)

  test.each([
    ['a list without the one who asks', list('somebody'), 'unknown'],
    ['an empty list', list(), 'unknown'],
    ['no property at all', objects(''), 'unknown'],
    ['nothing', '', 'unknown'],
    ['a property that must not be read', missing('NoPermission'), 'unknown'],
    ['a session that is never accepted', missing('NotAuthenticated'), 'unknown'],
    ['a list with the target', list('own', 'target'), 'not-fenced'],
    ['a list with others only', list('own', 'somebody'), 'fenced'],
  ])('%s', async (_name, answer, expected) => {
    const server = await scriptedVcenter(answer)
    const options = driver.options.parse({ url: server.url, username: 'u', password: 'p' })
    const fencer = driver.create(options, { clock: realClock, note: () => undefined })
    try {
      expect((await fencer.verify({ sessionKey: 'target' }, anAttemptNow())).state).toBe(expected)
    } finally {
      await fencer.close?.()
      await server.stop()
    }
  })

  test('a termination that is confirmed while the session is still listed is not believed', async () => {
    const server = await scriptedVcenter(list('own', 'target'))
    const options = driver.options.parse({ url: server.url, username: 'u', password: 'p' })
    const fencer = driver.create(options, { clock: realClock, note: () => undefined })
    try {
      const attempt = anAttemptNow()
      await fencer.fence({ sessionKey: 'target' }, attempt)
      expect(attempt.notes.join()).toContain('terminated')
      expect((await fencer.verify({ sessionKey: 'target' }, attempt)).state).toBe('not-fenced')
    } finally {
      await fencer.close?.()
      await server.stop()
    }
  })

  test('a list without a session that is called active all the same', async () => {
    const server = await scriptedVcenter(list('own', 'somebody'))
    const options = driver.options.parse({ url: server.url, username: 'u', password: 'p' })
    const fencer = driver.create(options, { clock: realClock, note: () => undefined })
    try {
      const stateOf = async (sessionKey: string) =>
        (await fencer.verify({ sessionKey, userName: 'nova' }, anAttemptNow())).state
      expect(await stateOf('awake')).toBe('not-fenced')
      expect(await stateOf('asleep')).toBe('fenced')
    } finally {
      await fencer.close?.()
      await server.stop()
    }
  })

  test('a list of tasks of which one must not be read', async () => {
    const server = await scriptedVcenter(list('own'), missing('NoPermission'))
    const settings = { url: server.url, username: 'u', password: 'p', awaitTasks: true }
    const fencer = driver.create(driver.options.parse(settings), { clock: realClock, note: () => undefined })
    try {
      const info = { sessionKey: 'target', userName: 'nova' }
      expect((await fencer.verify(info, anAttemptNow())).state).toBe('unknown')
    } finally {
      await fencer.close?.()
      await server.stop()
    }
  })
})

/** Answers every read of sessions with the same, and every read of tasks. */
async function scriptedVcenter(
  answer: string,
  tasks = '',
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const server = createHttpServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => {
      body += piece
    })
    request.on('end', () => {
      const method = /Body><(\w+)/.exec(body)?.[1] ?? ''
      const inner =
        {
          RetrieveServiceContent:
            '<returnval><propertyCollector type="PropertyCollector">pc</propertyCollector>' +
            '<sessionManager type="SessionManager">sm</sessionManager><taskManager type="TaskManager">tm</taskManager></returnval>',
          Login: '<returnval><key>own</key></returnval>',
          TerminateSession: '',
          SessionIsActive: body.includes('>awake<')
            ? '<returnval>true</returnval>'
            : '<returnval>false</returnval>',
          RetrievePropertiesEx: body.includes('recentTask') ? tasks : answer,
        }[method] ?? ''
      response.setHeader('set-cookie', 'vmware_soap_session="c"; Path=/')
      response.end(
        `<s:Envelope xmlns:s="e"><s:Body><${method}Response>${inner}</${method}Response></s:Body></s:Envelope>`,
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/sdk`,
    async stop() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Accepts connections and says nothing. */
async function listen(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const sockets = new Set<{ destroy(): void }>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/sdk`,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
