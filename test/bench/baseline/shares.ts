// Whether a call has become dearer: the time that the gateway adds, as a share of what the same call takes without it in
// the same thread, held against the shares that were recorded. Shares, because other work on the machine changes both alike.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'

export const BASELINE_FILE = fileURLToPath(new URL('./recorded.json', import.meta.url))

export const KINDS = ['mutate', 'read', 'refused', 'soap'] as const
const RUNS_MAX = 3
const TOLERANCE = 0.15

export type Kind = (typeof KINDS)[number]

/** What one-thread.ts writes: microseconds for one call. */
export type Costs = Partial<Record<Kind, { readonly through: number; readonly direct: number }>>

export type Shares = Readonly<Record<string, number>>

export interface Baseline {
  readonly node: string
  /** What it was recorded on: systems differ in what they take for a call beside what programs do. */
  readonly machine: string
  readonly recorded: string
  readonly shares: Shares
}

export interface Comparison {
  readonly kind: string
  readonly recorded: number | null
  readonly now: number
  readonly outcome: 'same' | 'slower' | 'faster' | 'unknown'
}

export interface SharesTerms {
  readonly say: (line: string) => void
  readonly isEnough: (shares: Shares) => boolean
  /** All where absent. */
  readonly kinds?: readonly Kind[]
}

/**
 * The least of what up to three processes took: a busy machine, or an unlucky compiler at run time, adds something to one of
 * them; the code adds it to all. `isEnough` is asked after each.
 */
export async function measureShares({ say, isEnough, kinds = KINDS }: SharesTerms): Promise<Shares> {
  let least: Shares = {}
  for (let at = 0; at < RUNS_MAX && !(at > 0 && isEnough(least)); at++) {
    const output = await run({
      name: 'the baseline',
      command: process.execPath,
      args: [fileURLToPath(new URL('./one-thread.ts', import.meta.url)), ...kinds],
      timeoutMs: 600_000,
    })
    const costs: Costs = JSON.parse(/^RESULT (.*)$/m.exec(output)?.[1] ?? 'null')
    const shares = kinds.map((kind) => [kind, shareOf(costs[kind])] as const)
    say(shares.map(([kind, share]) => `${kind} ${share.toFixed(3)}`).join('  '))
    const before = least
    least = Object.fromEntries(shares.map(([kind, share]) => [kind, Math.min(before[kind] ?? share, share)]))
  }
  return least
}

function shareOf(cost: Costs[Kind]): number {
  if (cost === undefined) throw new Error('a kind of call was not measured')
  return (cost.through - cost.direct) / cost.direct
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

export const MACHINE = `${os.cpus()[0]?.model.trim() ?? 'unknown processor'} × ${os.availableParallelism()}`

/** Null where there is none that was taken on such a machine, by such a Node. */
export function readBaseline(): Baseline | null {
  if (!existsSync(BASELINE_FILE)) return null
  const baseline: Baseline = JSON.parse(readFileSync(BASELINE_FILE, 'utf8'))
  return baseline.machine === MACHINE && majorOf(baseline.node) === majorOf(process.version) ? baseline : null
}

function majorOf(version: string): string {
  return version.split('.')[0] ?? version
}

export function recordBaseline(shares: Shares): void {
  const baseline: Baseline = {
    node: process.version,
    machine: MACHINE,
    recorded: new Date().toISOString().slice(0, 10),
    shares: Object.fromEntries(
      Object.entries(shares).map(([kind, share]) => [kind, Number(share.toFixed(3))]),
    ),
  }
  writeFileSync(BASELINE_FILE, `${JSON.stringify(baseline, null, 2)}\n`)
}
