// Cost as the rules of a policy grow: to find the rule of one call, and to compile them.

import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'
import { type Chart, only, type Point } from './curve.ts'

const SIZES = [10, 100, 1_000, 10_000]

/** What classify.ts writes. */
export interface RuleFigures {
  readonly compileMs: number
  /** By the way in which the rules differ. */
  readonly nanoseconds: Readonly<Record<'paths' | 'keys' | 'last', readonly number[]>>
}

export async function measureRules({ samples }: { readonly samples: number }): Promise<readonly Chart[]> {
  const file = fileURLToPath(new URL('./classify.ts', import.meta.url))
  const runs: { readonly rules: number; readonly figures: RuleFigures }[] = []
  for (const rules of SIZES) {
    const output = await run({
      name: 'the policy',
      command: process.execPath,
      args: [file, String(rules), String(samples)],
      timeoutMs: 120_000,
    })
    const figures: RuleFigures = JSON.parse(/^RESULT (.*)$/m.exec(output)?.[1] ?? 'null')
    runs.push({ rules, figures })
  }
  const points = (of: keyof RuleFigures['nanoseconds']): readonly Point[] =>
    runs.map(({ rules, figures: { nanoseconds } }) => {
      const sorted = nanoseconds[of].toSorted((a, b) => a - b)
      const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
      return { x: rules, y: at(0.5), low: at(0), high: at(1) }
    })
  return [
    {
      id: 'rules-classify',
      title: 'Finding the rule of one call, body read',
      x: 'rules',
      y: 'ns per call',
      isLogarithmic: false,
      series: [
        { title: 'rules with paths of their own', points: points('paths') },
        { title: 'rules of one path, told by the only key of the body', points: points('keys') },
        { title: 'a call that no rule covers', points: points('last') },
      ],
    },
    {
      id: 'rules-compile',
      title: 'Compiling a policy',
      x: 'rules',
      y: 'ms of CPU',
      isLogarithmic: true,
      series: [
        { title: 'compile', points: runs.map(({ rules, figures }) => only(rules, figures.compileMs)) },
      ],
    },
  ]
}
