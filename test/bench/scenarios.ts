// What is measured: one entry for each kind of traffic. The call is always Cinder's "extend", in one form or another.

import { type BenchLock, checkedTarget } from './ground.ts'

interface ScenarioBase {
  readonly id: string
  readonly title: string
  readonly delayMs: number
  readonly secure: boolean
}

export interface LoadScenario extends ScenarioBase {
  readonly kind: 'load'
  readonly connections: number
  /** What a peer that checks must answer to every request. */
  readonly expects: 'answered' | 'refused'
  request(lock: BenchLock, host: string): string
}

export interface StreamScenario extends ScenarioBase {
  readonly kind: 'stream'
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

const PLAIN = { delayMs: 0, secure: false }
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
    request: readVolume,
  },
  {
    ...PLAIN,
    kind: 'load',
    id: 'refused',
    title: 'POST with a stale token, 32 connections',
    connections: 32,
    expects: 'refused',
    request: (lock, host) => extend({ ...lock, token: String(Number(lock.token) - 1) }, host),
  },
  {
    kind: 'load',
    id: 'tls',
    title: 'checked POST, TLS on both sides, 32 connections',
    delayMs: 0,
    secure: true,
    connections: 32,
    expects: 'answered',
    request: extend,
  },
  {
    kind: 'load',
    id: 'slow',
    title: 'checked POST, the backend takes 50 ms, 256 connections',
    delayMs: 50,
    secure: false,
    connections: 256,
    expects: 'answered',
    request: extend,
  },
  { ...PLAIN, kind: 'stream', id: 'stream', title: '1 GiB up and down', bytes: GIB },
  { ...PLAIN, kind: 'idle', id: 'idle', title: '1,000 idle connections', connections: 1_000 },
  { ...PLAIN, kind: 'check', id: 'check', title: 'the check alone, 100,000 locks', locks: 100_000 },
]

/** Those with a target in them; the rest is for those who want to know more. */
export const SCENARIOS_BY_DEFAULT: readonly string[] = ['mutate', 'stream', 'check']

export function extend(lock: BenchLock, host: string): string {
  const body = '{"os-extend":{"new_size":2}}'
  return message([
    `POST ${checkedTarget(lock.volume)} HTTP/1.1`,
    ...commonHeaders(host),
    `Fencing-Token: ${lock.token}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body,
  ])
}

function readVolume(lock: BenchLock, host: string): string {
  const target = checkedTarget(lock.volume).replace(/\/action$/, '')
  return message([`GET ${target} HTTP/1.1`, ...commonHeaders(host), '', ''])
}

function commonHeaders(host: string): readonly string[] {
  return [
    `Host: ${host}`,
    'User-Agent: bench',
    'Accept: application/json',
    'X-Auth-Token: 0123456789abcdef0123456789abcdef',
    'OpenStack-API-Version: volume 3.70',
  ]
}

function message(lines: readonly string[]): string {
  return lines.join('\r\n')
}
