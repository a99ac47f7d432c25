// What locks cost over etcd, beside etcd itself in the same run: acquire and release by many clients, a handover among three
// gateways, and how soon all of them refuse a holder whose lease has run out. Started as `node locks.ts [SECONDS [ROUNDS]]`; it
// writes one line `RESULT {…}` and ends. Gateways are processes as users run them; clients speak HTTP to their control API.

import { createServer } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { z } from 'zod'
import type { LeaseId } from '../../../gateway/core/names.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { median } from '../median.ts'
import { cpuMicroseconds } from '../readings.ts'

const CLIENTS = 64
const GATEWAYS = 3
const EXPIRY_TTL_SECONDS = 2
const EXPIRIES_AT_ONCE = 2
const EXPIRIES_MAX = 40
/** Six callers at once: faster, they would measure how they keep one another waiting. */
const CALL_EVERY_MS = 4
/** Of one pair, whatever the number of gateways: key, grant, seal with the key's end, end of the record. */
const TRANSACTIONS_NEEDED = 4
const [secondsText = '5', roundsText = '50'] = process.argv.slice(2)
const SECONDS = Number(secondsText)
/** Before these the code is not compiled yet, in the gateways as in here. */
const WARM_UP_ROUNDS = 60
const ROUNDS = Number(roundsText)

const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 60_000 })
const Opened = z.looseObject({ session: z.string() })
const Granted = z.looseObject({ token: z.string() })

async function ask(base: string, method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
  const answer = await request(`${base}${path}`, {
    dispatcher: agent,
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  const text = await answer.body.text()
  if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

async function open(base: string, ttl: number): Promise<string> {
  return Opened.parse(await ask(base, 'POST', '/v1/sessions', { ttl, holder: { id: 'bench' } })).session
}

async function acquire(base: string, session: string, lock: string, wait: number): Promise<number> {
  const path = `/v1/locks/${encodeURIComponent(lock)}`
  return Number(Granted.parse(await ask(base, 'POST', path, { session, wait })).token)
}

async function release(base: string, session: string, lock: string): Promise<void> {
  await ask(base, 'DELETE', `/v1/locks/${encodeURIComponent(lock)}?session=${session}`)
}

/** Repeats `act` in `CLIENTS` lanes for some time; how often a second. */
async function rateOf(act: (lane: number) => Promise<void>): Promise<number> {
  const endMs = performance.now() + SECONDS * 1000
  let count = 0
  const startMs = performance.now()
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, lane) => {
      while (performance.now() < endMs) {
        await act(lane)
        count++
      }
    }),
  )
  return count / ((performance.now() - startMs) / 1000)
}

/** As many compare-and-swaps in a row as a pair needs, on keys of their own, by the client that the gateway uses. */
async function bareRate(store: Store, lease: LeaseId, steps = TRANSACTIONS_NEEDED): Promise<number> {
  const value = 'x'.repeat(300)
  return await rateOf(async (lane) => {
    const key = `/bare/${lane}`
    let modRevision = 0
    for (let step = 0; step < steps; step++) {
      const last = step === steps - 1
      const { revision } = await store.transact({
        compare: [step === 0 ? { key, createRevision: 0 } : { key, modRevision }],
        writes: [last && step > 0 ? { delete: key } : { put: key, value, ...(step === 0 ? { lease } : {}) }],
      })
      modRevision = revision
    }
    if (steps === 1) await store.transact({ compare: [], writes: [{ delete: key }] })
  })
}

async function pairRates(gateways: readonly GatewayProcess[], store: Store) {
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  const sessions = await Promise.all(Array.from({ length: CLIENTS }, () => open(gateway.control, 120)))
  const pair = async (lane: number): Promise<void> => {
    const session = sessions[lane] ?? ''
    // The release before may still be waited for by the other gateways.
    await acquire(gateway.control, session, `bench/${lane}`, 30)
    await release(gateway.control, session, `bench/${lane}`)
  }
  const revision = () => store.currentRevision()
  await pair(0)
  // Heartbeats raise the revision too; two hundred pairs in a row make them few.
  const before = await revision()
  for (let i = 0; i < 200; i++) await pair(0)
  const revisions = ((await revision()) - before) / 200
  const { lease } = await store.grantLease(120_000)
  const bare = await bareRate(store, lease)
  const cpuBeforeUs = cpuMicroseconds(gateways.map(({ pid }) => pid))
  const beganMs = performance.now()
  const pairs = await rateOf(pair)
  const count = (pairs * (performance.now() - beganMs)) / 1000
  const cpuUs = (cpuMicroseconds(gateways.map(({ pid }) => pid)) - cpuBeforeUs) / count
  const again = await bareRate(store, lease)
  return { revisions, pairs, bare: Math.max(bare, again), ratio: pairs / Math.max(bare, again), cpuUs }
}

async function handovers(
  gateways: readonly GatewayProcess[],
  store: Store,
  relay: Awaited<ReturnType<typeof startRelay>>,
) {
  const relays: number[] = []
  const roundTrips: number[] = []
  const latencies: number[] = []
  const sessions = await Promise.all(gateways.map((gateway) => open(gateway.control, 120)))
  const at = (round: number) => {
    const gateway = gateways[round % GATEWAYS]
    const session = sessions[round % GATEWAYS]
    if (gateway === undefined || session === undefined) throw new Error('no gateway')
    return { base: gateway.control, session }
  }
  await acquire(at(0).base, at(0).session, 'bench/handover', 0)
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    const [from, to] = [at(round), at(round + 1)]
    let got = 0
    const waiting = acquire(to.base, to.session, 'bench/handover', 30).then(() => {
      got = performance.now()
    })
    // The waiter is in the queue of every gateway by then.
    await sleep(100)
    const startMs = performance.now()
    await store.transact({ compare: [], writes: [{ put: '/mark', value: '' }] })
    roundTrips.push(performance.now() - startMs)
    relays.push(await relay.run())
    const releasedMs = performance.now()
    await Promise.all([release(from.base, from.session, 'bench/handover'), waiting])
    latencies.push(got - releasedMs)
    if (round + 1 === WARM_UP_ROUNDS)
      for (const figures of [roundTrips, relays, latencies]) figures.length = 0
  }
  const roundTripMs = median(roundTrips)
  const handoverMs = median(latencies)
  return {
    roundTripMs,
    relayMs: median(relays),
    handoverMs,
    worstMs: Math.max(...latencies),
    roundTrips: handoverMs / roundTripMs,
    relays: handoverMs / median(relays),
  }
}

