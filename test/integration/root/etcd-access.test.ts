// etcd that asks who one is, and clients of others in it: from their key to the call at the gateway's listener.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { type Fleet, lockOf, openFleet, volumeId } from './processes.ts'

const KEY = `/tooz/lockscinder-${volumeId(0)}-delete_volume`
const SOURCES = {
  tooz: {
    prefix: '/tooz/locks',
    locks: [
      {
        match: 'cinder-(?<id>[0-9a-f-]{36})-(delete|detach)_volume',
        lock: 'cinder/volume/{id}',
        holder: 'cinder-volume',
      },
    ],
    unfenced: true,
  },
}

describe.skipIf(!etcdAvailable())('etcd with authentication', () => {
  let etcd: EtcdCluster
  let fleet: Fleet | null = null
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1, authTokenTtlSeconds: 2 })
    await etcd.etcdctl(['user', 'add', 'root:secret'])
    await etcd.etcdctl(['user', 'grant-role', 'root', 'root'])
    await etcd.etcdctl(['role', 'add', 'gateway'])
    // Both prefixes to read and write; to read, all that lies between them, as one watch covers it.
    for (const prefix of ['/fencegate/', '/tooz/locks'])
      await etcd.etcdctl(['role', 'grant-permission', '--prefix', 'gateway', 'readwrite', prefix])
    await etcd.etcdctl(['role', 'grant-permission', 'gateway', 'read', '/fencegate/', '/tooz/lockt'])
    await etcd.etcdctl(['role', 'add', 'reader'])
    await etcd.etcdctl(['role', 'grant-permission', 'reader', 'read', '/fencegate/', '/tooz/lockt'])
    await etcd.etcdctl(['role', 'add', 'narrow'])
    await etcd.etcdctl(['role', 'grant-permission', '--prefix', 'narrow', 'readwrite', '/fencegate/'])
    for (const role of ['gateway', 'narrow', 'reader']) {
      await etcd.etcdctl(['user', 'add', `${role}:secret`])
      await etcd.etcdctl(['user', 'grant-role', role, role])
    }
    await etcd.etcdctl(['auth', 'enable'])
  })
  afterAll(() => etcd.stop())
  afterEach(async () => {
    await fleet?.close()
    fleet = null
  })

  const asRoot = (...args: string[]) => etcd.etcdctl(['--user', 'root:secret', ...args])

  async function open(username: string, password: string): Promise<Fleet> {
    fleet = await openFleet({
      etcd,
      prefix: '/fencegate',
      gateways: 1,
      volumes: 1,
      config: {
        store: { etcd: { endpoints: etcd.endpoints, prefix: '/fencegate', username, password } },
        sources: SOURCES,
        shutdown: { delay: 0 },
      },
      quiet: 1,
    })
    return fleet
  }

  test('a foreign client’s key opens the gateway to its token, as long as it is there', async () => {
    const opened = await open('gateway', 'secret')
    const place = opened.place(0)
    await opened.start(place)
    const control = new ControlClient(place.control)
    const write = async (token: string) => {
      const url = `${place.volumes}/v3/p/volumes/${volumeId(0)}/metadata`
      const call = { headers: { 'fencing-token': token }, body: { metadata: { token } } }
      return (await send(url, call)).status
    }
    const [, lease = ''] = /lease (\w+) granted/.exec(await asRoot('lease', 'grant', '60')) ?? []
    await asRoot('put', KEY, 'a uuid of tooz', `--lease=${lease}`)
    const answer: { kvs: { create_revision: number }[] } = JSON.parse(await asRoot('get', KEY, '-w', 'json'))
    const token = String(answer.kvs[0]?.create_revision)
    await expect.poll(() => write(token), { timeout: 10_000 }).toBe(200)

    // The mode of such a lock is not ours to change: its client keeps a key that knows of no modes.
    const change = { method: 'PUT', body: { session: lease.replace(/^0+/, ''), token, mode: 'shared' } }
    const refusal = await send(`${control.lockUrl(lockOf(0))}/mode`, change)
    expect(refusal.status).toBe(404)
    expect(JSON.parse(refusal.body)).toMatchObject({
      type: 'urn:fencegate:error:session-unknown',
      detail: expect.stringContaining('source tooz'),
    })
    expect(await write(token)).toBe(200)

    // Past the log-in's end, which is renewed by itself.
    const session = await control.openSession({ ttl: 30, holder: 'h' })
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(await write(token)).toBe(200)
    const taking = control.take(lockOf(0), session, 20)
    await asRoot('del', KEY)
    const next = await taking
    expect(Number(next)).toBeGreaterThan(Number(token))
    expect(await write(next)).toBe(200)
    expect(await write(token)).toBe(412)
  }, 120_000)

  test('a wrong password, and a role that does not cover the range that is watched, are said, and nothing starts', async () => {
    for (const [username, password, words] of [
      ['gateway', 'guess', /authentication failed/],
      ['narrow', 'secret', /permission denied/],
      // It loads and watches, and fails only when it registers: it has to end all the same.
      ['reader', 'secret', /permission denied/],
    ] as const) {
      const opened = await open(username, password)
      await expect(opened.start(opened.place(0))).rejects.toThrow(words)
      await opened.close()
      fleet = null
    }
  }, 120_000)
})
