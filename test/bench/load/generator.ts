// Puts load on a port and says what came back: wrk where it is installed, else sockets of a Node process. Only ever
// towards loopback, and only for a bounded time.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { find } from '../ground.ts'
import { run } from '../processes.ts'

export interface LoadPlan {
  readonly folder: string
  readonly port: number
  readonly secure: boolean
  readonly connections: number
  readonly seconds: number
  /** Whole requests, sent in rotation over all connections. */
  readonly requests: readonly string[]
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  /** Answers with a status of 400 or more. */
  readonly refused: number
  /** Connections that failed, and answers that did not come in time. */
  readonly broken: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface LoadGenerator {
  readonly name: 'wrk' | 'sockets'
  generate(plan: LoadPlan): Promise<LoadResult>
}

export async function chooseGenerator(wanted: 'wrk' | 'sockets' | null): Promise<LoadGenerator> {
  const wrk = wanted === 'sockets' ? null : await find('wrk')
  if (wanted === 'wrk' && wrk === null) throw new Error('wrk is not installed')
  return wrk === null
    ? { name: 'sockets', generate: (plan) => withSockets(plan) }
    : { name: 'wrk', generate: (plan) => withWrk(wrk, plan) }
}

async function withWrk(wrk: string, plan: LoadPlan): Promise<LoadResult> {
  const args = [
    '--threads=1',
    `--connections=${plan.connections}`,
    `--duration=${plan.seconds}s`,
    '--timeout=10s',
    '--latency',
    `--script=${fileURLToPath(new URL('./rotate.lua', import.meta.url))}`,
    `${plan.secure ? 'https' : 'http'}://127.0.0.1:${plan.port}/`,
    '--',
    writeRequests(plan),
  ]
  return resultIn(await run({ name: 'wrk', command: wrk, args, timeoutMs: plan.seconds * 1000 + 30_000 }))
}

async function withSockets(plan: LoadPlan): Promise<LoadResult> {
  const { requests: _, ...rest } = plan
  const args = [
    fileURLToPath(new URL('./sockets.ts', import.meta.url)),
    JSON.stringify({ ...rest, requestsFile: writeRequests(plan) }),
  ]
  return resultIn(
    await run({
      name: 'the load generator',
      command: process.execPath,
      args,
      timeoutMs: plan.seconds * 1000 + 30_000,
    }),
  )
}

function writeRequests(plan: LoadPlan): string {
  const file = path.join(plan.folder, 'requests')
  writeFileSync(file, plan.requests.map((request) => `${request}\0`).join(''), 'latin1')
  return file
}

function resultIn(output: string): LoadResult {
  const found = /^RESULT (.*)$/m.exec(output)
  if (found === null) throw new Error(`the load generator gave no result: ${output}`)
  const result: LoadResult = JSON.parse(found[1] ?? '')
  return result
}
