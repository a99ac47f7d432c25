// OpenStack's own clients in front of a gateway: what they say when it refuses, what they send again, and what they do not.

import { execFile } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  type ForeignClient,
  openstackAvailable,
  startOpenstackClients,
} from '../../support/foreign-clients.ts'
import { freePort } from '../../support/free-port.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient } from '../../support/holder.ts'

const ID = '5aa1f3d2-0000-4000-8000-000000000001'
const PROJECT = '0123456789abcdef0123456789abcdef'
const CLIENTS = [
  ['cinder', `cinder/volume/${ID}`],
  ['nova', `nova/server/${ID}`],
  ['ironic', `ironic/node/${ID}`],
  ['sdk', `ironic/node/${ID}`],
] as const
const START_MS_MAX = 90_000
const Outcome = z.object({ raised: z.string().nullable(), says: z.string() })

/** Takes every change, and says of itself what openstacksdk asks first. */
class Backend {
  changes: string[] = []
  readonly #port: number
  #server: Server | null = null

  constructor(port: number) {
    this.#port = port
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => {
      request.resume()
      if (request.method !== 'GET') this.changes.push(`${request.method} ${request.url}`)
      const version = {
        id: 'v1',
        status: 'CURRENT',
        min_version: '1.1',
        version: '1.72',
        links: [{ rel: 'self', href: `http://${request.headers.host}/v1/` }],
      }
      const body = { version, versions: [version], default_version: version, volume: { id: ID } }
      response.writeHead(request.method === 'GET' ? 200 : 202, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(body))
    })
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

describe.skipIf(!openstackAvailable())("OpenStack's own clients", () => {
  const folder = new GatewayFolder()
  let backend: Backend
  let gateway: GatewayProcess
  let control: ControlClient
  let clients: ForeignClient

  beforeAll(async () => {
    const port = await freePort()
    backend = new Backend(port)
    await backend.open()
    const upstream = `http://127.0.0.1:${port}`
    const listen = '127.0.0.1:0'
    folder.configure({
      backends: {
        cinder: { listen, upstream, policy: 'cinder', wait: 0 },
        nova: { listen, upstream, policy: 'nova', wait: 0 },
        ironic: { listen, upstream, policy: 'ironic', wait: 0 },
      },
    })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
    clients = await startOpenstackClients([
      `${gateway.backend('cinder')}/v3/${PROJECT}`,
      `${gateway.backend('nova')}/v2.1`,
      gateway.backend('ironic'),
      ID,
    ])
  }, START_MS_MAX)
  afterAll(async () => {
    await clients?.kill()
    await folder.remove()
    await backend?.close()
  })
  beforeEach(() => {
    backend.changes = []
  })

  async function call(
    client: string,
    token: string,
  ): Promise<z.infer<typeof Outcome> & { statuses: number[] }> {
    clients.tell(`${client} ${token}`)
    const statuses: number[] = []
    for (;;) {
      const line = await clients.next(30_000)
      if (line.startsWith('{')) return { ...Outcome.parse(JSON.parse(line)), statuses }
      statuses.push(Number(line))
    }
  }

  async function take(lock: string): Promise<{ token: string; release: () => Promise<void> }> {
    const session = await control.openSession({ ttl: 60, holder: 'test' })
    return { token: await control.take(lock, session, 20), release: () => control.release(lock, session) }
  }

  it.each(CLIENTS)(
    '%s says that the lock must be taken, and does not send its call again',
    async (client, lock) => {
      const { raised, says, statuses } = await call(client, '-')
      expect(raised).not.toBeNull()
      expect(says).toContain(lock)
      expect(says).toContain('missing-token')
      expect([statuses, backend.changes]).toEqual([[428], []])
    },
  )

  it.each(CLIENTS)(
    '%s says that its lock is lost, and does not send its call again',
    async (client, lock) => {
      const old = await take(lock)
      await old.release()
      const { token, release } = await take(lock)
      const { raised, says, statuses } = await call(client, old.token)
      expect(raised).not.toBeNull()
      expect(says).toContain('stale-token')
      expect([statuses, backend.changes]).toEqual([[412], []])
      expect(await call(client, token)).toEqual({ raised: null, says: '', statuses: [202] })
      expect(backend.changes).toHaveLength(1)
      await release()
    },
  )

  it.each(CLIENTS)(
    '%s says what is wrong with its token, and does not send its call again',
    async (client) => {
      const { raised, says, statuses } = await call(client, '9007199254740993')
      expect(raised).not.toBeNull()
      expect(says).toContain('bad-token')
      expect([statuses, backend.changes]).toEqual([[400], []])
    },
  )

  it('sdk sends its call again while the lock is handed over, and the others end with what they are told', async () => {
    for (const [client, lock] of CLIENTS) {
      const old = await take(lock)
      expect((await call(client, old.token)).raised).toBeNull()
      backend.changes = []
      const next = take(lock)
      const waiting = async () => (await control.lock(lock)).waiters
      await expect.poll(async () => (await waiting()).length, { timeout: 10_000 }).toBe(1)
      clients.tell(`${client} ${(await waiting())[0]?.token}`)
      expect(await clients.next(30_000)).toBe('503')
      await old.release()
      const rest: string[] = []
      while (!(rest.at(-1) ?? '').startsWith('{')) rest.push(await clients.next(30_000))
      const { raised, says } = Outcome.parse(JSON.parse(rest.pop() ?? ''))
      if (client === 'sdk') expect([raised, rest.at(-1), backend.changes.length]).toEqual([null, '202', 1])
      else expect([raised === null, rest, backend.changes]).toEqual([false, [], []])
      if (client === 'cinder' || client === 'nova') expect(says).toContain('handover')
      await (await next).release()
    }
  })

  // python-ironicclient 5.0.1 means to repeat a 503, and breaks over the Retry-After in it.
  it('sdk sends its call again while the backend is down, and the others end with what they are told', async () => {
    for (const [client, lock] of CLIENTS) {
      const { token, release } = await take(lock)
      expect((await call(client, token)).raised).toBeNull()
      await backend.close()
      clients.tell(`${client} ${token}`)
      expect(await clients.next(30_000)).toBe('503')
      await backend.open()
      const rest: string[] = []
      while (!(rest.at(-1) ?? '').startsWith('{')) rest.push(await clients.next(30_000))
      const { raised, says } = Outcome.parse(JSON.parse(rest.pop() ?? ''))
      if (client === 'sdk') expect([raised, rest.at(-1)]).toEqual([null, '202'])
      else expect([raised === null, rest]).toEqual([false, []])
      if (client === 'cinder' || client === 'nova') expect(says).toContain('backend-down')
      await release()
    }
  })

  it('the command openstack prints what to do, and ends', async () => {
    const args = ['--os-auth-type', 'none', '--os-endpoint', `${gateway.backend('cinder')}/v3/${PROJECT}`]
    const run = promisify(execFile)('/usr/bin/openstack', [...args, 'volume', 'delete', ID], {
      timeout: 40_000,
    })
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`cinder/volume/${ID}`),
    })
    expect(backend.changes).toEqual([])
  })
})
