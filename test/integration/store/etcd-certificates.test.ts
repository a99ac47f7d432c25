// etcd that lets in only who shows a certificate of its authority, and gateways that show the right one, a wrong one or none.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Revision } from '../../../gateway/core/names.ts'
import type { EtcdTls } from '../../../gateway/store/etcd/connection.ts'
import { type EtcdStore, openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { Authority, type Pair } from '../../support/certificates.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { WatchRecorder } from '../../support/watch-recorder.ts'

describe.skipIf(!etcdAvailable())('etcd that asks for client certificates', () => {
  const authority = new Authority()
  const stranger = new Authority()
  let etcd: EtcdCluster
  let named: EtcdCluster
  const stores: EtcdStore[] = []
  beforeAll(async () => {
    const start = (names: string) => {
      const { certFile: cert, keyFile: key } = authority.sign('/CN=etcd', names)
      return startEtcd({ certificates: { ca: authority.file, cert, key } })
    }
    etcd = await start('IP:127.0.0.1')
    named = await start('DNS:etcd.example.com')
  })
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
  })
  afterAll(async () => {
    await etcd.stop()
    await named.stop()
    authority.remove()
    stranger.remove()
  })

  function open(
    own: Pair | null,
    { at = etcd, ...tls }: EtcdTls & { readonly at?: EtcdCluster } = {},
  ): EtcdStore {
    const shown = own === null ? {} : { cert: Buffer.from(own.cert), key: Buffer.from(own.key) }
    const store = openEtcdStore({
      endpoints: at.endpoints,
      clock: systemClock,
      requestTimeoutMs: 5_000,
      watchSilentMs: 1_000,
      tls: { ca: Buffer.from(authority.pem), ...shown, ...tls },
    })
    stores.push(store)
    return store
  }

  test('serves whoever shows one of its authority, transactions, leases and watches', async () => {
    const store = open(authority.sign('/CN=gateway-1'))
    const { lease } = await store.grantLease(60_000)
    const put = await store.transact({ compare: [], writes: [{ put: '/a', value: 'x', lease }] })
    const seen = new WatchRecorder()
    store.watch('/', (put.revision - 1) as Revision, seen)
    await seen.untilRevision(put.revision)
    expect(await store.keepAlive(lease)).not.toBeNull()
  })

  test.each([
    [
      'none',
      (): Pair | null => null,
      /etcd asks for a client certificate: store\.etcd\.tls has none \(cert and key\)/,
    ],
    [
      'one of another authority',
      (): Pair => stranger.sign('/O=cloud/CN=gateway-1'),
      /etcd refuses the certificate of store\.etcd\.tls \(O=cloud, CN=gateway-1, signed by CN=authority\): bad certificate; its authority has to be/,
    ],
    [
      'one that is over',
      (): Pair => authority.signExpired('/CN=gateway-1'),
      /the certificate of store\.etcd\.tls \(CN=gateway-1\) was valid until .* GMT: renew it/,
    ],
  ] as const)('refuses %s, and it is said in words', async (_what, own, words) => {
    await expect(open(own()).currentRevision()).rejects.toThrow(words)
  })

  test('is not trusted where another authority has signed for it', async () => {
    const store = open(authority.sign('/CN=gateway-1'), { ca: Buffer.from(stranger.pem) })
    await expect(store.currentRevision()).rejects.toThrow(
      /unable to verify the first certificate|self-signed/,
    )
  })

  test('may be known by another name than its address, and unverified only where that was asked for', async () => {
    const own = authority.sign('/CN=gateway-1')
    await expect(open(own, { at: named }).currentRevision()).rejects.toThrow(
      /altnames|not in the cert's list/,
    )
    const wrong = open(own, { at: named, serverName: 'etcd.example.org' })
    await expect(wrong.currentRevision()).rejects.toThrow(/altnames/)
    expect(await open(own, { at: named, serverName: 'etcd.example.com' }).currentRevision()).toBeGreaterThan(
      0,
    )
    const stranded = { at: named, ca: Buffer.from(stranger.pem) }
    expect(await open(own, { ...stranded, verify: false }).currentRevision()).toBeGreaterThan(0)
  })

  test('is shown what was renewed, by calls that come after it, and watches go on', async () => {
    const store = open(authority.sign('/CN=gateway-1'))
    const before = await store.transact({ compare: [], writes: [{ put: '/renewed', value: 'a' }] })
    const seen = new WatchRecorder()
    store.watch('/renewed', (before.revision - 1) as Revision, seen)
    await seen.untilRevision(before.revision)
    const ca = Buffer.from(authority.pem)
    const shown = ({ cert, key }: Pair): EtcdTls => ({ ca, cert: Buffer.from(cert), key: Buffer.from(key) })
    // Sound, and of nobody whom etcd trusts: that calls fail shows that it is this one which they show.
    store.renewTls(shown(stranger.sign('/CN=gateway-2')))
    await expect(store.currentRevision()).rejects.toThrow(/refuses the certificate .*CN=gateway-2/)
    store.renewTls(shown(authority.sign('/CN=gateway-3')))
    const after = await store.transact({ compare: [], writes: [{ put: '/renewed', value: 'b' }] })
    await seen.untilRevision(after.revision)
    expect(seen.failures).toEqual([])
  })

  test('is shown by a gateway that runs what was renewed on disk, and never half of it', async () => {
    const folder = new GatewayFolder()
    const [certFile, keyFile] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')]
    try {
      const [first, second] = [authority.sign('/CN=gateway-1'), authority.sign('/CN=gateway-2')]
      const other = stranger.sign('/CN=gateway-3')
      writeFileSync(certFile, first.cert)
      writeFileSync(keyFile, first.key)
      const tls = { ca: authority.file, cert: 'cert.pem', key: 'key.pem' }
      folder.configure({ store: { etcd: { endpoints: etcd.endpoints, tls } } })
      const gateway = await folder.start()
      const openSession = async () => {
        const body = JSON.stringify({ ttl: 60, holder: { id: 'h' } })
        const headers = { 'content-type': 'application/json' }
        const answer = await fetch(`${gateway.control}/v1/sessions`, { method: 'POST', headers, body })
        return `${answer.status} ${await answer.text()}`
      }
      expect(await openSession()).toMatch(/^201/)
      const within = { timeout: 20_000, interval: 100 }
      writeFileSync(certFile, second.cert)
      await expect.poll(() => gateway.output(), within).toMatch(/not reloaded.*/)
      expect(gateway.output()).toContain('the key is not that of the certificate')
      expect(await openSession()).toMatch(/^201/)
      writeFileSync(keyFile, second.key)
      await expect.poll(() => gateway.output(), within).toMatch(/certificates towards the store were renewed/)
      expect(await openSession()).toMatch(/^201/)
      // On a signal at once.
      writeFileSync(certFile, other.cert)
      writeFileSync(keyFile, other.key)
      process.kill(gateway.pid, 'SIGHUP')
      await expect.poll(openSession, within).toMatch(/^503/)
      writeFileSync(certFile, second.cert)
      writeFileSync(keyFile, second.key)
      process.kill(gateway.pid, 'SIGHUP')
      await expect.poll(openSession, within).toMatch(/^201/)
      expect(gateway.output()).not.toContain('only after a restart')
    } finally {
      await folder.remove()
    }
  }, 90_000)

  test('serves a gateway as it is configured, and one that shows a wrong certificate says which and does not start', async () => {
    const folder = new GatewayFolder()
    try {
      const configure = ({ certFile, keyFile }: { certFile: string; keyFile: string }) => {
        const tls = { ca: authority.file, cert: certFile, key: keyFile, serverName: 'etcd.example.com' }
        folder.configure({ store: { etcd: { endpoints: named.endpoints, tls } } })
      }
      configure(stranger.sign('/CN=gateway-1'))
      await expect(folder.start()).rejects.toThrow(
        /the store does not answer: .*etcd refuses the certificate of store\.etcd\.tls \(CN=gateway-1/,
      )
      configure(authority.sign('/CN=gateway-1'))
      await folder.start()
    } finally {
      await folder.remove()
    }
  }, 60_000)
})
