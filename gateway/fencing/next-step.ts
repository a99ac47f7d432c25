// Puts together what this gateway knows of a fence, its fencers and its brakes, and asks what is next.

import type { FenceRecord } from '../core/fence-record.ts'
import { type FenceStep, type LevelProgress, nextFenceStep } from '../core/fence-sequence.ts'
import type { Neighbour } from '../spi/fence-journal.ts'
import type { Ahead } from './brakes.ts'
import type { FenceRunOptions } from './fence-run.ts'
import type { ConfiguredFencer, Fencing } from './plans.ts'

/** What is next about this record, with what this gateway knows of its fencers and brakes. */
export function stepFor(
  {
    journal,
    fencing,
    power,
    storms,
    clock,
    doubts,
    order,
  }: Pick<FenceRunOptions, 'journal' | 'fencing' | 'power' | 'storms' | 'clock' | 'doubts' | 'order'>,
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
  const braked = (ahead: readonly Ahead[]): readonly string[] => {
    const wanted = { fence: record.id, fencers: cutting }
    const fits =
      power.allows(record.plan, wanted, settings.brakes.powerPerHour, ahead) &&
      (powerPerHour === null || power.allowsInTotal(wanted, powerPerHour, ahead))
    const isOver = (name: string): boolean => {
      const perHour = fencers[name]?.perHour
      return perHour !== undefined && !power.allowsFencer(record.id, name, perHour, ahead)
    }
    const over = record.dryRun === true ? [] : names.filter(isOver)
    return [...new Set([...(fits ? [] : cutting), ...over])]
  }
  const isAtWork = (one: FenceRecord): boolean =>
    one.progress.state === 'running' && journal.isLive(one.progress.claim.incarnation)
  const inTurn = progress === null ? [] : order.before(record.id, 'turn').filter(isAtWork).filter(mayStrike)
  const earlier = progress === null ? [] : order.before(record.id, 'arrival').filter(mayStrike)
  const beginsMs = enteredMs + (record.delaysMs?.[progress?.level ?? 0] ?? 0)
  const isFull = (name: string): boolean => {
    const atOnce = fencers[name]?.atOnce
    return atOnce !== undefined && inTurn.filter((one) => levelOf(one).includes(name)).length >= atOnce
  }
  const waitsForTurn =
    record.dryRun !== true && names.some((name) => !progress?.verified.includes(name) && isFull(name))
  // What others may strike first is waited for: it will be on record, or they have given it up.
  const contended = braked(strikesOf(earlier, fencing))
  const mayWait = clock.monotonicMs() < beginsMs + settings.timeoutMs
  const found = mayWait ? braked([]) : contended
  const isContended = found.length === 0 && contended.length > 0
  const delayMs = Math.max(0, beginsMs - clock.monotonicMs(), waitsForTurn || isContended ? LOOK_AGAIN_MS : 0)
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
    braked: found,
    storm: storms.reason(record.id),
    settlingMs: storms.settlingMs(record.id),
    delayMs,
    asking: names.filter((name) => fencing.fencer(name)?.asksOperator === true),
    crowd: crowdMax !== undefined && others.length > crowdMax ? crowdOf(others) : null,
    striking: names.filter((name) => fencing.fencer(name)?.driver.accessOnly !== true),
  })
}

/** Until it is looked again whether others, who come first, are through. */
const LOOK_AGAIN_MS = 200

function mayStrike({ progress, dryRun }: FenceRecord): boolean {
  return progress.state === 'running' && dryRun !== true
}

function levelOf({ progress, levels }: FenceRecord): readonly string[] {
  return progress.state === 'running' ? (levels[progress.level] ?? []) : []
}

/** What these fences may strike on their levels, now or in a moment. */
function strikesOf(records: readonly FenceRecord[], fencing: Fencing): readonly Ahead[] {
  return records.flatMap((record) =>
    levelOf(record).flatMap((fencer) => {
      const configured = fencing.fencer(fencer)
      return configured === null
        ? []
        : [{ plan: record.plan, fence: record.id, fencer, power: isPower(configured) }]
    }),
  )
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