/**
 * What three transactions in a row cost where each is written by another client as soon as it has seen the one before: the
 * bare minimum of a handover. All in one process, so without the time in which three gateways get their turn.
 */
async function startRelay(endpoints: readonly string[]) {
  const runners = Array.from({ length: GATEWAYS }, () =>
    openEtcdStore({ endpoints: [...endpoints], clock: systemClock }),
  )
  const listeners: (() => void)[] = []
  for (const [i, runner] of runners.entries())
    runner.watch('/relay', await runner.currentRevision(), {
      revision: () => listeners[i]?.(),
      progress: () => undefined,
      failed: ({ message }) => {
        throw new Error(message)
      },
    })
  return {
    async run(): Promise<number> {
      const startMs = performance.now()
      for (const [i, runner] of runners.entries()) {
        const seen = new Promise<void>((resolve) => {
          listeners[(i + 1) % runners.length] = resolve
        })
        await Promise.all([seen, runner.transact({ compare: [], writes: [{ put: '/relay', value: '' }] })])
      }
      return performance.now() - startMs
    },
    close: () => Promise.all(runners.map((runner) => runner.close())),
  }
}

async function expiries(gateways: readonly GatewayProcess[], store: Store) {
  const delays: number[] = []
  const calls: number[] = []
  const gone = new Map<string, number>()
  const watch = store.watch('/fencegate/locks/', await store.currentRevision(), {
    revision: (_revision, events) => {
      for (const event of events) if (event.type === 'delete') gone.set(event.key, performance.now())
    },
    progress: () => undefined,
    failed: ({ message }) => {
      throw new Error(message)
    },
  })
  for (let round = 0; round * EXPIRIES_AT_ONCE < Math.min(ROUNDS, EXPIRIES_MAX); round++)
    await Promise.all(
      Array.from({ length: EXPIRIES_AT_ONCE }, async (_, lane) => {
        const id = `5aa10000-0000-4000-8000-${String(round * EXPIRIES_AT_ONCE + lane).padStart(12, '0')}`
        const lock = `cinder/volume/${id}`
        const first = gateways[0]
        if (first === undefined) throw new Error('no gateway')
        const session = await open(first.control, EXPIRY_TTL_SECONDS)
        const token = await acquire(first.control, session, lock, 0)
        const key = `/fencegate/locks/${encodeURIComponent(lock)}/${session}`
        const refused = await Promise.all(gateways.map((gateway) => refusedAt(gateway, id, token)))
        while (!gone.has(key)) await sleep(1)
        const goneMs = gone.get(key) ?? 0
        for (const { sentMs, answeredMs } of refused) {
          delays.push(answeredMs - goneMs)
          calls.push(answeredMs - sentMs)
        }
      }),
    )
  watch.close()
  return {
    medianMs: median(delays),
    worstMs: Math.max(...delays),
    callMs: median(calls),
    callWorstMs: Math.max(...calls),
    seen: delays.length,
  }
}

/** Calls until the gateway refuses; when the refused call was sent, and when it was answered. */
async function refusedAt(gateway: GatewayProcess, id: string, token: number) {
  for (;;) {
    const sentMs = performance.now()
    const answer = await request(`${gateway.backend('cinder')}/v3/p/volumes/${id}`, {
      dispatcher: agent,
      method: 'PUT',
      headers: { 'fencing-token': String(token), 'content-type': 'application/json' },
      body: '{"volume":{"name":"x"}}',
    })
    await answer.body.dump()
    if (answer.statusCode !== 200) return { sentMs, answeredMs: performance.now() }
    await sleep(CALL_EVERY_MS)
  }
}

const upstream = createServer((incoming, response) => {
  incoming.resume()
  response.end('{}')
})
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
const address = upstream.address()
const port = address !== null && typeof address === 'object' ? address.port : 0
const etcd = await startEtcd({ fsync: true })
const folders = Array.from({ length: GATEWAYS }, () => new GatewayFolder())
const store = openEtcdStore({ endpoints: [...etcd.endpoints], clock: systemClock })
try {
  const gateways = await Promise.all(
    folders.map((folder) => {
      folder.configure({
        store: { etcd: { endpoints: [...etcd.endpoints] } },
        log: { level: 'warn' },
        sessions: { ttlMin: 1 },
        backends: {
          cinder: { listen: '127.0.0.1:0', upstream: `http://127.0.0.1:${port}`, policy: 'cinder', quiet: 1 },
        },
      })
      return folder.start()
    }),
  )
  const relay = await startRelay(etcd.endpoints)
  const handover = await handovers(gateways, store, relay)
  await relay.close()
  const expiry = await expiries(gateways, store)
  const pairs = await pairRates(gateways, store)
  process.stdout.write(`\nRESULT ${JSON.stringify({ handover, expiry, pairs })}\n`)
} finally {
  await store.close()
  await Promise.all(folders.map((folder) => folder.remove()))
  await etcd.stop()
  await agent.destroy()
  upstream.close()
}
