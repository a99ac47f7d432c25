// Whether a call has become dearer: the CPU time that the gateway adds, as a share of what the same call takes without it in
// the same thread, held against the shares that were recorded. Shares, because another machine, and other work on this one,
// change both alike.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median } from '../median.ts'
import { run } from '../processes.ts'

export const BASELINE_FILE = fileURLToPath(new URL('./recorded.json', import.meta.url))

const KINDS = ['mutate', 'read', 'refused', 'soap'] as const
const RUNS = 5
const TOLERANCE = 0.15

type Kind = (typeof KINDS)[number]

/** What one-thread.ts writes: microseconds for one call. */
export type Costs = Readonly<Record<Kind, { readonly through: number; readonly direct: number }>>

export type Shares = Readonly<Record<string, number>>

export interface Baseline {
  readonly node: string
  readonly recorded: string
  readonly shares: Shares
}

export interface Comparison {
  readonly kind: string
  readonly recorded: number | null
  readonly now: number
  readonly outcome: 'same' | 'slower' | 'faster' | 'unknown'
}

/** Of several processes the median: what a compiler at run time makes of the same code differs from one to the next. */
export async function measureShares(say: (line: string) => void): Promise<Shares> {
  const taken: Costs[] = []
  for (let at = 0; at < RUNS; at++) {
    const output = await run({
      name: 'the baseline',
      command: process.execPath,
      args: [fileURLToPath(new URL('./one-thread.ts', import.meta.url))],
      timeoutMs: 600_000,
    })
    const costs: Costs = JSON.parse(/^RESULT (.*)$/m.exec(output)?.[1] ?? 'null')
    taken.push(costs)
    say(KINDS.map((kind) => `${kind} ${shareOf(costs[kind]).toFixed(3)}`).join('  '))
  }
  return Object.fromEntries(KINDS.map((kind) => [kind, median(taken.map((costs) => shareOf(costs[kind])))]))
}

function shareOf({ through, direct }: Costs[Kind]): number {
  return (through - direct) / direct
}

/** Nothing that was not recorded is judged. */
export function compare(baseline: Baseline | null, shares: Shares): readonly Comparison[] {
  return Object.entries(shares).map(([kind, now]) => {
    const recorded = baseline?.shares[kind] ?? null
    if (recorded === null) return { kind, recorded, now, outcome: 'unknown' }
    if (now > recorded * (1 + TOLERANCE)) return { kind, recorded, now, outcome: 'slower' }
    return { kind, recorded, now, outcome: now < recorded * (1 - TOLERANCE) ? 'faster' : 'same' }
  })
}

export function readBaseline(): Baseline | null {
  if (!existsSync(BASELINE_FILE)) return null
  const baseline: Baseline = JSON.parse(readFileSync(BASELINE_FILE, 'utf8'))
  return baseline
}

export function recordBaseline(shares: Shares): void {
  const baseline: Baseline = {
    node: process.version,
    recorded: new Date().toISOString().slice(0, 10),
    shares: Object.fromEntries(
      Object.entries(shares).map(([kind, share]) => [kind, Number(share.toFixed(3))]),
    ),
  }
  writeFileSync(BASELINE_FILE, `${JSON.stringify(baseline, null, 2)}\n`)
}
