// Nova's and Cinder's own client of vSphere, unmodified, without a token: as the holder of a lock, as one who has lost it, and as
// one who copies an image out of another's cache, which must not be aged meanwhile.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { createSoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorAvailable,
} from '../../support/vcenter-simulator.ts'

const PROGRAM = fileURLToPath(new URL('../../support/oslo-vmware-client.py', import.meta.url))
const PYTHON = '/usr/bin/python3'
const VM = 'vm-57'
const CACHE = 'vmware/datastore/LocalDS_0/vmware_base'
const IMAGE = `${CACHE}/image`
const FILE = '[LocalDS_0] vmware_base/image/image.vmdk'
const patient = { timeout: 20_000, interval: 20 }

const Told = z.object({ outcome: z.string(), logins: z.number(), message: z.string().default('') })

function osloUnavailable(): string | null {
  const missing = existsSync('/usr/lib/python3/dist-packages/oslo_vmware') ? null : 'python3-oslo.vmware'
  if (missing === null) return null
  if (process.env['CI'] === 'true') throw new Error(`${missing} is not installed`)
  return missing
}

class OsloClient {
  readonly #child: ChildProcess
  readonly #waiting: ((line: string) => void)[] = []
  readonly #ended: Promise<never>
  #complaint = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stderr?.on('data', (text: Buffer) => {
      this.#complaint = (this.#complaint + text.toString()).slice(-4_000)
    })
    this.#ended = new Promise((_, reject) =>
      child.once('close', () => reject(new Error(`oslo.vmware ended: ${this.#complaint}`))),
    )
    this.#ended.catch(() => undefined)
    if (child.stdout !== null)
      createInterface(child.stdout).on('line', (line) => this.#waiting.shift()?.(line))
  }

  /** Logs in. */
  static async start(gateway: string, user: string): Promise<OsloClient> {
    const { hostname, port } = new URL(gateway)
    const client = new OsloClient(spawn(PYTHON, [PROGRAM, hostname, port, user, 'secret']))
    await client.#line()
    return client
  }

  #line(): Promise<string> {
    return Promise.race([new Promise<string>((resolve) => this.#waiting.push(resolve)), this.#ended])
  }

  async call(...words: readonly string[]): Promise<z.output<typeof Told>> {
    this.#child.stdin?.write(`${JSON.stringify(words)}\n`)
    return Told.parse(JSON.parse(await this.#line()))
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

describe.skipIf(!vcenterSimulatorAvailable() || osloUnavailable() !== null)('oslo.vmware, unmodified', () => {
  let vcenter: VcenterSimulator
  let folder: GatewayFolder
  let gateway: GatewayProcess
  let control: ControlClient
  const clients: OsloClient[] = []

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({
      users: { 'nova-1': 'secret', 'nova-2': 'secret', other: 'secret' },
    })
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
          policy: 'nova-vsphere',
          quiet: 1,
          wait: 0,
          identify: ['login', 'session'],
          implicit: true,
        },
      },
      policies: { 'nova-vsphere': { extends: 'vsphere', covering: ['*_base/*'] } },
    })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.kill()
    await vcenter.dropRule()
    await vcenter.releaseTask()
    await folder.remove()
  })

  /** As a wrapper around the service does it: the session and its binding first, then the service logs in. */
  async function start(user: string): Promise<{ session: string; oslo: OsloClient }> {
    const session = await control.openSession({ ttl: 60, holder: user })
    const body = { backend: 'vcenter', by: 'login', value: user }
    const bound = await send(`${gateway.control}/v1/sessions/${session}/bindings`, { body })
    expect(bound.status).toBe(201)
    const oslo = await OsloClient.start(gateway.backend('vcenter'), user)
    clients.push(oslo)
    return { session, oslo }
  }

  function share(lock: string, session: string) {
    return send(control.lockUrl(lock), { body: { session, mode: 'shared' } })
  }

  /** The image as the owner of the cache has put it there, past the gateway. */
  async function placeImage(): Promise<void> {
    const soap = createSoapClient({ url: vcenter.url })
    const { cookie } = await soap.login('other', 'secret')
    const files = { type: 'FileManager', value: 'FileManager' }
    const where = '<datacenter type="Datacenter">datacenter-2</datacenter>'
    for (const name of ['vmware_base/image', 'vm-of-2'])
      await soap.call(
        'MakeDirectory',
        files,
        `<name>[LocalDS_0] ${name}</name>${where}<createParentDirectories>true</createParentDirectories>`,
      )
    const put = await fetch(
      `${new URL(vcenter.url).origin}/folder/vmware_base/image/image.vmdk?dcPath=DC0&dsName=LocalDS_0`,
      { method: 'PUT', body: 'bits', headers: { cookie: `vmware_soap_session="${cookie}"` } },
    )
    expect(put.status).toBeLessThan(300)
    await soap.close()
  }

  it('runs tasks under its lock, and once that is lost is refused at once: no success, no loop, no login', async () => {
    const { session, oslo } = await start('nova-1')
    await control.take(`vmware/vm/${VM}`, session)
    expect(await oslo.call('off', VM)).toMatchObject({ outcome: 'success', logins: 0 })
    expect(await oslo.call('on', VM)).toMatchObject({ outcome: 'success', logins: 0 })

    // Another one has it now; this one was not told, and goes on.
    await control.release(`vmware/vm/${VM}`, session)
    const next = await control.openSession({ ttl: 60, holder: 'nova-2' })
    await control.take(`vmware/vm/${VM}`, next, 30)
    const before = (await vcenter.calls('PowerOffVM_Task')).length
    const refused = await oslo.call('off', VM)
    expect(refused).toMatchObject({ outcome: 'NoPermissionException', logins: 0 })
    expect(refused.message).toContain(`vmware/vm/${VM}`)
    expect(refused.message).toContain('nova-2')
    expect((await vcenter.calls('PowerOffVM_Task')).length).toBe(before)
    // What it reads it still reads.
    await control.release(`vmware/vm/${VM}`, next)
    await control.take(`vmware/vm/${VM}`, session, 30)
    expect(await oslo.call('off', VM)).toMatchObject({ outcome: 'success', logins: 0 })
    expect(await oslo.call('on', VM)).toMatchObject({ outcome: 'success', logins: 0 })
  })

  it('is refused all the same when its session is over, although it logs in again', async () => {
    const { session, oslo } = await start('nova-1')
    await control.take(`vmware/vm/${VM}`, session)
    await send(`${gateway.control}/v1/sessions/${session}`, { method: 'DELETE' })
    const before = (await vcenter.calls('PowerOffVM_Task')).length
    expect(await oslo.call('off', VM)).toMatchObject({ outcome: 'NoPermissionException', logins: 0 })
    expect((await vcenter.calls('PowerOffVM_Task')).length).toBe(before)
  })

  it('copies an image out of another’s cache, and the owner cannot age it before the copy is done', async () => {
    await placeImage()
    const owner = await start('nova-1')
    const copier = await start('nova-2')
    // Who copies holds the image shared; the folder above it is shared by all who work in the cache.
    for (const lock of [CACHE, IMAGE]) expect((await share(lock, copier.session)).status).toBe(201)
    await control.take('vmware/datastore/LocalDS_0/vm-of-2', copier.session)
    await vcenter.addRule({ method: 'CopyDatastoreFile_Task', kind: 'task', times: 1 })
    const copying = copier.oslo.call('copy', FILE, '[LocalDS_0] vm-of-2/root.vmdk')
    await expect.poll(async () => (await vcenter.calls('CopyDatastoreFile_Task')).length, patient).toBe(1)

    // The cache is aged: its owner does not get the image, and without it is not let in.
    expect((await share(CACHE, owner.session)).status).toBe(201)
    const taken = await send(control.lockUrl(IMAGE), { body: { session: owner.session, wait: 0 } })
    expect(taken.status).toBe(409)
    expect(await owner.oslo.call('delete', FILE)).toMatchObject({ outcome: 'NoPermissionException' })
    // Nor the cache as a whole.
    expect(await owner.oslo.call('delete', '[LocalDS_0] vmware_base')).toMatchObject({
      outcome: 'NoPermissionException',
    })

    // The copier gives the image back at once; its copy is still under way, and goes on holding the owner off.
    const aging = control.take(IMAGE, owner.session, 60)
    await control.release(IMAGE, copier.session)
    await expect.poll(async () => (await control.lock(IMAGE)).waitingOn.join(), patient).toContain('task-')
    expect(await owner.oslo.call('delete', FILE)).toMatchObject({ outcome: 'NoPermissionException' })
    expect(await vcenter.calls('DeleteDatastoreFile_Task')).toEqual([])
    await vcenter.releaseTask()
    expect(await copying).toMatchObject({ outcome: 'success' })

    await aging
    expect(await owner.oslo.call('delete', FILE)).toMatchObject({ outcome: 'success' })
    const [copy] = await vcenter.calls('CopyDatastoreFile_Task')
    const [deletion] = await vcenter.calls('DeleteDatastoreFile_Task')
    expect([copy?.state, deletion?.state]).toEqual(['executed', 'executed'])
  })
})
