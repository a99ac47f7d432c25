// What is measured: one entry for each kind of traffic.

import { type Api, type BenchLock, checkedCall, read } from './calls.ts'
import type { RunningPeer } from './peers/peer.ts'

interface ScenarioBase {
  readonly id: string
  readonly title: string
  readonly api: Api
  /** `asked`: the request says it, in a field of its own. */
  readonly delayMs: number | 'asked'
  readonly secure: boolean
  /** Whom it makes sense for; everybody where absent. */
  readonly peers?: readonly string[]
}

export interface LoadScenario extends ScenarioBase {
  readonly kind: 'load'
  readonly connections: number
  /** What a peer that checks must answer to every request. */
  readonly expects: 'answered' | 'refused'
  readonly request: (lock: BenchLock, running: RunningPeer) => string
  /** Before the first sample, where that is another. */
  readonly warmUp?: (lock: BenchLock, running: RunningPeer) => string
  /** Of a sample, where calls take long themselves. */
  readonly secondsMin?: number
}

export interface StreamScenario extends ScenarioBase {
  readonly kind: 'stream'
  readonly direction: 'up' | 'down'
  readonly bytes: number
}

export interface IdleScenario extends ScenarioBase {
  readonly kind: 'idle'
  readonly connections: number
}

/** One call at a time, to each peer in turn: how much later an answer comes than without a proxy. */
export interface LatencyScenario extends ScenarioBase {
  readonly kind: 'latency'
  readonly calls: number
}

/** What the control API answers while the data plane is given all the calls that it can take. */
export interface FloodScenario extends ScenarioBase {
  readonly kind: 'flood'
  readonly connections: number
}

/** The check alone, inside one process (see check.ts), or the policies alone (see classify.ts). */
export interface CheckScenario extends ScenarioBase {
  readonly kind: 'check'
  readonly alone: { readonly locks: number } | 'policies'
}

/** Cost as work grows: a figure for each of several sizes; see scaling/. */
export interface CurveScenario extends ScenarioBase {
  readonly kind: 'curve'
  readonly curve: CurveId
}

export type CurveId = 'locks' | 'sessions' | 'rules' | 'gateways' | 'in-flight'

/** Locks over a real etcd, beside etcd itself; see etcd/. */
export interface EtcdScenario extends ScenarioBase {
  readonly kind: 'etcd'
  readonly script: 'locks' | 'held'
  readonly args: (samples: number) => readonly string[]
}

export type Scenario =
  | LoadScenario
  | StreamScenario
  | IdleScenario
  | CheckScenario
  | LatencyScenario
  | FloodScenario
  | CurveScenario
  | EtcdScenario

const PLAIN: Pick<ScenarioBase, 'api' | 'delayMs' | 'secure'> = { api: 'cinder', delayMs: 0, secure: false }
const GIB = 1024 ** 3
/** Those who would be built instead; the others are for the one scenario that has the targets. */
const FRONT_PEERS = ['fencegate', 'nginx', 'haproxy']
const FRONT: Pick<ScenarioBase, 'peers'> = { peers: FRONT_PEERS }

export const SCENARIOS: readonly Scenario[] = [
  {
    ...PLAIN,
    kind: 'load',
    id: 'mutate',
    title: 'checked POST, small JSON body, 32 connections',
    connections: 32,
    expects: 'answered',
    request: extend,
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'load',
    id: 'read',
    title: 'GET, 32 connections',
    connections: 32,
    expects: 'answered',
    request: read,
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'load',
    id: 'refused',
    title: 'POST with a stale token, 32 connections',
    connections: 32,
    expects: 'refused',
    request: (lock, running) => extend({ ...lock, token: String(Number(lock.token) - 1) }, running),
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'load',
    id: 'soap',
    title: 'checked POST, 4 KiB of SOAP, 32 connections',
    api: 'vsphere',
    connections: 32,
    expects: 'answered',
    request: (lock, running) => checkedCall('vsphere', lock, running),
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'load',
    id: 'tls',
    title: 'checked POST, TLS on both sides, 32 connections',
    secure: true,
    connections: 32,
    expects: 'answered',
    request: extend,
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'load',
    id: 'slow',
    title: 'checked POST, the backend takes 500 ms, 2,000 connections',
    delayMs: 'asked',
    connections: 2_000,
    expects: 'answered',
    request: (lock, running) => extendAfter(500, lock, running),
    warmUp: extend,
    secondsMin: 3,
  },
  {
    ...PLAIN,
    kind: 'load',
    id: 'workers',
    title: 'checked POST, fencegate over etcd with one worker and with two, 64 connections',
    peers: ['workers-1', 'workers-2'],
    connections: 64,
    expects: 'answered',
    request: extend,
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'stream',
    id: 'up',
    title: 'a checked POST of 1 GiB',
    direction: 'up',
    bytes: GIB,
  },
  {
    ...PLAIN,
    ...FRONT,
    kind: 'stream',
    id: 'down',
    title: 'a GET of 1 GiB',
    direction: 'down',
    bytes: GIB,
  },
  {
    ...PLAIN,
    peers: [...FRONT_PEERS, 'floor', 'direct'],
    kind: 'latency',
    id: 'latency',
    title: 'checked POST, one at a time',
    calls: 1_500,
  },
  { ...PLAIN, ...FRONT, kind: 'idle', id: 'idle', title: '10,000 idle connections', connections: 10_000 },
  {
    ...PLAIN,
    peers: ['fencegate'],
    kind: 'flood',
    id: 'flood',
    title: 'the control API while 512 connections send checked calls as fast as they are answered',
    connections: 512,
  },
  {
    ...PLAIN,
    kind: 'check',
    id: 'check',
    title: 'the check alone, 100,000 locks',
    alone: { locks: 100_000 },
  },
  { ...PLAIN, kind: 'check', id: 'classify', title: 'the policies alone', alone: 'policies' },
  {
    ...PLAIN,
    kind: 'etcd',
    id: 'locks',
    title: 'acquire, release, handover and expiry over etcd, three gateways',
    script: 'locks',
    args: () => ['5', '50'],
  },
  {
    ...PLAIN,
    kind: 'etcd',
    id: 'held',
    title: 'one gateway that joins where 100,000 locks are held',
    script: 'held',
    args: (samples) => ['100000', String(samples)],
  },
  { ...PLAIN, kind: 'curve', id: 'scale-locks', title: 'cost as locks grow', curve: 'locks' },
  { ...PLAIN, kind: 'curve', id: 'scale-sessions', title: 'cost as sessions grow', curve: 'sessions' },
  { ...PLAIN, kind: 'curve', id: 'scale-rules', title: 'cost as rules grow', curve: 'rules' },
  { ...PLAIN, kind: 'curve', id: 'scale-gateways', title: 'cost as gateways grow', curve: 'gateways' },
  {
    ...PLAIN,
    delayMs: 'asked',
    peers: ['fencegate', 'nginx'],
    kind: 'curve',
    id: 'scale-in-flight',
    title: 'cost as calls in flight grow',
    curve: 'in-flight',
  },
]

/** Those with a target in them; the rest is for those who want to know more. */
export const SCENARIOS_BY_DEFAULT: readonly string[] = [
  'mutate',
  'up',
  'down',
  'check',
  'classify',
  'locks',
  'held',
]

/** As `extend`, of a backend that takes so long. */
export function extendAfter(delayMs: number, lock: BenchLock, running: RunningPeer): string {
  return checkedCall('cinder', lock, running, [`X-Bench-Delay: ${delayMs}`])
}

export function extend(lock: BenchLock, running: RunningPeer): string {
  return checkedCall('cinder', lock, running)
}
