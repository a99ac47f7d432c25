// The etcd store where the cluster is slow, silent, cut off, half gone, or guarded.

import { afterEach, describe, expect, test } from 'vitest'
import type { Revision } from '../../../gateway/core/names.ts'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { type EtcdStore, openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, type EtcdOptions, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { WatchRecorder } from '../../support/watch-recorder.ts'
import { Relay } from './relay.ts'

const REQUEST_TIMEOUT_MS = 1_500
const WATCH_SILENT_MS = 500

/** For a timer that runs late on a busy machine. */
const SLACK_MS = 1_000

const clean: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

async function cluster(options?: EtcdOptions): Promise<EtcdCluster> {
  const started = await startEtcd(options)
  clean.push(() => started.stop())
  return started
}

function open(
  endpoints: readonly string[],
  options: Partial<Parameters<typeof openEtcdStore>[0]> = {},
): EtcdStore {
  const store = openEtcdStore({
    endpoints,
    clock: systemClock,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    watchSilentMs: WATCH_SILENT_MS,
    ...options,
  })
  clean.push(() => store.close())
  return store
}

async function put(store: EtcdStore, key: string, value = ''): Promise<Revision> {
  return (await store.transact({ compare: [], writes: [{ put: key, value }] })).revision
}

/** The result of the first attempt that is answered. */
async function eventually<T>(attempt: () => Promise<T>, waitMs = 20_000): Promise<T> {
  const untilMs = performance.now() + waitMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || performance.now() > untilMs) throw error
    }
  }
}

async function timed(run: () => Promise<unknown>): Promise<{ readonly error: unknown; readonly ms: number }> {
  const beginMs = performance.now()
  const error = await run().then(
    () => null,
    (reason: unknown) => reason,
  )
  return { error, ms: performance.now() - beginMs }
}

