// The simulator is what fences are proven against, so what it claims is proven first.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { childText } from '../../../fencers/xml/document.ts'
import {
  createSoapClient,
  ROOT_FOLDER,
  SESSION_MANAGER,
  type SoapClient,
  type SoapReference,
} from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'

const VM: SoapReference = { type: 'VirtualMachine', value: '' }

const until = (condition: () => Promise<boolean>) =>
  expect.poll(condition, { timeout: 10_000, interval: 20 }).toBe(true)

describe.skipIf(vcenterSimulatorUnavailable() !== null)('the vCenter of the tests', () => {
  let vcenter: VcenterSimulator
  const clients: SoapClient[] = []

  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: { alice: 'a-secret', bob: 'b-secret' } })
  }, 240_000)
  afterAll(() => vcenter?.stop())
  afterEach(async () => {
    await vcenter.dropRule()
    await vcenter.releaseTask()
    await Promise.all(clients.splice(0).map((client) => client.close()))
  })

  function connect(): SoapClient {
    const client = createSoapClient({ url: vcenter.url })
    clients.push(client)
    return client
  }

  async function aMachine(client: SoapClient): Promise<SoapReference> {
    const list = await client.call(
      'FindByInventoryPath',
      { type: 'SearchIndex', value: 'SearchIndex' },
      '<inventoryPath>DC0/vm/DC0_H0_VM0</inventoryPath>',
    )
    return { ...VM, value: list.returnval ?? '' }
  }

  test('a login gives a cookie that is not the session key, and a wrong password gives none', async () => {
    const client = connect()
    const session = await client.login('alice', 'a-secret')
    expect(session.cookie).not.toBe(session.key)
    expect((await vcenter.sessions()).map((item) => item.key)).toContain(session.key)
    await expect(connect().login('alice', 'b-secret')).rejects.toThrow('InvalidLogin')
    const posing = { ...session, cookie: session.key }
    const answer = await client.call(
      'CurrentTime',
      { type: 'ServiceInstance', value: 'ServiceInstance' },
      '',
      {
        session: posing,
      },
    )
    expect(answer.fault).toBe('NotAuthenticated')
  })

  test('a terminated session changes nothing any more, and reads NotAuthenticated in a missing set', async () => {
    const alice = connect()
    const bob = connect()
    const doomed = await alice.login('alice', 'a-secret')
    await bob.login('bob', 'b-secret')
    await bob.call('TerminateSession', SESSION_MANAGER, `<sessionId>${doomed.key}</sessionId>`)
    const change = await alice.call('CreateFolder', ROOT_FOLDER, '<name>late</name>')
    expect([change.status, change.fault]).toEqual([500, 'NotAuthenticated'])
    expect((await vcenter.calls('CreateFolder')).at(-1)?.state).toBe('refused')
    const read = await alice.call(
      'RetrievePropertiesEx',
      { type: 'PropertyCollector', value: 'propertyCollector' },
      '<specSet><propSet><type>Folder</type><pathSet>name</pathSet></propSet><objectSet><obj type="Folder">group-d1</obj></objectSet></specSet><options/>',
    )
    expect(read.status).toBe(200)
    expect(read.text).toContain('<missingSet>')
    expect(read.text).toContain('NotAuthenticated')
  })

  test('a held task does its work when it is released, also after its session was terminated', async () => {
    const alice = connect()
    const bob = connect()
    const session = await alice.login('alice', 'a-secret')
    await bob.login('bob', 'b-secret')
    const machine = await aMachine(alice)
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'task' })
    const started = await alice.call('PowerOffVM_Task', machine)
    const task = { type: 'Task', value: started.returnval ?? '' }
    const info = await bob.property(task, 'info')
    expect(childText(info ?? undefined, 'state')).toBe('running')
    expect(info?.children.find((item) => item.name === 'reason')).toMatchObject({
      attributes: { type: 'TaskReasonUser' },
    })
    await bob.call('TerminateSession', SESSION_MANAGER, `<sessionId>${session.key}</sessionId>`)
    expect((await vcenter.calls('PowerOffVM_Task')).at(-1)?.state).toBe('running')
    expect((await bob.property(machine, 'runtime.powerState'))?.text).toBe('poweredOn')
    await vcenter.releaseTask(task.value)
    await until(async () => (await vcenter.calls('PowerOffVM_Task')).at(-1)?.state === 'executed')
    expect((await bob.property(machine, 'runtime.powerState'))?.text).toBe('poweredOff')
    await until(async () => childText((await bob.property(task, 'info')) ?? undefined, 'state') === 'success')
  })

  test('a cancelable task that is canceled never does its work', async () => {
    const alice = connect()
    await alice.login('alice', 'a-secret')
    const machine = await aMachine(alice)
    await alice.call('PowerOnVM_Task', machine)
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'task', cancelable: true })
    const started = await alice.call('PowerOffVM_Task', machine)
    const task = { type: 'Task', value: started.returnval ?? '' }
    await alice.call('CancelTask', task)
    await until(async () => childText((await alice.property(task, 'info')) ?? undefined, 'state') === 'error')
    expect((await vcenter.calls('PowerOffVM_Task')).at(-1)?.state).toBe('canceled')
    expect((await alice.property(machine, 'runtime.powerState'))?.text).toBe('poweredOn')
  })

  test('a dropped answer breaks the connection after the call was executed', async () => {
    const alice = connect()
    await alice.login('alice', 'a-secret')
    await vcenter.addRule({ method: 'CreateFolder', kind: 'drop', times: 1 })
    await expect(alice.call('CreateFolder', ROOT_FOLDER, '<name>dropped</name>')).rejects.toThrow()
    expect((await vcenter.calls('CreateFolder')).at(-1)).toMatchObject({ state: 'executed', answered: false })
    const again = await alice.call('CreateFolder', ROOT_FOLDER, '<name>dropped</name>')
    expect(again.fault).toBe('DuplicateName')
  })

  test('a call that is delayed before its execution is judged by the session as it is then', async () => {
    const alice = connect()
    const bob = connect()
    const session = await alice.login('alice', 'a-secret')
    await bob.login('bob', 'b-secret')
    const rule = await vcenter.addRule({ method: 'CreateFolder', kind: 'delay-before' })
    const late = alice.call('CreateFolder', ROOT_FOLDER, '<name>delayed</name>')
    await until(async () => (await vcenter.calls('CreateFolder')).at(-1)?.state === 'arrived')
    await bob.call('TerminateSession', SESSION_MANAGER, `<sessionId>${session.key}</sessionId>`)
    await vcenter.dropRule(rule)
    expect((await late).fault).toBe('NotAuthenticated')
  })

  test('an input that makes the simulator panic is answered with a fault, and the next call works', async () => {
    const alice = connect()
    await alice.login('alice', 'a-secret')
    const browser = await alice.property({ type: 'Datastore', value: 'datastore-52' }, 'browser')
    const target = { type: 'HostDatastoreBrowser', value: browser?.text ?? 'datastorebrowser-1' }
    const answer = await alice.call(
      'SearchDatastore_Task',
      target,
      '<datastorePath>[LocalDS_0]</datastorePath>',
    )
    expect(answer.status).toBe(500)
    expect(
      (await alice.call('CurrentTime', { type: 'ServiceInstance', value: 'ServiceInstance' })).status,
    ).toBe(200)
  })

  test('https is served with the certificate that the start reports', async () => {
    const secure = await startVcenterSimulator({ tls: true })
    try {
      const client = createSoapClient({ url: secure.url, ca: secure.ca ?? '' })
      clients.push(client)
      expect((await client.login('anyone', 'x')).key).not.toBe('')
      const distrustful = createSoapClient({ url: secure.url })
      clients.push(distrustful)
      await expect(distrustful.login('anyone', 'x')).rejects.toThrow(/certificate/)
    } finally {
      await secure.stop()
    }
  })
})
