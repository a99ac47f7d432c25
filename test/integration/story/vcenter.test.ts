// The main job on a vCenter: a holder with a vSphere session of its own, stopped past its lease with a call in flight.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, type HolderProcess, startHolder } from '../../support/holder.ts'
import {
  createSoapClient,
  ROOT_FOLDER,
  type SoapClient,
  type SoapSession,
} from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorAvailable,
} from '../../support/vcenter-simulator.ts'

const patient = { timeout: 15_000, interval: 20 }

describe.skipIf(!vcenterSimulatorAvailable())('a vCenter behind the gateway', () => {
  let vcenter: VcenterSimulator
  let folder: GatewayFolder
  let gateway: GatewayProcess
  let control: ControlClient
  let holder: HolderProcess
  let soap: SoapClient

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
          upstream: new URL(vcenter.url).origin,
          policy: 'vsphere',
          quiet: 2,
          observer: { username: 'fencer', password: 'secret' },
        },
      },
      fencers: {
        session: { driver: 'vsphere-session', url: vcenter.url, username: 'fencer', password: 'secret' },
      },
      plans: { nova: { levels: [['session']], timeout: 20 } },
      handover: { drainLimit: 20 },
    })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
    holder = await startHolder()
    soap = createSoapClient({ url: gateway.backend('vcenter') })
  })

  afterEach(async () => {
    holder.kill()
    await vcenter.dropRule()
    await vcenter.releaseTask()
    await soap.close()
    await folder.remove()
  })

  const createFolder = (name: string) => `<name>${name}</name>`

  /** As the holder process sends it: through the gateway, on its own vSphere session. */
  function sendSoap(session: SoapSession, token: string, body: string) {
    return holder.send(`${gateway.backend('vcenter')}/sdk`, {
      headers: {
        'content-type': 'text/xml; charset=utf-8',
        cookie: `vmware_soap_session="${session.cookie}"`,
        'fencing-token': token,
      },
      body: `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`,
    })
  }

  function createFolderCall(name: string): string {
    return `<CreateFolder xmlns="urn:vim25"><_this type="Folder">${ROOT_FOLDER.value}</_this>${createFolder(name)}</CreateFolder>`
  }

  async function lockOf(): Promise<string> {
    const refused = await soap.call('CreateFolder', ROOT_FOLDER, createFolder('none'))
    const lock = /needs the lock (?<lock>\S+)/.exec(refused.text)?.groups?.['lock']
    if (lock === undefined) throw new Error(`no lock named in ${refused.text}`)
    return lock
  }

  /** Another holder, who waits for the lock. */
  async function nextFor(lock: string) {
    const session = await control.openSession({ ttl: 60, holder: 'nova-compute-2' })
    let token: string | null = null
    const granted = control.take(lock, session, 60).then((given) => {
      token = given
    })
    return { session, granted, token: (): string | null => token }
  }

  it('terminates the session of a holder stopped past its lease, and only then lets the next one in', async () => {
    const lock = await lockOf()
    const session = await soap.login('nova', 'secret')
    const own = await control.openSession({
      ttl: 2,
      holder: 'nova-compute-1',
      plan: 'nova',
      fenceInfo: { sessionKey: session.key },
    })
    const token = await control.take(lock, own)
    await vcenter.addRule({ method: 'CreateFolder', kind: 'delay-after', times: 1 })
    const inFlight = sendSoap(session, token, createFolderCall('in-flight'))
    await expect.poll(async () => (await vcenter.calls('CreateFolder')).length, patient).toBe(1)
    holder.freeze()

    const next = await nextFor(lock)
    await expect.poll(async () => (await control.fence(own))?.['outcome'], patient).toBe('fenced')
    expect((await vcenter.sessions()).map((one) => one.key)).not.toContain(session.key)
    // Its session is gone, but its call is still at the vCenter.
    expect(next.token()).toBeNull()
    await vcenter.dropRule()
    await next.granted
    expect(Number(next.token())).toBeGreaterThan(Number(token))

    holder.wake()
    // Answered while it slept: what was in flight has landed, before the next owner was let in.
    const landed = await inFlight
    expect(landed.status).toBe(200)
    const before = (await vcenter.calls('CreateFolder')).length
    const bounced = await sendSoap(session, token, createFolderCall('stale'))
    expect(bounced.status).toBe(500)
    expect(bounced.headers['fencing-verdict']).toBe('stale-token')
    expect(bounced.body).toContain('NoPermission')
    expect(bounced.body).not.toContain('NotAuthenticated')
    expect((await vcenter.calls('CreateFolder')).length).toBe(before)

    const nextSession = await soap.login('other', 'secret')
    const allowed = await soap.call('CreateFolder', ROOT_FOLDER, createFolder('next'), {
      session: nextSession,
      headers: { 'fencing-token': next.token() ?? '' },
    })
    expect([allowed.status, allowed.fault]).toEqual([200, null])
  })

  it('awaits the task that a *_Task method named before it hands the lock on', async () => {
    const session = await soap.login('nova', 'secret')
    const own = await control.openSession({ ttl: 60, holder: 'nova-compute-1' })
    const missing = await soap.call('PowerOffVM_Task', { type: 'VirtualMachine', value: 'vm-57' })
    const lock = /needs the lock (?<lock>\S+)/.exec(missing.text)?.groups?.['lock'] ?? ''
    expect(lock).toContain('vm-57')
    const token = await control.take(lock, own)
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'task', times: 1 })
    const started = await soap.call('PowerOffVM_Task', { type: 'VirtualMachine', value: 'vm-57' }, '', {
      session,
      headers: { 'fencing-token': token },
    })
    expect([started.status, started.fault]).toEqual([200, null])
    await control.release(lock, own)
    const next = await nextFor(lock)
    await expect.poll(async () => (await control.lock(lock)).waitingOn.join(), patient).toContain('task-')
    expect(next.token()).toBeNull()
    await vcenter.releaseTask()
    await next.granted
    expect(Number(next.token())).toBeGreaterThan(Number(token))
  })

  it('awaits the task of a holder whose session it has ended, under its own', async () => {
    const session = await soap.login('nova', 'secret')
    const own = await control.openSession({
      ttl: 2,
      holder: 'nova-compute-1',
      plan: 'nova',
      fenceInfo: { sessionKey: session.key },
    })
    const lock = 'vmware/vm/vm-57'
    const token = await control.take(lock, own)
    await vcenter.addRule({ method: 'PowerOnVM_Task', kind: 'task', times: 1 })
    const started = await soap.call('PowerOnVM_Task', { type: 'VirtualMachine', value: 'vm-57' }, '', {
      session,
      headers: { 'fencing-token': token },
    })
    expect([started.status, started.fault]).toEqual([200, null])
    const next = await nextFor(lock)
    await expect.poll(async () => (await control.fence(own))?.['outcome'], patient).toBe('fenced')
    expect((await vcenter.sessions()).map((one) => one.key)).not.toContain(session.key)
    // Looked at by the observer, in a session of its own, for longer than the quiet time.
    await expect
      .poll(async () => (await vcenter.sessions()).some((one) => one.userName === 'fencer'), patient)
      .toBe(true)
    const looks = (await vcenter.calls('RetrievePropertiesEx')).length
    await expect
      .poll(async () => (await vcenter.calls('RetrievePropertiesEx')).length, patient)
      .toBeGreaterThan(looks + 3)
    expect((await control.lock(lock)).waitingOn.join()).toContain('task-')
    expect(next.token()).toBeNull()
    await vcenter.releaseTask()
    await next.granted
    expect(Number(next.token())).toBeGreaterThan(Number(token))
  })

  it('awaits the end of an import, which its holder may still bring about', async () => {
    const session = await soap.login('nova', 'secret')
    const reference = async (type: string, value: string, path: string) => {
      const found = await soap.property({ type, value }, path, { session })
      const inner = found?.children[0] ?? found
      return inner?.text ?? ''
    }
    const datacenter = await reference('Folder', ROOT_FOLDER.value, 'childEntity')
    const folder = await reference('Datacenter', datacenter, 'vmFolder')
    const hosts = await reference('Datacenter', datacenter, 'hostFolder')
    const compute = await reference('Folder', hosts, 'childEntity')
    const pool = await reference('ComputeResource', compute, 'resourcePool')
    const locks = [`vmware/resource-pool/${pool}`, `vmware/folder/${folder}`]
    const own = await control.openSession({ ttl: 60, holder: 'nova-compute-1' })
    const tokens: string[] = []
    for (const lock of locks) tokens.push(`"${lock}";t=${await control.take(lock, own)}`)
    const headers = { 'fencing-token': tokens.join(', ') }
    const spec = `<spec xsi:type="VirtualMachineImportSpec"><configSpec><name>imported</name><guestId>otherGuest</guestId><files><vmPathName>[LocalDS_0]</vmPathName></files></configSpec></spec><folder type="Folder">${folder}</folder>`
    const opened = await soap.call('ImportVApp', { type: 'ResourcePool', value: pool }, spec, {
      session,
      headers,
    })
    expect([opened.status, opened.faultMessage]).toEqual([200, null])
    const lease = { type: 'HttpNfcLease', value: opened.returnval ?? '' }

    const [lock = ''] = locks
    await control.release(lock, own)
    const next = await nextFor(lock)
    await expect.poll(async () => (await control.lock(lock)).waitingOn.join(), patient).toContain(lease.value)
    const progress = await soap.call('HttpNfcLeaseProgress', lease, '<percent>50</percent>', { session })
    expect([progress.status, progress.fault]).toEqual([200, null])
    expect(next.token()).toBeNull()
    const completed = await soap.call('HttpNfcLeaseComplete', lease, '', { session })
    expect([completed.status, completed.fault]).toEqual([200, null])
    await next.granted
    expect(Number(next.token())).toBeGreaterThan(0)
  })
})
