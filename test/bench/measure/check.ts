// Starts check.ts in a process of its own, so that neither the harness's heap nor its types of objects slow it down.

import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'
import type { CheckScenario } from '../scenarios.ts'

export interface CheckFigures {
  readonly title: string
  /** Median over the samples. */
  readonly nanoseconds: number
  /** Whether a target is set for it. */
  readonly judged: boolean
}

export async function measureCheck(
  { locks }: CheckScenario,
  samples: number,
): Promise<readonly CheckFigures[]> {
  const output = await run({
    name: 'the check',
    command: process.execPath,
    args: [fileURLToPath(new URL('../check.ts', import.meta.url)), String(locks), String(samples)],
    timeoutMs: 300_000,
  })
  const found = /^RESULT (.*)$/m.exec(output)
  if (found === null) throw new Error(`the check gave no result: ${output}`)
  const figures: readonly CheckFigures[] = JSON.parse(found[1] ?? '')
  return figures
}
