// Cost as gateways grow, over one etcd: every gateway hears of every lock. What a lock costs all of them together, how long
// it takes from holder to holder, and what they cost while nothing happens.

import { setTimeout as sleep } from 'node:timers/promises'
import { startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { median } from '../median.ts'
import { ask, free, openSession } from '../peers/fencegate/holder.ts'
import { cpuMicroseconds } from '../readings.ts'
import { type Chart, only, type Point } from './curve.ts'

const SIZES = [1, 2, 4, 8, 16]
const LANES = 8
const WARM_UP_MS = 1_000
const IDLE_MS = 2_000
const HANDOVERS = 20
const SESSION_TTL_SECONDS = 120

interface Reading {
  readonly gateways: number
  readonly idle: { readonly gateway: number; readonly etcd: number }
  readonly pair: { readonly gateways: number; readonly etcd: number }
  readonly handoverMs: readonly number[]
}

interface Options {
  readonly samples: number
  readonly seconds: number
}

export async function measureGateways({ samples, seconds }: Options): Promise<readonly Chart[]> {
  const etcd = await startEtcd({ fsync: true })
  const folders: GatewayFolder[] = []
  const gateways: GatewayProcess[] = []
  const readings: Reading[] = []
  try {
    for (const size of SIZES) {
      while (gateways.length < size) {
        const folder = new GatewayFolder()
        folders.push(folder)
        folder.configure({
          store: { etcd: { endpoints: [...etcd.endpoints] } },
          log: { level: 'warn' },
        })
        gateways.push(await folder.start())
      }
      const pairMs = Math.max(2_000, seconds * Math.min(3, samples) * 1000)
      readings.push(await read(gateways, etcd.pid(etcd.member(0)), pairMs))
    }
  } finally {
    await Promise.all(folders.map((folder) => folder.remove()))
    await etcd.stop()
  }
  const points = (of: (reading: Reading) => number): readonly Point[] =>
    readings.map((reading) => only(reading.gateways, of(reading)))
  return [
    {
      id: 'gateways-pair',
      title: 'Acquire and release of a free lock',
      x: 'gateways',
      y: 'CPU ms per pair',
      isLogarithmic: false,
      series: [
        { title: 'all gateways together', points: points(({ pair }) => pair.gateways / 1000) },
        { title: 'one of them', points: points(({ pair, gateways: count }) => pair.gateways / count / 1000) },
        { title: 'etcd', points: points(({ pair }) => pair.etcd / 1000) },
      ],
    },
    {
      id: 'gateways-handover',
      title: 'From a release to the next holder, at another gateway where there is one',
      x: 'gateways',
      y: 'ms',
      isLogarithmic: false,
      series: [
        {
          title: 'handover',
          points: readings.map(({ gateways: x, handoverMs }) => {
            const sorted = handoverMs.toSorted((a, b) => a - b)
            const at = (share: number): number =>
              sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
            return { x, y: median(handoverMs), low: at(0.1), high: at(0.9) }
          }),
        },
      ],
    },
    {
      id: 'gateways-idle',
      title: 'While nothing happens',
      x: 'gateways',
      y: '‰ of a processor',
      isLogarithmic: false,
      series: [
        { title: 'one gateway', points: points(({ idle }) => idle.gateway) },
        { title: 'etcd', points: points(({ idle }) => idle.etcd) },
      ],
    },
  ]
}

async function read(gateways: readonly GatewayProcess[], etcdPid: number, pairMs: number): Promise<Reading> {
  const pids = gateways.map(({ pid }) => pid)
  const ports = gateways.map(({ control }) => Number(new URL(control).port))
  const portOf = (at: number): number => ports[at % ports.length] ?? 0
  await sleep(500)
  const idleFrom = { gateways: cpuMicroseconds(pids), etcd: cpuMicroseconds([etcdPid]) }
  await sleep(IDLE_MS)
  const idle = {
    gateway: (cpuMicroseconds(pids) - idleFrom.gateways) / gateways.length / IDLE_MS,
    etcd: (cpuMicroseconds([etcdPid]) - idleFrom.etcd) / IDLE_MS,
  }
  const sessions = await Promise.all(
    Array.from({ length: LANES }, (_, lane) => openSession(portOf(lane), SESSION_TTL_SECONDS)),
  )
  const sessionOf = (at: number): string => sessions[at % sessions.length] ?? ''
  await pairs(WARM_UP_MS)
  const before = { gateways: cpuMicroseconds(pids), etcd: cpuMicroseconds([etcdPid]) }
  const count = await pairs(pairMs)
  const pair = {
    gateways: (cpuMicroseconds(pids) - before.gateways) / count,
    etcd: (cpuMicroseconds([etcdPid]) - before.etcd) / count,
  }
  const handoverMs: number[] = []
  const lock = `/v1/locks/${encodeURIComponent(`bench/handover/${gateways.length}`)}`
  await ask(portOf(0), lock, { session: sessionOf(0) })
  for (let round = 0; round < HANDOVERS; round++) {
    const next = ask(portOf(round + 1), lock, { session: sessionOf(round + 1), wait: 30 })
    // The waiter is in the queue of every gateway by then.
    await sleep(60)
    const startedMs = performance.now()
    await Promise.all([
      free(portOf(round), `${lock}?session=${sessionOf(round)}`),
      next.then(() => handoverMs.push(performance.now() - startedMs)),
    ])
  }
  return { gateways: gateways.length, idle, pair, handoverMs }

  async function pairs(milliseconds: number): Promise<number> {
    const endMs = performance.now() + milliseconds
    let done = 0
    const line = async (_: unknown, lane: number): Promise<void> => {
      const own = `/v1/locks/${encodeURIComponent(`bench/${lane}`)}`
      while (performance.now() < endMs) {
        // The release before may still be waited for by the other gateways.
        await ask(portOf(lane), own, { session: sessionOf(lane), wait: 30 })
        await free(portOf(lane), `${own}?session=${sessionOf(lane)}`)
        done++
      }
    }
    await Promise.all(Array.from({ length: LANES }, line))
    return done
  }
}
