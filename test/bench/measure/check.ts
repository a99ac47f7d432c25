// Starts check.ts, or classify.ts, in a process of its own, so that neither the harness's heap nor its types of objects slow it down.

import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'

export interface CheckFigures {
  readonly title: string
  /** Median over the samples. */
  readonly nanoseconds: number
  /** Whether a target is set for it. */
  readonly judged: boolean
  /** Where it is not that of the check. */
  readonly targetNs?: number
}

export interface CheckResult {
  readonly figures: readonly CheckFigures[]
  /** Of the heap, when all locks are held and nothing else is left. */
  readonly bytesPerLock: number
  /** CPU time to take the snapshot with all locks in. */
  readonly loadMs: number
}

const CALLS_PER_SAMPLE = 500_000

export async function measureCheck(locks: number, samples: number): Promise<readonly CheckFigures[]> {
  return (await checkAlone(locks, samples, CALLS_PER_SAMPLE)).figures
}

export function measurePolicies(samples: number): Promise<readonly CheckFigures[]> {
  return resultOf<readonly CheckFigures[]>('the policies', ['classify.ts', String(samples)])
}

export function checkAlone(locks: number, samples: number, calls: number): Promise<CheckResult> {
  return resultOf<CheckResult>('the check', ['check.ts', String(locks), String(samples), String(calls)])
}

async function resultOf<Result>(name: string, [program = '', ...args]: readonly string[]): Promise<Result> {
  const file = fileURLToPath(new URL(`../${program}`, import.meta.url))
  const output = await run({
    name,
    command: process.execPath,
    args: ['--expose-gc', '--max-old-space-size=8192', file, ...args],
    timeoutMs: 300_000,
  })
  const found = /^RESULT (.*)$/m.exec(output)
  if (found === null) throw new Error(`${name} gave no result: ${output}`)
  const result: Result = JSON.parse(found[1] ?? '')
  return result
}
