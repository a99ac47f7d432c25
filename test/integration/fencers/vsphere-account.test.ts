// The vSphere account fencer against the simulator, which keeps permissions and refuses by them as a real vCenter does.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/vsphere-account.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { createSoapClient, ROOT_FOLDER, SESSION_MANAGER, type SoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = ReturnType<typeof driver.fenceInfo.parse>
const USERS = { fencer: 'f-secret', nova: 'n-secret', other: 'o-secret' }
const MANAGER = { type: 'AuthorizationManager', value: 'AuthorizationManager' }
const NOVA: Info = { userName: 'nova' }
const ADMIN = -1

describe.skipIf(vcenterSimulatorUnavailable() !== null)('the vSphere account fencer', () => {
  let vcenter: VcenterSimulator
  let admin: SoapClient
  let nova: SoapClient
  const clients: SoapClient[] = []
  const fencers: Fencer<Info>[] = []
  let folders = 0

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: USERS })
  }, 240_000)
  afterAll(() => vcenter?.stop())
  beforeEach(async () => {
    admin = connect()
    await admin.login('other', USERS.other)
    nova = connect()
    await nova.login('nova', USERS.nova)
  })
  afterEach(async () => {
    await vcenter.dropRule()
    await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
    for (const [entity, line] of await rules()) await remove(entity, line.split(' ')[0] ?? '')
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

  async function give(entity: { type: string; value: string }, user: string, role: number, below = true) {
    const args =
      `<entity type="${entity.type}">${entity.value}</entity><permission><principal>${user}</principal>` +
      `<group>false</group><roleId>${role}</roleId><propagate>${below}</propagate></permission>`
    expect((await admin.call('SetEntityPermissions', MANAGER, args)).fault).toBeNull()
  }

  async function remove(entity: string, user: string): Promise<void> {
    const type = entity.startsWith('group-') ? 'Folder' : 'Datacenter'
    const args = `<entity type="${type}">${entity}</entity><user>${user}</user><isGroup>false</isGroup>`
    await admin.call('RemoveEntityPermission', MANAGER, args)
  }

  /** Of the holders: [place, "user role propagates"]. */
  async function rules(): Promise<readonly (readonly [string, string])[]> {
    const answer = await admin.call('RetrieveAllPermissions', MANAGER)
    return (answer.body?.children ?? [])
      .map((permission) => {
        const text = (name: string) => permission.children.find((item) => item.name === name)?.text ?? ''
        return [text('entity'), `${text('principal')} ${text('roleId')} ${text('propagate')}`] as const
      })
      .filter(([, line]) => /^(?:nova|other) /.test(line))
      .sort(([a, x], [b, y]) => (`${a}${x}` < `${b}${y}` ? -1 : 1))
  }

  async function datacenter(): Promise<{ type: string; value: string }> {
    const path = '<inventoryPath>DC0</inventoryPath>'
    const found = await admin.call('FindByInventoryPath', { type: 'SearchIndex', value: 'SearchIndex' }, path)
    return { type: 'Datacenter', value: found.returnval ?? '' }
  }

  const change = async (client: SoapClient) =>
    (await client.call('CreateFolder', ROOT_FOLDER, `<name>f-${folders++}</name>`)).fault

  test('takes the rights under every session of the account, the next one too, and reads go on', async () => {
    const fencer = create()
    await give(ROOT_FOLDER, 'nova', ADMIN)
    expect(await change(nova)).toBeNull()
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(NOVA, anAttemptNow())
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('fenced')
    const again = connect()
    await again.login('nova', USERS.nova)
    expect([await change(nova), await change(again), await change(admin)]).toEqual([
      'NoPermission',
      'NoPermission',
      null,
    ])
    expect((await nova.property(ROOT_FOLDER, 'name'))?.text).toBe('Datacenters')
  })

  test('takes them where they are written below the root as well, and unfence puts back what was', async () => {
    const below = await datacenter()
    await give(ROOT_FOLDER, 'nova', ADMIN, false)
    await give(below, 'nova', ADMIN, true)
    await give(below, 'other', ADMIN, true)
    const before = await rules()
    await create().fence(NOVA, anAttemptNow())
    expect(await rules()).not.toEqual(before)
    // Another gateway, that knows nothing of the first, sees it and undoes it.
    const other = create()
    expect((await other.verify(NOVA, anAttemptNow())).state).toBe('fenced')
    await other.fence(NOVA, anAttemptNow({ number: 2 }))
    for (let i = 0; i < 2; i++) await other.unfence?.(NOVA, anAttemptNow())
    expect(await rules()).toEqual(before)
    expect((await other.verify(NOVA, anAttemptNow())).state).toBe('not-fenced')
  })

  test('an account whose rights nothing names gets a rule of its own, which unfence removes', async () => {
    const fencer = create()
    await fencer.fence(NOVA, anAttemptNow())
    expect(await change(nova)).toBe('NoPermission')
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('fenced')
    await fencer.unfence?.(NOVA, anAttemptNow())
    expect(await rules()).toEqual([])
    expect(await change(nova)).toBeNull()
  })

  test('rights that come back meanwhile are seen', async () => {
    const fencer = create()
    await fencer.fence(NOVA, anAttemptNow())
    await give(await datacenter(), 'nova', ADMIN)
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(NOVA, anAttemptNow({ number: 2 }))
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('fenced')
  })

  test('a success that is reported and not true, or an answer that was lost, is looked into', async () => {
    const fencer = create()
    await give(ROOT_FOLDER, 'nova', ADMIN)
    await vcenter.addRule({ method: 'SetEntityPermissions', kind: 'status', status: 200 })
    await fencer.fence(NOVA, anAttemptNow()).catch(() => undefined)
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('not-fenced')
    await vcenter.dropRule()
    await vcenter.addRule({ method: 'SetEntityPermissions', kind: 'drop', times: 1 })
    await expect(fencer.fence(NOVA, anAttemptNow())).rejects.toThrow()
    expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('fenced')
  })

  test.each(['RetrieveAllPermissions', 'FetchUserPrivilegeOnEntities', 'RetrievePropertiesEx'])(
    'without the answer to %s it sees nothing',
    async (method) => {
      const fencer = create()
      await fencer.fence(NOVA, anAttemptNow())
      await vcenter.addRule({ method, kind: 'status', status: 404 })
      expect((await fencer.verify(NOVA, anAttemptNow())).state).toBe('unknown')
      await expect(
        fencer.monitor({ clock: realClock, note: () => undefined, signal: AbortSignal.timeout(5_000) }),
      ).rejects.toThrow()
    },
  )

  test('never touches its own account, and strikes no more once it may not', async () => {
    const fencer = create()
    await expect(fencer.fence({ userName: 'Fencer' }, anAttemptNow())).rejects.toThrow("fencer's own")
    await give(ROOT_FOLDER, 'nova', ADMIN)
    await expect(fencer.fence(NOVA, anAttemptNow({ mayStrike: false }))).rejects.toThrow('nothing was sent')
    expect(await rules()).toEqual([['group-d1', 'nova -1 true']])
    expect(await vcenter.calls('AddAuthorizationRole')).toEqual([])
  })

  test('wrong credentials, and a vCenter that hangs, are failures without the password in them', async () => {
    const wrong = create({ password: 'wrong-but-secret' })
    const said = [
      await wrong.fence(NOVA, anAttemptNow()).catch(String),
      JSON.stringify(await wrong.verify(NOVA, anAttemptNow())),
    ]
    for (const line of said) expect(line).not.toContain('wrong-but-secret')
    expect(said.join()).toContain('InvalidLogin')
    await vcenter.addRule({ method: 'RetrieveAllPermissions', kind: 'delay-before' })
    const fencer = create()
    await expect(fencer.fence(NOVA, anAttemptNow({ lengthMs: 300 }))).rejects.toThrow()
    expect((await fencer.verify(NOVA, anAttemptNow({ lengthMs: 300 }))).state).toBe('unknown')
  })
})
