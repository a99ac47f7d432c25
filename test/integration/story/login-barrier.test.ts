// A vCenter behind two gateways on one etcd: a holder who is being fenced logs in again, as oslo.vmware does by itself after
// its session was terminated, and is refused by either of them, also after a crash, until his fence is closed.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { createSoapClient, SESSION_MANAGER, type SoapAnswer } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorAvailable,
} from '../../support/vcenter-simulator.ts'

const patient = { timeout: 20_000, interval: 50 }
const LOCK = 'vmware/vm/vm-57'
const USERS = { 'nova-1': 'secret', 'nova-2': 'secret', fencer: 'secret' }

interface Place {
  readonly folder: GatewayFolder
  gateway: GatewayProcess
}

describe.skipIf(!vcenterSimulatorAvailable() || !etcdAvailable())(
  'a fenced holder of a vCenter',
  { timeout: 90_000 },
  () => {
    let vcenter: VcenterSimulator
    let etcd: EtcdCluster
    const places: Place[] = []

    beforeAll(async () => {
      vcenter = await startVcenterSimulator({ users: USERS })
      etcd = await startEtcd({ members: 1 })
      for (const enforce of [true, true, false]) {
        const folder = new GatewayFolder()
        folder.configure({
          store: { etcd: { endpoints: etcd.endpoints, prefix: '/relogin' } },
          gateway: { lease: 3 },
          backends: {
            vcenter: {
              listen: '127.0.0.1:0',
              upstream: new URL(vcenter.url).origin,
              policy: 'vsphere',
              quiet: 1,
              enforce,
            },
          },
          fencers: {
            session: { driver: 'vsphere-session', url: vcenter.url, username: 'fencer', password: 'secret' },
            ask: { driver: 'manual', instructions: 'see that {{holder.id}} is off' },
          },
          plans: { nova: { levels: [['session', 'ask']], attempts: 1, timeout: 5 } },
        })
        places.push({ folder, gateway: await folder.start() })
      }
    }, 300_000)

    afterAll(async () => {
      await Promise.all(places.map(({ folder }) => folder.remove()))
      await etcd?.stop()
      await vcenter?.stop()
    })

    function place(index: number): Place {
      const found = places[index]
      if (found === undefined) throw new Error(`there is no place ${index}`)
      return found
    }

    /** One login, or what else opens a session, through the gateway at this place. */
    async function ask(
      at: number,
      method: string,
      args: string,
      headers: Readonly<Record<string, string>> = {},
    ): Promise<SoapAnswer> {
      const client = createSoapClient({ url: place(at).gateway.backend('vcenter') })
      try {
        return await client.call(method, SESSION_MANAGER, args, { session: null, headers })
      } finally {
        await client.close()
      }
    }

    const login = (at: number, user: string, headers: Readonly<Record<string, string>> = {}) =>
      ask(at, 'Login', `<userName>${user}</userName><password>secret</password>`, headers)

    const restLogin = (at: number, user: string) =>
      send(`${place(at).gateway.backend('vcenter')}/api/session`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${user}:secret`).toString('base64')}` },
      })

    async function namesAt(): Promise<readonly string[]> {
      return (await vcenter.sessions()).map(({ userName }) => userName)
    }

    it('opens no session at it through any gateway until the fence is closed, and others do', async () => {
      const control = new ControlClient(place(0).gateway.control)
      const own = await login(0, 'nova-1')
      const key = /<key>([^<]+)<\/key>/.exec(own.text)?.[1] ?? ''
      const session = await control.openSession({
        ttl: 1,
        holder: 'nova-compute-1',
        plan: 'nova',
        fenceInfo: { sessionKey: key, userName: 'nova-1' },
      })
      const token = await control.take(LOCK, session)
      // Nobody renews it: it expires, and the plan waits for an operator once the session at the vCenter is gone.
      await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('blocked')
      expect(await namesAt()).not.toContain('nova-1')

      const calls = (await vcenter.calls()).length
      const refusals = async (at: number): Promise<void> => {
        await expect
          .poll(async () => (await login(at, 'nova-1')).headers['fencing-verdict'], patient)
          .toBe('fence-due')
        const ticket = { 'fencing-session': session }
        for (const answer of [
          await login(at, 'NOVA-1'),
          await login(at, 'nova-1', { 'fencing-token': token }),
          // A clone ticket from before, and a login without a name: nobody can tell whose they are.
          await ask(at, 'CloneSession', '<cloneTicket>cst-VCT-52</cloneTicket>'),
          await ask(at, 'LoginByToken', ''),
          await ask(at, 'AcquireCloneTicket', '', ticket),
        ]) {
          expect([answer.status, answer.fault, answer.headers['fencing-verdict']]).toEqual([
            500,
            'NoPermission',
            'fence-due',
          ])
          expect(answer.text).toContain('nova-compute-1 is being fenced')
          expect(answer.text).not.toContain('NotAuthenticated')
        }
        const rest = await restLogin(at, 'nova-1@vsphere.local')
        expect([rest.status, rest.headers['fencing-verdict']]).toEqual([500, 'fence-due'])
      }
      await refusals(0)
      await refusals(1)
      expect((await vcenter.calls()).length).toBe(calls)
      expect(await namesAt()).not.toContain('nova-1')
      expect((await login(1, 'nova-2')).status).toBe(200)
      expect((await restLogin(1, 'nova-2')).headers['fencing-verdict']).toBeUndefined()

      await place(0).gateway.kill()
      await refusals(1)
      place(0).gateway = await place(0).folder.start()
      await refusals(0)
      expect(await namesAt()).not.toContain('nova-1')

      const other = new ControlClient(place(1).gateway.control)
      const said = await send(`${other.base}/v1/fences/${session}/confirm`, {
        body: { by: 'ops', reason: 'seen off' },
      })
      expect(said.status).toBe(200)
      for (const at of [0, 1])
        await expect.poll(async () => (await login(at, 'nova-1')).status, patient).toBe(200)
      expect(await namesAt()).toContain('nova-1')
    })

    it('is told in shadow mode that he would have been refused, and goes on', async () => {
      const control = new ControlClient(place(2).gateway.control)
      const session = await control.openSession({
        ttl: 60,
        holder: 'nova-compute-2',
        plan: 'nova',
        fenceInfo: { sessionKey: '52-gone', userName: 'nova-2' },
      })
      await send(`${control.base}/v1/sessions/${session}/fence`, { body: { by: 'ops', reason: 'a try' } })
      const asked = await send(`${control.base}/v1/check`, {
        body: {
          backend: 'vcenter',
          method: 'POST',
          path: '/api/session',
          headers: { authorization: `Basic ${Buffer.from('nova-2:secret').toString('base64')}` },
        },
      })
      expect(JSON.parse(asked.body)).toMatchObject({
        verdict: 'fence-due',
        enforced: false,
        effect: 'session',
      })
      expect((await login(2, 'nova-2')).status).toBe(200)
      expect(await (await fetch(`${control.base}/metrics`)).text()).toMatch(
        /fencegate_calls_shadowed_total\{[^}]*verdict="fence-due"[^}]*\} 1/,
      )
    })
  },
)
