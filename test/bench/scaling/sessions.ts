// Cost as sessions grow, over etcd: to renew one, to keep them all in mind, and to start a gateway when they are there.

import { setTimeout as sleep } from 'node:timers/promises'
import type { LeaseId } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { sessionRecords } from '../../../gateway/locking/records.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import type { LoadGenerator } from '../load/generator.ts'
import { median } from '../median.ts'
import { cpuMicroseconds, residentBytes } from '../readings.ts'
import { type Chart, only, type Point } from './curve.ts'

const SIZES = [100, 1_000, 10_000, 100_000]
const TTL_MS = 3_600_000
/** In one transaction, which etcd bounds. */
const OPENED_TOGETHER = 50
const WRITES_IN_FLIGHT = 4
const CONNECTIONS = 16
/** Enough to tell the sessions apart; a generator need not hold more. */
const RENEWED_MAX = 10_000
const IDLE_MS = 2_000

interface Options {
  readonly generator: LoadGenerator
  readonly samples: number
  readonly seconds: number
}

interface Reading {
  readonly sessions: number
  readonly startMs: number
  readonly bytes: number
  readonly idlePerMille: number
  readonly renewal: { readonly gateway: number; readonly etcd: number }
}

export async function measureSessions(options: Options): Promise<readonly Chart[]> {
  const etcd = await startEtcd()
  const store = openEtcdStore({ endpoints: [etcd.member(0).endpoint], clock: systemClock })
  const leases: LeaseId[] = []
  const readings: Reading[] = []
  try {
    for (const sessions of SIZES) {
      await openMore(store, leases, sessions)
      const config = { store: { etcd: { endpoints: [etcd.member(0).endpoint] } }, log: { level: 'warn' } }
      readings.push(await read({ config, leases, etcdPid: etcd.pid(etcd.member(0)), options }))
    }
  } finally {
    await store.close()
    await etcd.stop()
  }
  const points = (of: (reading: Reading) => number): readonly Point[] =>
    readings.map((reading) => only(reading.sessions, of(reading)))
  const fewest = readings[0]?.bytes ?? 0
  return [
    {
      id: 'sessions-renew',
      title: 'Renewing one session by the control API, etcd behind it',
      x: 'sessions',
      y: 'CPU µs per renewal',
      isLogarithmic: false,
      series: [
        { title: 'gateway', points: points(({ renewal }) => renewal.gateway) },
        { title: 'etcd', points: points(({ renewal }) => renewal.etcd) },
      ],
    },
    {
      id: 'sessions-memory',
      title: 'Resident memory of a gateway',
      x: 'sessions',
      y: 'MiB above that with 100',
      isLogarithmic: false,
      series: [{ title: 'gateway', points: points(({ bytes }) => Math.max(0, bytes - fewest) / 1024 ** 2) }],
    },
    {
      id: 'sessions-start',
      title: 'Starting a gateway until it serves',
      x: 'sessions',
      y: 'ms of CPU',
      isLogarithmic: true,
      series: [{ title: 'gateway', points: points(({ startMs }) => startMs) }],
    },
    {
      id: 'sessions-idle',
      title: 'A gateway while nothing happens',
      x: 'sessions',
      y: '‰ of a processor',
      isLogarithmic: false,
      series: [{ title: 'gateway', points: points(({ idlePerMille }) => idlePerMille) }],
    },
  ]
}

interface Site {
  readonly config: Readonly<Record<string, unknown>>
  readonly leases: readonly LeaseId[]
  readonly etcdPid: number
  readonly options: Options
}

async function read({ config, leases, etcdPid, options }: Site): Promise<Reading> {
  const folder = new GatewayFolder()
  try {
    folder.configure(config)
    const gateway = await folder.start()
    const pids = [gateway.pid]
    const startMs = cpuMicroseconds(pids) / 1000
    await sleep(1_000)
    const bytes = residentBytes(pids)
    const beforeIdle = cpuMicroseconds(pids)
    await sleep(IDLE_MS)
    const idlePerMille = (cpuMicroseconds(pids) - beforeIdle) / IDLE_MS
    const port = Number(new URL(gateway.control).port)
    const requests = leases
      .slice(-RENEWED_MAX)
      .map(
        (lease) =>
          `POST /v1/sessions/${lease}/keepalive HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
          'Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
      )
    const plan = { folder: folder.path, port, secure: false, connections: CONNECTIONS, requests }
    const renewals: { readonly gateway: number; readonly etcd: number }[] = []
    // The first is for the compiler.
    for (let sample = 0; sample <= Math.min(2, options.samples); sample++) {
      const before = { gateway: cpuMicroseconds(pids), etcd: cpuMicroseconds([etcdPid]) }
      const result = await options.generator.generate({ ...plan, seconds: options.seconds })
      if (result.refused + result.broken > 0)
        throw new Error(`${result.refused + result.broken} renewals failed`)
      if (sample > 0)
        renewals.push({
          gateway: (cpuMicroseconds(pids) - before.gateway) / result.requests,
          etcd: (cpuMicroseconds([etcdPid]) - before.etcd) / result.requests,
        })
    }
    const of = (process: 'gateway' | 'etcd'): number => median(renewals.map((each) => each[process]))
    return {
      sessions: leases.length,
      startMs,
      bytes,
      idlePerMille,
      renewal: { gateway: of('gateway'), etcd: of('etcd') },
    }
  } finally {
    await folder.remove()
  }
}

/** As a gateway would have written them. */
async function openMore(store: Store, leases: LeaseId[], wanted: number): Promise<void> {
  const layout = new Layout('/fencegate', [])
  const openedAt = new Date().toISOString()
  let missing = Math.ceil((wanted - leases.length) / OPENED_TOGETHER)
  const line = async (): Promise<void> => {
    while (missing-- > 0) {
      const granted = await Promise.all(
        Array.from({ length: OPENED_TOGETHER }, async () => (await store.grantLease(TTL_MS)).lease),
      )
      const record = {
        holder: { id: 'host' },
        fenceInfo: {},
        plan: null,
        targets: [],
        ttlMs: TTL_MS,
        openedAt,
      }
      const value = sessionRecords.encode(record)
      const writes = granted.flatMap((lease) => [
        { put: layout.canary(lease), value: '', lease },
        { put: layout.session(lease), value },
      ])
      await store.transact({ compare: [], writes })
      leases.push(...granted)
    }
  }
  await Promise.all(Array.from({ length: WRITES_IN_FLIGHT }, line))
}