describe.skipIf(!etcdAvailable())('the etcd store', () => {
  test('with a member that is stopped: every call is unavailable in time, the watch is lost, and both come back', async () => {
    const etcd = await cluster()
    const member = etcd.member(0)
    const store = open(etcd.endpoints)
    const { lease } = await store.grantLease(60_000)
    const revision = await put(store, '/a')
    const quiet = new WatchRecorder()
    store.watch('/', revision, quiet)
    // A quiet stream that is alive is no broken one.
    await new Promise((resolve) => setTimeout(resolve, 2 * (WATCH_SILENT_MS + REQUEST_TIMEOUT_MS)))
    expect(quiet.failures).toEqual([])

    etcd.freeze(member)
    const frozenMs = performance.now()
    const lost = quiet.until(({ failures }) => failures.length > 0).then(() => performance.now() - frozenMs)
    const calls: Record<string, () => Promise<unknown>> = {
      transaction: () => put(store, '/b'),
      'read at': () => store.read('/'),
      'read the revision': () => store.currentRevision(),
      'grant a lease': () => store.grantLease(1_000),
      'keep a lease alive': () => store.keepAlive(lease),
      'revoke a lease': () => store.revokeLease(lease),
    }
    await Promise.all(
      Object.entries(calls).map(async ([operation, call]) => {
        const { error, ms } = await timed(call)
        expect(error).toBeInstanceOf(StoreUnavailable)
        expect(String(error)).toContain(operation)
        expect(String(error)).toContain(member.endpoint)
        expect(ms).toBeLessThan(REQUEST_TIMEOUT_MS + SLACK_MS)
      }),
    )
    // The first transaction after a failure looks for a member first: two time-outs at most.
    const again = await timed(() => put(store, '/b'))
    expect(again.error).toBeInstanceOf(StoreUnavailable)
    expect(again.ms).toBeLessThan(2 * REQUEST_TIMEOUT_MS + SLACK_MS)
    expect(await lost).toBeLessThan(WATCH_SILENT_MS + REQUEST_TIMEOUT_MS + SLACK_MS)
    expect(quiet.calls).toMatchObject([{ type: 'failed', kind: 'lost' }])
    const during = new WatchRecorder()
    store.watch('/', revision, during)
    await during.until(({ failures }) => failures.length > 0)
    expect(during.failures).toMatchObject([{ kind: 'lost' }])

    etcd.thaw(member)
    const after = await eventually(() => put(store, '/c'))
    const seen = new WatchRecorder()
    store.watch('/', (after - 1) as Revision, seen)
    await seen.untilRevision(after)
    expect(quiet.calls).toHaveLength(1)
  }, 60_000)

  test('sends a transaction once: one whose answer was lost is unavailable, and not reported as failed', async () => {
    const etcd = await cluster()
    const relay = await Relay.open(etcd.member(0).endpoint)
    clean.push(() => relay.close())
    // A second way to the member, which would answer at once.
    const store = open([relay.endpoint, ...etcd.endpoints])
    const direct = open(etcd.endpoints)
    const before = await put(store, '/first')
    relay.loseAnswers(true)
    const lost = store.transact({
      compare: [{ key: '/once', createRevision: 0 }],
      writes: [{ put: '/once', value: '' }],
    })
    const outcome = expect(lost).rejects.toBeInstanceOf(StoreUnavailable)
    const arrived = new WatchRecorder()
    direct.watch('/once', before, arrived)
    await arrived.until(({ revisions }) => revisions.length > 0)
    relay.loseAnswers(false)
    relay.breakConnections()
    await outcome
    expect((await eventually(() => store.read('/once'))).items).toHaveLength(1)
    expect(await store.currentRevision()).toBe(before + 1)
  })

  test('reports a watch as lost when its connection breaks, and begins none by itself', async () => {
    const etcd = await cluster()
    const relay = await Relay.open(etcd.member(0).endpoint)
    clean.push(() => relay.close())
    const store = open([relay.endpoint])
    const revision = await put(store, '/a')
    const seen = new WatchRecorder()
    const watch = store.watch('/', revision, seen)
    await seen.untilRevision(await put(store, '/b'))
    relay.breakConnections()
    await seen.until(({ failures }) => failures.length > 0, WATCH_SILENT_MS)
    await eventually(() => put(store, '/c'))
    watch.requestProgress()
    expect(seen.calls.map(({ type }) => type)).toEqual(['revision', 'failed'])
    watch.close()
  })

  test('reports a compacted history as such, and leaves a watch that has seen it alone', async () => {
    const etcd = await cluster()
    const store = open(etcd.endpoints)
    const first = await put(store, '/a', '1')
    const follower = new WatchRecorder()
    store.watch('/', first, follower)
    const last = await put(store, '/a', '2')
    await follower.untilRevision(await put(store, '/a', '3'))
    await etcd.etcdctl(['compaction', String(last + 1)])
    const late = new WatchRecorder()
    store.watch('/', first, late)
    await late.until(({ calls }) => calls.length > 0)
    expect(late.calls).toMatchObject([{ type: 'failed', kind: 'compacted' }])
    const { revision, items } = await store.read('/')
    expect(items.map(({ value }) => value)).toEqual(['3'])
    await follower.untilRevision(await put(store, '/a', '4'))
    expect(follower.revisions.map((call) => call.revision)).toEqual([last, last + 1, revision + 1])
  })

  test('reads and replays more than the four megabytes of one message', async () => {
    const etcd = await cluster()
    const store = open(etcd.endpoints)
    const before = await store.currentRevision()
    for (let index = 0; index < 7; index++) await put(store, `/${index}`, 'x'.repeat(1_000_000))
    expect((await store.read('/')).items.map(({ value }) => value.length)).toEqual(Array(7).fill(1_000_000))
    const seen = new WatchRecorder()
    store.watch('/', before, seen)
    await seen.until(({ revisions }) => revisions.length === 7)
  })

  test('goes on with two of three members, whichever is gone, and asks the next where one is down from the start', async () => {
    const etcd = await cluster({ members: 3 })
    const store = open(etcd.endpoints)
    let keys = 0
    for (const member of etcd.members) {
      const revision = await eventually(() => put(store, `/${keys}`))
      keys++
      const seen = new WatchRecorder()
      store.watch('/', revision, seen)
      await etcd.kill(member)
      const next = await eventually(() => put(store, `/${keys}`))
      keys++
      // The watch went on, or it said that it did not: never neither.
      await seen.until(({ revisions, failures }) => revisions.length + failures.length > 0)
      if (seen.failures.length === 0) expect(seen.revisions[0]?.revision).toBeGreaterThan(revision)
      expect((await eventually(() => store.read('/'))).revision).toBeGreaterThanOrEqual(next)
      const fresh = open([
        member.endpoint,
        ...etcd.endpoints.filter((endpoint) => endpoint !== member.endpoint),
      ])
      await put(fresh, `/${keys++}`)
      const { lease } = await fresh.grantLease(5_000)
      expect(await fresh.keepAlive(lease)).not.toBeNull()
      const late = new WatchRecorder()
      fresh.watch('/', revision, late)
      await late.until(({ revisions }) => revisions.length > 0)
      await etcd.restart(member)
    }
    expect((await eventually(() => store.read('/'))).items).toHaveLength(keys)
  }, 90_000)

  test('reads past a member that is stopped within the time of one request', async () => {
    const etcd = await cluster({ members: 3 })
    const store = open(etcd.endpoints)
    await put(store, '/a')
    etcd.freeze(etcd.member(0))
    const { error, ms } = await timed(() => eventually(() => put(open(etcd.endpoints), '/b')))
    expect(error).toBeNull()
    expect(ms).toBeLessThan(4 * REQUEST_TIMEOUT_MS)
    etcd.thaw(etcd.member(0))
  }, 60_000)

  test('without a quorum refuses reads and writes, and ends its watches', async () => {
    const etcd = await cluster({ members: 3 })
    const survivor = etcd.member(0)
    const store = open([survivor.endpoint])
    const revision = await put(store, '/a')
    const seen = new WatchRecorder()
    store.watch('/', revision, seen)
    await seen.untilRevision(await put(store, '/b'))
    await etcd.kill(etcd.member(1))
    await etcd.kill(etcd.member(2))
    const cutOffMs = performance.now()
    const lost = seen.until(({ failures }) => failures.length > 0).then(() => performance.now() - cutOffMs)
    for (const call of [() => store.read('/'), () => store.currentRevision(), () => put(store, '/c')])
      await expect(call()).rejects.toBeInstanceOf(StoreUnavailable)
    // The survivor itself still answers; that it has no leader it notices after a few of its election time-outs.
    expect(await lost).toBeLessThan(5_000)
    expect(seen.failures).toMatchObject([{ kind: 'lost', message: expect.stringContaining('no leader') }])
  }, 60_000)

  test('keeps a watch that works beside a call that does not', async () => {
    const etcd = await cluster()
    const member = etcd.member(0)
    const store = open(etcd.endpoints, { requestTimeoutMs: 500, watchSilentMs: 60_000 })
    const seen = new WatchRecorder()
    store.watch('/', await store.currentRevision(), seen)
    await seen.untilRevision(await put(store, '/a'))
    etcd.freeze(member)
    await expect(store.read('/')).rejects.toBeInstanceOf(StoreUnavailable)
    etcd.thaw(member)
    // Past the transport's next ping, which is when a channel that was closed meanwhile would break.
    await new Promise((resolve) => setTimeout(resolve, 11_000))
    await seen.untilRevision(await eventually(() => put(store, '/b')))
    expect(seen.failures).toEqual([])
  }, 30_000)

  test('keeps its connections while nobody calls, and etcd does not take its pings for an attack', async () => {
    const pingMs = 100
    const etcd = await cluster({ pingMsMin: pingMs / 2 })
    const relay = await Relay.open(etcd.member(0).endpoint)
    clean.push(() => relay.close())
    const store = open([relay.endpoint], { pingMs, watchSilentMs: 60_000 })
    const seen = new WatchRecorder()
    store.watch('/', await store.currentRevision(), seen)
    await seen.untilRevision(await put(store, '/a'))
    const { accepted } = relay
    await new Promise((resolve) => setTimeout(resolve, 20 * pingMs))
    await seen.untilRevision(await put(store, '/b'))
    expect(relay.accepted).toBe(accepted)
    // Of the two the one with the watch is asked all the same: it learns soon that its peer is gone.
    relay.cut()
    await new Promise((resolve) => setTimeout(resolve, 5_000 + 10 * pingMs + SLACK_MS))
    expect(seen.failures).toMatchObject([
      { kind: 'lost', message: expect.stringMatching(/keepalive|connection/i) },
    ])
  }, 30_000)

  test('logs in, and again when the log-in has run out', async () => {
    const etcd = await cluster({ authTokenTtlSeconds: 1 })
    await etcd.etcdctl(['user', 'add', 'root:secret'])
    await etcd.etcdctl(['user', 'grant-role', 'root', 'root'])
    await etcd.etcdctl(['auth', 'enable'])
    await expect(open(etcd.endpoints).read('/')).rejects.toThrow(/user name is empty|permission denied/)
    const wrong = open(etcd.endpoints, { auth: { username: 'root', password: 'guess' } })
    await expect(wrong.read('/')).rejects.toBeInstanceOf(StoreUnavailable)

    const store = open(etcd.endpoints, { auth: { username: 'root', password: 'secret' } })
    const { lease } = await store.grantLease(60_000)
    const revision = await put(store, '/a')
    const seen = new WatchRecorder()
    store.watch('/', revision, seen)
    await seen.untilRevision(await put(store, '/b'))
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    await seen.untilRevision(await put(store, '/c'))
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    expect(await store.keepAlive(lease)).not.toBeNull()
    // A watch may find out that the log-in has run out; the read that has to follow mends it.
    const late = new WatchRecorder()
    store.watch('/', revision, late)
    await late.until(({ calls }) => calls.length > 0)
    await store.read('/')
    const next = new WatchRecorder()
    store.watch('/', revision, next)
    await next.until(({ revisions }) => revisions.length === 2)
  }, 60_000)

  test('speaks TLS, and only with a member that it can trust', async () => {
    const etcd = await cluster({ tls: true })
    const store = open(etcd.endpoints, { tls: { ca: etcd.certificate(etcd.member(0)) } })
    const revision = await put(store, '/a')
    const seen = new WatchRecorder()
    store.watch('/', (revision - 1) as Revision, seen)
    await seen.untilRevision(revision)
    await expect(put(open(etcd.endpoints), '/b')).rejects.toThrow(/self.signed certificate/)
  })

  test('takes no certificate for another address or name than the one that it asks', async () => {
    const etcd = await cluster({ tls: true })
    const member = etcd.member(0)
    const other = await Relay.open(member.endpoint, '127.0.0.2')
    clean.push(() => other.close())
    const tls = { ca: etcd.certificate(member) }
    const { port } = new URL(member.endpoint)
    // The certificate is for 127.0.0.1 alone, and 127.0.0.2 is loopback too.
    for (const url of [`https://localhost:${port}`, `https://127.0.0.2:${new URL(other.endpoint).port}`])
      await expect(put(open([url], { tls }), '/a')).rejects.toThrow(/not in the cert's list|altnames/)
    await put(open([`https://127.0.0.1:${port}`], { tls }), '/a')
  })
})
