// OpenStack's own command line with a real Keystone, both unmodified: a holder logs in through the gateway, finds the services
// through the catalog, and is known at cinder's gateway by the token that he was given.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  type ForeignClient,
  keystoneAvailable,
  openstackAvailable,
  startKeystone,
} from '../../support/foreign-clients.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { type RestServer, startRestServer } from '../../support/rest-server.ts'

const ID = '5aa1f3d2-0000-4000-8000-000000000001'
const LOCK = `cinder/volume/${ID}`
const START_MS_MAX = 120_000
const TALK_MS_MAX = 120_000
const patient = { timeout: 15_000, interval: 50 }

describe.skipIf(!keystoneAvailable() || !openstackAvailable())(
  'a caller of OpenStack who logs in at Keystone',
  { timeout: TALK_MS_MAX },
  () => {
    const folder = new GatewayFolder()
    const data = mkdtempSync(join(tmpdir(), 'fencegate-keystone-'))
    let keystone: ForeignClient
    let cinder: RestServer
    let gateway: GatewayProcess
    let control: ControlClient
    const sessions: string[] = []

    beforeAll(async () => {
      keystone = startKeystone(data, ['cinder-1', 'cinder-2'])
      cinder = await startRestServer(({ method }) =>
        method === 'GET'
          ? { status: 200, json: { volume: { id: ID, name: 'v', status: 'available' } } }
          : { status: 202, json: {} },
      )
      const upstream = `http://127.0.0.1:${await keystone.next(START_MS_MAX)}`
      folder.configure({
        backends: {
          keystone: {
            listen: '127.0.0.1:0',
            upstream,
            policy: 'keystone',
            identify: ['login', 'session'],
          },
          cinder: {
            listen: '127.0.0.1:0',
            upstream: cinder.url,
            policy: 'cinder',
            identify: ['session'],
            implicit: true,
            callersOf: 'keystone',
          },
        },
        fencers: { ask: { driver: 'manual', instructions: 'see that {{holder.id}} is off' } },
        plans: { slow: { levels: [['ask']], attempts: 1, timeout: 5 } },
      })
      gateway = await folder.start()
      control = new ControlClient(gateway.control)
      await fillCatalog(upstream)
    }, START_MS_MAX)
    afterEach(async () => {
      for (const session of sessions.splice(0))
        await send(`${gateway.control}/v1/sessions/${session}`, { method: 'DELETE' })
    })
    afterAll(async () => {
      await keystone?.kill()
      await folder.remove()
      await cinder?.close()
      rmSync(data, { recursive: true, force: true })
    })

    /** The services at their gateways, as an administrator who does not go through them writes it down. */
    async function fillCatalog(url: string): Promise<void> {
      const { headers } = await send(`${url}/v3/auth/tokens`, { body: passwordOf('cinder-1') })
      const token = { 'x-auth-token': headers['x-subject-token'] ?? '' }
      const made = async (what: string, body: unknown): Promise<string> => {
        const answer = await send(`${url}/v3/${what}s`, { headers: token, body: { [what]: body } })
        return (
          z.record(z.string(), z.object({ id: z.string() })).parse(JSON.parse(answer.body))[what]?.id ?? ''
        )
      }
      for (const [type, at] of [
        ['identity', `${gateway.backend('keystone')}/v3`],
        ['volumev3', `${gateway.backend('cinder')}/v3/%(project_id)s`],
      ]) {
        const service_id = await made('service', { type, name: type })
        await made('endpoint', { service_id, interface: 'public', url: at })
      }
    }

    async function open(holder: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
      const session = await control.openSession({ ttl: 60, holder, ...more })
      sessions.push(session)
      const body = { backend: 'keystone', by: 'login', value: holder }
      expect((await send(`${gateway.control}/v1/sessions/${session}/bindings`, { body })).status).toBe(201)
      return session
    }

    const login = (user: string) =>
      send(`${gateway.backend('keystone')}/v3/auth/tokens`, { body: passwordOf(user) })

    const changes = () => cinder.calls.filter(({ method }) => method !== 'GET').length

    /** Its exit code, and what it prints. */
    function openstack(user: string, ...words: readonly string[]): Promise<{ code: number; said: string }> {
      const environment = {
        OS_AUTH_URL: `${gateway.backend('keystone')}/v3`,
        OS_USERNAME: user,
        OS_PASSWORD: 'secret',
        OS_PROJECT_NAME: 'admin',
        OS_USER_DOMAIN_ID: 'default',
        OS_PROJECT_DOMAIN_ID: 'default',
        OS_IDENTITY_API_VERSION: '3',
        OS_VOLUME_API_VERSION: '3.60',
      }
      const env = { ...process.env, ...environment }
      return new Promise((resolve) => {
        execFile('/usr/bin/openstack', words, { env, timeout: 60_000 }, (error, stdout, stderr) =>
          resolve({
            code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1,
            said: stdout + stderr,
          }),
        )
      })
    }

    it('changes volumes under the lock that his session holds, and is told which one where it does not', async () => {
      const session = await open('cinder-1')
      const early = await openstack('cinder-1', 'volume', 'delete', ID)
      expect(early).toMatchObject({ code: 1, said: expect.stringContaining(`needs the lock ${LOCK}`) })
      expect(early.said).toContain(`session ${session}, which sends it, does not hold it`)
      expect(changes()).toBe(0)

      await control.take(LOCK, session)
      expect(await openstack('cinder-1', 'volume', 'delete', ID)).toEqual({ code: 0, said: '' })
      expect(changes()).toBe(1)

      const other = await openstack('cinder-2', 'volume', 'delete', ID)
      expect(other).toMatchObject({
        code: 1,
        said: expect.stringContaining('nothing says whose session sends it'),
      })
      expect(changes()).toBe(1)
    })

    it('is nobody with the token of a session that is over, although the next one has his account and the lock', async () => {
      const first = await open('cinder-1')
      const { status, headers } = await login('cinder-1')
      expect(status).toBe(201)
      const old = headers['x-subject-token'] ?? ''
      await control.take(LOCK, first)
      const before = changes()
      const change = (token: string) =>
        send(`${gateway.backend('cinder')}/v3/volumes/${ID}`, {
          method: 'DELETE',
          headers: { 'x-auth-token': token },
        })
      expect((await change(old)).status).toBe(202)
      await send(`${gateway.control}/v1/sessions/${first}`, { method: 'DELETE' })
      const second = await open('cinder-1')
      await control.take(LOCK, second, 20)
      const late = await change(old)
      expect([late.status, late.headers['fencing-verdict']]).toEqual([428, 'missing-token'])
      const fresh = await login('cinder-1')
      expect((await change(fresh.headers['x-subject-token'] ?? '')).status).toBe(202)
      expect(changes() - before).toBe(2)
    })

    it('gets no token while he is being fenced, and is told so, while another gets one', async () => {
      const session = await open('cinder-2', { plan: 'slow', fenceInfo: { host: 'h2' } })
      const body = { by: 'me', reason: 'test' }
      expect((await send(`${gateway.control}/v1/sessions/${session}/fence`, { body })).status).toBe(202)
      const barred = await openstack('cinder-2', 'token', 'issue')
      expect(barred).toMatchObject({ code: 1, said: expect.stringContaining('This holder is being fenced') })
      expect((await login('cinder-1')).status).toBe(201)
      await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('blocked')
      await send(`${gateway.control}/v1/fences/${session}/confirm`, { body })
      await expect.poll(async () => (await control.fence(session))?.['state'], patient).toBe('closed')
      expect((await login('cinder-2')).status).toBe(201)
    })
  },
)

function passwordOf(name: string): unknown {
  const domain = { id: 'default' }
  const identity = { methods: ['password'], password: { user: { name, domain, password: 'secret' } } }
  return { auth: { identity, scope: { project: { name: 'admin', domain } } } }
}
