// vCenter's REST API behind the gateway, with clients as they are: govmomi's (govc's, Terraform's), and a fence agent that
// powers machines. None of them can send a token: they are known by their login.

import { execFile } from 'node:child_process'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { programUnavailable } from '../../house/availability.ts'
import {
  buildVapiClient,
  type ForeignClient,
  govmomiAvailable,
  startVapiClient,
} from '../../support/foreign-clients.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { type Answer, ask, ControlClient, send } from '../../support/holder.ts'
import { createSoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorAvailable,
} from '../../support/vcenter-simulator.ts'

const VM = 'vm-57'
const VM_NAME = 'DC0_H0_VM0'
const VM_LOCK = `vmware/vm/${VM}`
/** Just released, or gone already. */
const LOST = /^error 400 .*verdict: (?:stale|missing)-token/
const patient = { timeout: 15_000, interval: 20 }
const available = vcenterSimulatorAvailable() && govmomiAvailable()

describe.skipIf(!available)('a vCenter behind the gateway, spoken to by REST', () => {
  let vcenter: VcenterSimulator
  let program: string
  let folder: GatewayFolder
  let gateway: GatewayProcess
  let control: ControlClient
  const clients: ForeignClient[] = []

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: { nova: 'secret', other: 'secret' } })
    program = await buildVapiClient()
  }, 300_000)
  afterAll(() => vcenter?.stop())

  beforeEach(async () => {
    const upstream = new URL(vcenter.url).origin
    const known = { upstream, quiet: 1, identify: ['header', 'login', 'session'], implicit: true }
    folder = new GatewayFolder()
    folder.configure({
      backends: {
        // So long that no test sees a call end by it.
        rest: { ...known, quiet: 300, listen: '127.0.0.1:0', policy: 'vsphere-rest' },
        soap: { ...known, listen: '127.0.0.1:0', policy: 'vsphere' },
        both: { ...known, listen: '127.0.0.1:0', policy: 'vcenter' },
      },
      policies: { vcenter: { extends: 'vsphere', beside: { 'vsphere-rest': ['/api', '/rest'] } } },
      fencers: { ask: { driver: 'manual', instructions: 'see that {{holder.id}} is off' } },
      plans: { slow: { levels: [['ask']], attempts: 1, timeout: 5 } },
    })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) await client.kill()
    await vcenter.dropRule()
    await folder.remove()
  })

  async function vapi(user = 'nova'): Promise<ForeignClient> {
    const client = await startVapiClient(program, gateway.backend('rest'))
    clients.push(client)
    expect(await client.ask(`login ${user} secret`)).toBe('ok')
    return client
  }

  async function holderOf(
    login: string,
    {
      backend = 'rest',
      ...more
    }: { backend?: string; plan?: string; fenceInfo?: Record<string, unknown> } = {},
  ): Promise<string> {
    const session = await control.openSession({ ttl: 60, holder: `holder-of-${login}`, ...more })
    const body = { backend, by: 'login', value: login }
    expect((await send(`${gateway.control}/v1/sessions/${session}/bindings`, { body })).status).toBe(201)
    return session
  }

  const done = (answer: string): string => {
    expect(answer).toMatch(/^ok/)
    return answer.slice(3)
  }

  /** Straight to the vCenter, past the gateway. */
  async function power(): Promise<string> {
    const origin = new URL(vcenter.url).origin
    const login = await send(`${origin}/api/session`, { method: 'POST', headers: basic('other') })
    const headers = { 'vmware-api-session-id': z.string().parse(JSON.parse(login.body)) }
    return (await ask(z.object({ state: z.string() }), `${origin}/api/vcenter/vm/${VM}/power`, { headers }))
      .state
  }

  const basic = (user: string) => ({
    authorization: `Basic ${Buffer.from(`${user}:secret`).toString('base64')}`,
  })

  async function login(): Promise<Readonly<Record<string, string>>> {
    const answer = await send(`${gateway.backend('rest')}/api/session`, {
      method: 'POST',
      headers: basic('nova'),
    })
    expect(answer.status).toBe(201)
    return { 'vmware-api-session-id': z.string().parse(JSON.parse(answer.body)) }
  }

  it('lets govmomi tag under the locks of its session, and tells it why it may not when they are lost', async () => {
    const session = await holderOf('nova')
    const nova = await vapi()
    await control.take('vmware', session)
    const category = done(await nova.ask('category fenced'))
    const early = await nova.ask(`tag early ${category}`)
    expect(early).toMatch(/^error 400 .*missing-token/)
    expect(early).toContain(`vmware/tag-category/${category.toLowerCase()}`)

    await control.take(`vmware/tag-category/${category.toLowerCase()}`, session)
    const tag = done(await nova.ask(`tag mine ${category}`))
    await control.take(`vmware/tag/${tag.toLowerCase()}`, session)
    done(await nova.ask(`attach ${tag} ${VM}`))
    expect(await nova.ask(`attached ${VM}`)).toBe(`ok ${tag}`)

    await control.release(`vmware/tag/${tag.toLowerCase()}`, session)
    const late = await nova.ask(`detach ${tag} ${VM}`)
    expect(late).toMatch(LOST)
    // A read needs no lock, and shows that nothing was done.
    expect(await nova.ask(`attached ${VM}`)).toBe(`ok ${tag}`)
  })

  it('lets govmomi change an item of a content library under its lock, and completes an update only under theirs', async () => {
    const session = await holderOf('nova')
    const nova = await vapi()
    await control.take('vmware', session)
    const datastores = z.object({ value: z.array(z.object({ datastore: z.string() })).min(1) })
    const url = `${gateway.backend('rest')}/rest/vcenter/datastore`
    const [backing] = (await ask(datastores, url, { headers: await login() })).value
    const library = done(await nova.ask(`library images ${backing?.datastore}`))
    await control.take(`vmware/library/${library}`, session)
    const item = done(await nova.ask(`item image ${library}`))
    await control.take(`vmware/library-item/${item}`, session)
    const update = done(await nova.ask(`update ${item}`))
    await control.take('vmware/library-updates', session)
    done(await nova.ask(`put ${update} image.iso some-content`))

    await control.release('vmware/library-updates', session)
    const refused = await nova.ask(`complete ${update}`)
    expect(refused).toMatch(/^error 400 .*vmware\/library-updates/)
    await control.take('vmware/library-updates', session)
    done(await nova.ask(`complete ${update}`))
    expect(await nova.ask(`items ${library}`)).toBe(`ok ${item}`)

    await control.release(`vmware/library-item/${item}`, session)
    expect(await nova.ask(`remove-item ${item}`)).toMatch(LOST)
    expect(await nova.ask(`items ${library}`)).toBe(`ok ${item}`)
  })

  it('hands a machine on only when the task that an answer named is over', async () => {
    const first = await holderOf('nova')
    await control.take(VM_LOCK, first)
    const headers = await login()
    await vcenter.addRule({ method: 'REST relocate', kind: 'task', times: 1 })
    const url = `${gateway.backend('rest')}/api/vcenter/vm/${VM}?action=relocate&vmw-task=true`
    const started = await send(url, { headers, body: { placement: {} } })
    expect([started.status, started.body]).toEqual([202, expect.stringMatching(/^"task-/)])

    const second = await control.openSession({ ttl: 60, holder: 'next' })
    await control.release(VM_LOCK, first)
    let token: string | null = null
    const taking = control.take(VM_LOCK, second, 60).then((granted) => {
      token = granted
    })
    await expect.poll(async () => (await control.lock(VM_LOCK)).phase, patient).toBe('handover')
    expect((await control.lock(VM_LOCK)).waitingOn.join()).toContain('task-')
    expect(token).toBeNull()
    await vcenter.dropRule()
    await taking
    expect(token).not.toBeNull()
  })

  it('keeps a machine from REST while somebody has it over SOAP, and the other way round', async () => {
    const owner = await control.openSession({ ttl: 60, holder: 'over-soap' })
    const token = await control.take(VM_LOCK, owner)
    const stranger = await login()
    const stop = () =>
      send(`${gateway.backend('rest')}/rest/vcenter/vm/${VM}/power/stop`, {
        method: 'POST',
        headers: stranger,
      })
    expect(refusal(await stop())).toEqual([400, 'missing-token', VM_LOCK])

    const soap = createSoapClient({ url: gateway.backend('soap') })
    await soap.login('other', 'secret')
    const machine = { type: 'VirtualMachine', value: VM }
    const off = await soap.call('PowerOffVM_Task', machine, '', { headers: { 'fencing-token': token } })
    expect(off.fault).toBeNull()
    expect(await power()).toBe('POWERED_OFF')
    const on = await send(`${gateway.backend('rest')}/rest/vcenter/vm/${VM}/power/start`, {
      method: 'POST',
      headers: { ...stranger, 'fencing-token': token },
    })
    expect(on.status).toBe(200)
    expect(await power()).toBe('POWERED_ON')

    await control.release(VM_LOCK, owner)
    const late = await soap.call('PowerOffVM_Task', machine, '', { headers: { 'fencing-token': token } })
    expect(late.headers['fencing-verdict']).toBe('stale-token')
    expect(await power()).toBe('POWERED_ON')
    await soap.close()
  })

  it('is one backend with one address to a client that speaks both APIs there', async () => {
    const session = await holderOf('nova', { backend: 'both' })
    const nova = await startVapiClient(program, `${gateway.backend('both')}/sdk`)
    clients.push(nova)
    expect(await nova.ask('connect nova secret')).toBe('ok')
    expect(await nova.ask(`off ${VM}`)).toMatch(/^error .*missing-token/)
    expect(await nova.ask('category both')).toMatch(/^error 400 .*missing-token/)

    await control.take(VM_LOCK, session)
    expect(await nova.ask(`off ${VM}`)).toBe('ok')
    expect(await power()).toBe('POWERED_OFF')
    expect(await nova.ask(`on ${VM}`)).toBe('ok')
    await control.take('vmware', session)
    done(await nova.ask('category both'))
  })

  it('does not let a holder who is being fenced log in again, over REST or SOAP', async () => {
    const session = await holderOf('nova', { plan: 'slow', fenceInfo: { userName: 'nova' } })
    await control.take(VM_LOCK, session)
    const nova = await vapi()
    const body = { by: 'an operator', reason: 'it is gone' }
    expect((await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })).status).toBe(202)
    await expect
      .poll(
        async () => (await nova.ask('login nova secret')).replace(/^error 400 .*(fence-due).*/, '$1'),
        patient,
      )
      .toBe('fence-due')
    const again = await send(`${gateway.backend('rest')}/api/session`, {
      method: 'POST',
      headers: basic('nova'),
    })
    expect(refusal(again)[1]).toBe('fence-due')
    const soap = createSoapClient({ url: gateway.backend('soap') })
    await expect(soap.login('nova', 'secret')).rejects.toThrow(/NoPermission|fence-due/)
    await soap.close()
    const other = await send(`${gateway.backend('rest')}/api/session`, {
      method: 'POST',
      headers: basic('other'),
    })
    expect(other.status).toBe(201)
  })

  it.skipIf(programUnavailable('fence_vmware_rest', 'fence-agents') !== null)(
    'lets a fence agent power a machine off under its lock, and never has it take a refusal for done',
    async () => {
      const session = await holderOf('nova')
      expect(await agent('off')).toMatchObject({ code: 1 })
      expect(await power()).toBe('POWERED_ON')
      expect(await agent('status')).toMatchObject({ code: 0 })

      await control.take(VM_LOCK, session)
      expect(await agent('off')).toMatchObject({ code: 0 })
      expect(await power()).toBe('POWERED_OFF')
      expect(await agent('on')).toMatchObject({ code: 0 })
      expect(await power()).toBe('POWERED_ON')
    },
  )

  /** As Pacemaker runs it: what it is to do on its standard input. */
  function agent(action: string): Promise<{ code: number; said: string }> {
    const { hostname, port } = new URL(gateway.backend('rest'))
    const options = {
      action,
      ip: hostname,
      ipport: port,
      username: 'nova',
      password: 'secret',
      plug: VM_NAME,
      power_wait: 0,
      power_timeout: 3,
    }
    return new Promise((resolve) => {
      const child = execFile('fence_vmware_rest', { timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), said: stdout + stderr })
      })
      child.stdin?.end(
        Object.entries(options)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(''),
      )
    })
  }
})

const Refused = z.object({
  error_type: z.string(),
  lock: z.string().optional(),
  verdict: z.string(),
  messages: z.array(z.object({ default_message: z.string() })).length(1),
})

function refusal(answer: Answer): readonly [status: number, verdict: string, lock: string | undefined] {
  const body = Refused.parse(JSON.parse(answer.body))
  expect(answer.headers['fencing-verdict']).toBe(body.verdict)
  return [answer.status, body.verdict, body.lock]
}
