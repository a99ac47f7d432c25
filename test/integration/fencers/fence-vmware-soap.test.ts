// The fence-agent fencer with Debian's fence_vmware_soap, against the vCenter simulator over TLS: an agent that speaks of virtual
// machines, through a SOAP client that reads what the vCenter says of itself (WSDL).

import { createServer, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import driver from '../../../fencers/fence-agent.ts'
import { programUnavailable } from '../../house/availability.ts'
import { createSoapClient, type SoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { anAttemptNow, realClock } from './support.ts'

const PASSWORD = 'the-fencers-password'
const agentAvailable = (): boolean =>
  vcenterSimulatorUnavailable() === null && programUnavailable('fence_vmware_soap', 'fence-agents') === null

describe.skipIf(!agentAvailable())('with fence_vmware_soap and a vCenter', () => {
  let vcenter: VcenterSimulator
  let client: SoapClient
  beforeAll(async () => {
    vcenter = await startVcenterSimulator({ users: { fencer: PASSWORD, looker: 'l' }, tls: true })
    client = createSoapClient({ url: vcenter.url, ca: vcenter.ca ?? '' })
    await client.login('looker', 'l')
  }, 240_000)
  afterAll(async () => {
    await client?.close()
    await vcenter?.stop()
  })
  afterEach(async () => {
    await vcenter.dropRule()
    await vcenter.releaseTask()
  })

  const fencerAt = (url: string, more: Readonly<Record<string, unknown>> = {}) =>
    driver.create(
      driver.options.parse({
        agent: 'fence_vmware_soap',
        parameters: {
          ip: '127.0.0.1',
          ipport: new URL(url).port,
          username: 'fencer',
          ssl: true,
          ssl_insecure: true,
          power_wait: 0,
          power_timeout: 2,
        },
        secrets: { password: PASSWORD },
        machines: {
          // One by its path, one by its uuid: a name alone may be that of two.
          'compute-1': { plug: '/DC0/vm/DC0_H0_VM0' },
          'compute-2': { plug: '39365506-5a0a-5fd0-be10-9586ad53aaad' },
          'compute-3': { plug: '/DC0/vm/DC0_C0_RP0_VM0' },
          'compute-4': { plug: '/DC0/vm/no-such-machine' },
        },
        power: false,
        ...more,
      }),
      { clock: realClock, note: () => undefined },
    )
  /** One for all tests: it asks for the metadata of the agent once. */
  let shared: ReturnType<typeof fencerAt> | null = null
  const fencer = () => {
    shared ??= fencerAt(vcenter.url)
    return shared
  }
  const NAMES = { 'compute-1': 'DC0_H0_VM0', 'compute-2': 'DC0_H0_VM1', 'compute-3': 'DC0_C0_RP0_VM0' }
  const powerOf = async (plug: keyof typeof NAMES) => {
    const path = `<inventoryPath>DC0/vm/${NAMES[plug]}</inventoryPath>`
    const found = await client.call(
      'FindByInventoryPath',
      { type: 'SearchIndex', value: 'SearchIndex' },
      path,
    )
    const target = { type: 'VirtualMachine', value: found.returnval ?? '' }
    return (await client.property(target, 'runtime.powerState'))?.text
  }
  const stateOf = async (plug: string) => (await fencer().verify({ plug }, anAttemptNow())).state

  test.concurrent.each(['compute-1', 'compute-2'] as const)(
    '%s goes off, is seen to be off, and comes on again',
    async (plug) => {
      await fencer().fence({ plug }, anAttemptNow())
      expect(await powerOf(plug)).toBe('poweredOff')
      expect(await powerOf('compute-3')).toBe('poweredOn')
      expect(await stateOf(plug)).toBe('fenced')
      await fencer().unfence?.({ plug }, anAttemptNow())
      expect(await stateOf(plug)).toBe('not-fenced')
    },
    60_000,
  )

  test('a refusal of vCenter is a failure, and the machine is seen to run', async () => {
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'status', status: 503 })
    await expect(fencer().fence({ plug: 'compute-3' }, anAttemptNow())).rejects.toThrow('exit code 1')
    expect(await stateOf('compute-3')).toBe('not-fenced')
  }, 60_000)

  test('an answer that was lost is a failure of the agent, and what came of it is seen', async () => {
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'drop' })
    await fencer()
      .fence({ plug: 'compute-3' }, anAttemptNow())
      .catch(() => undefined)
    expect(await stateOf('compute-3')).toBe('fenced')
    // Off already is success.
    await fencer().fence({ plug: 'compute-3' }, anAttemptNow({ number: 2 }))
    await vcenter.dropRule()
    await fencer().unfence?.({ plug: 'compute-3' }, anAttemptNow())
  }, 60_000)

  test('a task that does not end leaves the machine on, and nobody says that it is off', async () => {
    await vcenter.addRule({ method: 'PowerOffVM_Task', kind: 'task' })
    await expect(fencer().fence({ plug: 'compute-3' }, anAttemptNow())).rejects.toThrow()
    expect(await powerOf('compute-3')).toBe('poweredOn')
    expect(await stateOf('compute-3')).toBe('not-fenced')
    await vcenter.releaseTask()
    await expect.poll(() => powerOf('compute-3')).toBe('poweredOff')
    expect(await stateOf('compute-3')).toBe('fenced')
  }, 60_000)

  test('a wrong password, a machine that is not there, and nobody at the address are unknown', async () => {
    const wrong = fencerAt(vcenter.url, { secrets: { password: 'not-the-password' } })
    const refused = wrong.monitor({
      clock: realClock,
      note: () => undefined,
      signal: AbortSignal.timeout(30_000),
    })
    await expect(refused).rejects.toThrow('Login failure')
    await expect(refused).rejects.not.toThrow('not-the-password')
    expect(await wrong.verify({ plug: 'compute-3' }, anAttemptNow())).toMatchObject({
      state: 'unknown',
      reason: expect.stringContaining('Login failure'),
    })
    expect(await stateOf('compute-4')).toBe('unknown')
    const away = fencerAt('https://127.0.0.1:1')
    expect((await away.verify({ plug: 'compute-3' }, anAttemptNow())).state).toBe('unknown')
  }, 60_000)

  test('a vCenter that accepts and never answers ends with the attempt', async () => {
    const sockets: Socket[] = []
    const deaf = createServer((socket) => sockets.push(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve))
    const address = deaf.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const startedMs = realClock.monotonicMs()
    const seen = await fencerAt(`https://127.0.0.1:${port}`).verify(
      { plug: 'compute-3' },
      anAttemptNow({ lengthMs: 2_000 }),
    )
    expect(seen.state).toBe('unknown')
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(5_000)
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => deaf.close(resolve))
  }, 60_000)
})
