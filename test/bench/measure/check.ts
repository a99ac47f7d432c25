// Starts check.ts in a process of its own, so that neither the harness's heap nor its types of objects slow it down.

import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'

export interface CheckFigures {
  readonly title: string
  /** Median over the samples. */
  readonly nanoseconds: number
  /** Whether a target is set for it. */
  readonly judged: boolean
}

export interface CheckResult {
  readonly figures: readonly CheckFigures[]
  /** Of the heap, when all locks are held and nothing else is left. */
  readonly bytesPerLock: number
  /** CPU time to take the snapshot with all locks in. */
  readonly loadMs: number
}

const CALLS_PER_SAMPLE = 1_000_000

export async function measureCheck(locks: number, samples: number): Promise<readonly CheckFigures[]> {
  return (await checkAlone(locks, samples, CALLS_PER_SAMPLE)).figures
}

export async function checkAlone(locks: number, samples: number, calls: number): Promise<CheckResult> {
  const file = fileURLToPath(new URL('../check.ts', import.meta.url))
  const output = await run({
    name: 'the check',
    command: process.execPath,
    args: ['--expose-gc', '--max-old-space-size=8192', file, String(locks), String(samples), String(calls)],
    timeoutMs: 300_000,
  })
  const found = /^RESULT (.*)$/m.exec(output)
  if (found === null) throw new Error(`the check gave no result: ${output}`)
  const result: CheckResult = JSON.parse(found[1] ?? '')
  return result
}
