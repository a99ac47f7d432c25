// Puts together what this gateway knows of a fence, its fencers and its brakes, and asks what is next.

import type { FenceRecord } from '../core/fence-record.ts'
import { type FenceStep, type LevelProgress, nextFenceStep } from '../core/fence-sequence.ts'
import type { Neighbour } from '../spi/fence-journal.ts'
import type { FenceRunOptions } from './fence-run.ts'
import type { ConfiguredFencer } from './plans.ts'

/** What is next about this record, with what this gateway knows of its fencers and brakes. */
export function stepFor(
  {
    journal,
    fencing,
    power,
    storms,
    clock,
    doubts,
  }: Pick<FenceRunOptions, 'journal' | 'fencing' | 'power' | 'storms' | 'clock' | 'doubts'>,
  record: FenceRecord,
  progress: LevelProgress | null,
  enteredMs = clock.monotonicMs(),
): FenceStep {
  const settings = fencing.settings(record.plan)
  const state = record.progress
  const names = progress === null ? [] : (record.levels[progress.level] ?? [])
  const cutting = names.filter((name) => {
    const configured = record.dryRun === true ? null : fencing.fencer(name)
    return configured !== null && isPower(configured) && progress?.verified.includes(name) !== true
  })
  const crowdMax = settings.blastRadiusMax
  const others = cutting.length > 0 && crowdMax !== undefined ? (journal.neighbours?.(record) ?? []) : []
  const { powerPerHour, fencers } = fencing.limits
  const fits =
    power.allows(record.plan, record.id, cutting, settings.brakes.powerPerHour) &&
    (powerPerHour === null || power.allowsInTotal(record.id, cutting, powerPerHour))
  const isOver = (name: string): boolean => {
    const perHour = fencers[name]?.perHour
    return perHour !== undefined && !power.allowsFencer(record.id, name, perHour)
  }
  const over = record.dryRun === true ? [] : names.filter(isOver)
  // Where a level follows, a fencer that could not do its job is tried once: it is never passed over untried, since what
  // follows strikes harder, and the next owner does not wait for attempts that the monitoring says will fail.
  const hasNext = progress !== null && progress.level + 1 < record.levels.length
  const isHopeless =
    hasNext && names.some((name) => !progress.verified.includes(name) && doubts?.isUnhealthy(name) === true)
  return nextFenceStep({
    record,
    self: journal.incarnation,
    claimerIsLive: state.state === 'running' && journal.isLive(state.claim.incarnation),
    progress,
    roundsMax: isHopeless ? 1 : settings.attempts,
    braked: [...new Set([...(fits ? [] : cutting), ...over])],
    storm: storms.reason(record.id),
    settlingMs: storms.settlingMs(record.id),
    delayMs: Math.max(0, enteredMs + (record.delaysMs?.[progress?.level ?? 0] ?? 0) - clock.monotonicMs()),
    asking: names.filter((name) => fencing.fencer(name)?.asksOperator === true),
    crowd: crowdMax !== undefined && others.length > crowdMax ? crowdOf(others) : null,
    striking: names.filter((name) => fencing.fencer(name)?.driver.accessOnly !== true),
  })
}

export function isPower(configured: ConfiguredFencer): boolean {
  return configured.power
}

const NAMED_MAX = 5

/** Who would go down with the holder's host, for people. */
export function crowdOf(others: readonly Neighbour[]): string {
  const named = others.slice(0, NAMED_MAX).map(({ session, holder, locks }) => {
    const held = locks.length === 0 ? '' : ` with ${locks.slice(0, NAMED_MAX).join(', ')}`
    return `${holder} (session ${session})${held}`
  })
  const more = others.length > NAMED_MAX ? `, and ${others.length - NAMED_MAX} more` : ''
  return `${others.length} other living sessions are on this host: ${named.join('; ')}${more}`
}
