// What is measured: one entry for each kind of traffic.

import { type Api, type BenchLock, checkedCall, read } from './calls.ts'
import type { RunningPeer } from './peers/peer.ts'

interface ScenarioBase {
  readonly id: string
  readonly title: string
  readonly api: Api
  readonly delayMs: number
  readonly secure: boolean
}

export interface LoadScenario extends ScenarioBase {
  readonly kind: 'load'
  readonly connections: number
  /** What a peer that checks must answer to every request. */
  readonly expects: 'answered' | 'refused'
  request(lock: BenchLock, running: RunningPeer): string
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

/** The check alone, inside this process; see check.ts. */
export interface CheckScenario extends ScenarioBase {
  readonly kind: 'check'
  readonly locks: number
}

export type Scenario = LoadScenario | StreamScenario | IdleScenario | CheckScenario

const PLAIN: Pick<ScenarioBase, 'api' | 'delayMs' | 'secure'> = { api: 'cinder', delayMs: 0, secure: false }
const GIB = 1024 ** 3

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
    kind: 'load',
    id: 'read',
    title: 'GET, 32 connections',
    connections: 32,
    expects: 'answered',
    request: read,
  },
  {
    ...PLAIN,
    kind: 'load',
    id: 'refused',
    title: 'POST with a stale token, 32 connections',
    connections: 32,
    expects: 'refused',
    request: (lock, running) => extend({ ...lock, token: String(Number(lock.token) - 1) }, running),
  },
  {
    ...PLAIN,
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
    kind: 'load',
    id: 'slow',
    title: 'checked POST, the backend takes 50 ms, 256 connections',
    delayMs: 50,
    connections: 256,
    expects: 'answered',
    request: extend,
  },
  { ...PLAIN, kind: 'stream', id: 'up', title: 'a checked POST of 1 GiB', direction: 'up', bytes: GIB },
  { ...PLAIN, kind: 'stream', id: 'down', title: 'a GET of 1 GiB', direction: 'down', bytes: GIB },
  { ...PLAIN, kind: 'idle', id: 'idle', title: '1,000 idle connections', connections: 1_000 },
  { ...PLAIN, kind: 'check', id: 'check', title: 'the check alone, 100,000 locks', locks: 100_000 },
]

/** Those with a target in them; the rest is for those who want to know more. */
export const SCENARIOS_BY_DEFAULT: readonly string[] = ['mutate', 'up', 'down', 'check']

function extend(lock: BenchLock, running: RunningPeer): string {
  return checkedCall('cinder', lock, running)
}
