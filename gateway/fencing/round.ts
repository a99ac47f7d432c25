// One round of attempts: every fencer of a level that has not succeeded yet, at once, but in such an order that what they
// have seen can stand for the holder's calls.

import type { FenceRecord } from '../core/fence-record.ts'
import type { Clock } from '../spi/clock.ts'
import type { FenceJournal } from '../spi/fence-journal.ts'
import type { Proof } from '../spi/fencer.ts'
import { type AttemptResult, runAttempt, wallTime } from './attempt.ts'
import type { PowerBrake } from './brakes.ts'
import { runDryAttempt } from './dry-attempt.ts'
import { crowdOf, isPower } from './next-step.ts'
import type { Fencing } from './plans.ts'

export interface RoundOptions {
  readonly journal: FenceJournal
  readonly fencing: Fencing
  readonly clock: Clock
  readonly power: PowerBrake
  readonly signal: AbortSignal
}

export interface Round {
  readonly record: FenceRecord
  readonly level: number
  readonly names: readonly string[]
  /** Of its first attempt. */
  readonly firstNumber: number
}

/** In shadow mode a fencer that does not answer holds up the next owner no longer than this. */
const SHADOW_LOOK_MS_MAX = 5_000

/** Rejects where the gateways' seals cannot be learned; then nothing is known of any fencer. */
export async function runRound(options: RoundOptions, round: Round): Promise<readonly AttemptResult[]> {
  const results: AttemptResult[] = []
  const provesOf = (name: string) => options.fencing.fencer(name)?.proves ?? []
  for (const group of inOrder(round.names, provesOf)) {
    // A sweep now would have to be made again after the block: it comes with the next round.
    if (results.some(({ attempt, proof }) => proof === null && provesOf(attempt.fencer).includes('blocks')))
      break
    const firstOfGroup = round.firstNumber + results.length
    const attempts = group.map((name, index) => attemptOf(options, round, name, firstOfGroup + index))
    results.push(...(await Promise.all(attempts)))
  }
  return results
}

async function attemptOf(
  { clock, fencing, journal, power, signal }: RoundOptions,
  { record, level }: Round,
  name: string,
  number: number,
): Promise<AttemptResult> {
  const configured = fencing.fencer(name)
  if (configured === null)
    return withheld(
      name,
      { level, number, clock },
      `there is no fencer ${name} in this gateway's configuration`,
    )
  const timeoutMs = fencing.settings(record.plan).timeoutMs
  const redact = fencing.secrets.redactor(record.fenceInfo)
  const careful = { ...configured, redact: (text: string) => configured.redact(redact(text)) }
  if (record.dryRun === true) {
    const looking = record.shadow === true ? Math.min(timeoutMs, SHADOW_LOOK_MS_MAX) : timeoutMs
    return runDryAttempt({ configured: careful, record, level, number, timeoutMs: looking, clock, signal })
  }
  const others = isPower(configured) ? (journal.neighbours?.(record) ?? []) : []
  if (isPower(configured) || fencing.limits.fencers[name]?.perHour !== undefined)
    power.count({
      plan: record.plan,
      fence: record.id,
      fencer: name,
      attempt: number,
      power: isPower(configured),
    })
  return runAttempt({
    configured: careful,
    preface: others.length === 0 ? null : crowdOf(others),
    record,
    level,
    number,
    timeoutMs,
    clock,
    signal,
    callbacks: () => journal.get(record.id)?.record.callbacks ?? [],
    mayStrike: () => journal.mayStrike(),
    sealedEverywhere: (aborted) => journal.sealedEverywhere(record.id, aborted),
  })
}

/**
 * All at once, but for sweeps beside a block: what arrives at the backend after the sweep and before the block would be
 * covered by neither, so the sweep begins once the block has been seen.
 */
function inOrder(
  names: readonly string[],
  provesOf: (name: string) => readonly Proof[],
): readonly (readonly string[])[] {
  const isSweep = (name: string) => provesOf(name).includes('swept') && !provesOf(name).includes('blocks')
  if (!names.some((name) => provesOf(name).includes('blocks'))) return [names]
  return [names.filter((name) => !isSweep(name)), names.filter(isSweep)]
}

function withheld(
  name: string,
  { level, number, clock }: { readonly level: number; readonly number: number; readonly clock: Clock },
  output: string,
): AttemptResult {
  const now = wallTime(clock)
  return {
    attempt: { level, fencer: name, number, startedAt: now, endedAt: now, outcome: 'refused', output },
    proof: null,
    durationMs: 0,
    over: Promise.resolve(),
  }
}
