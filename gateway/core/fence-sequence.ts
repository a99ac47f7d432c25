// Decides what a gateway does next about a fence record, and how the record reads afterwards. Pure: it sees records and
// what this gateway has done under its present claim, never a clock or a fencer.
//
//            claim              all of the level verified
//   due ───────────▶ running ────────────────────────────▶ closed (fenced)
//    ▲                │  ▲ │
//    │ retry          │  └─┘ attempt; level failed: next level
//    │                ▼
//    └───────────  blocked   last level failed, or the brakes or a storm hold; an operator confirms (closed) or retries (due)

import type { FenceAttempt, FenceProof, FenceRecord } from './fence-record.ts'
import type { IncarnationId, LeaseId, Revision } from './names.ts'

/** Of a proof that says nothing about calls: no seal was awaited for it. */
export const SEAL_NOT_AWAITED = 0 as Revision

/** The record stays readable in one piece; what is older went to the log as it happened. */
export const ATTEMPTS_KEPT = 64

/** What this gateway has done at the record's present level since it claimed the fence or came to that level. */
export interface LevelProgress {
  readonly level: number
  /** Rounds of attempts that are over and did not verify the whole level. */
  readonly failedRounds: number
  readonly verified: readonly string[]
}

export interface FenceView {
  readonly record: FenceRecord
  readonly self: IncarnationId
  /** Whether the gateway that holds the claim may still be running attempts. Of no meaning without a claim. */
  readonly claimerIsLive: boolean
  /** Null where this gateway is not at work on this fence. */
  readonly progress: LevelProgress | null
  /** Rounds for each level before it has failed; at least 1. */
  readonly roundsMax: number
  /** Fencers of the present level that the brakes do not let strike now. */
  readonly braked: readonly string[]
  /** Why the session expired in a storm, as far as this gateway sees; null where it did not. */
  readonly storm: string | null
  /** It came with many others: for how long nobody can tell yet whether that is a storm. */
  readonly settlingMs: number
  /** Fencers of the present level that do no more than ask an operator. */
  readonly asking?: readonly string[]
  /** Fencers of the present level that strike the holder himself, and so are held in a storm. */
  readonly striking: readonly string[]
  /** For how long the present level must not begin yet. */
  readonly delayMs: number
  /** Who would go down with the holder, where that are more than the plan lets go without an operator; else null. */
  readonly crowd: string | null
}

export type FenceStep =
  /** Take the fence over: nobody has it, or whoever had it is gone. */
  | { readonly step: 'claim'; readonly level: number }
  /** Run these fencers of the level, all at once. */
  | { readonly step: 'attempt'; readonly level: number; readonly fencers: readonly string[] }
  | { readonly step: 'next-level'; readonly level: number }
  | { readonly step: 'close' }
  /** Shadow mode: it was said what would have been done. */
  | { readonly step: 'close-unfenced'; readonly reason: string }
  | { readonly step: 'block'; readonly reason: string }
  /** The same, for the storm; nothing of this level has been tried. */
  | { readonly step: 'hold'; readonly reason: string }
  /** Look again then: the level, or what of it is striking, must not begin yet. */
  | { readonly step: 'settle'; readonly ms: number }
  /** Not this gateway's turn: look again when the record changes or a gateway goes. */
  | { readonly step: 'wait'; readonly for: 'claimer' | 'operator' | 'nothing' }

export function nextFenceStep(view: FenceView): FenceStep {
  const { record, progress } = view
  switch (record.progress.state) {
    case 'closed':
      return { step: 'wait', for: 'nothing' }
    case 'blocked':
      return { step: 'wait', for: 'operator' }
    case 'due':
      return { step: 'claim', level: record.progress.level }
    case 'running': {
      const { claim, level } = record.progress
      if (claim.incarnation !== view.self) {
        return view.claimerIsLive ? { step: 'wait', for: 'claimer' } : { step: 'claim', level }
      }
      // Its own claim without work of its own: the answer to the claim was lost. Claiming again is harmless.
      if (progress === null || progress.level !== level) return { step: 'claim', level }
      return stepOfLevel(view, progress)
    }
  }
}

function stepOfLevel(view: FenceView, progress: LevelProgress): FenceStep {
  const { record } = view
  const fencers = record.levels[progress.level]
  if (fencers === undefined || fencers.length === 0) {
    // An empty level would be "nothing had to be done, so it is done": never a proof.
    return {
      step: 'block',
      reason: `the plan has no level ${progress.level + 1}; ${WHAT_AN_OPERATOR_CAN_DO}`,
    }
  }
  const open = fencers.filter((name) => !progress.verified.includes(name))
  if (open.length === 0) return { step: 'close' }
  // What would be struck is told once for each level.
  const roundsMax = record.dryRun === true ? 1 : view.roundsMax
  const asking = open.filter((name) => view.asking?.includes(name) === true)
  const patience = asking.length === open.length ? 1 : roundsMax
  if (asking.length > 0 && record.dryRun !== true && progress.failedRounds >= patience) {
    return {
      step: 'block',
      reason: `an operator is asked (${lastWords(record)}); ${WHAT_AN_OPERATOR_CAN_DO}`,
    }
  }
  if (progress.failedRounds < roundsMax) {
    const held = heldBack(view, open)
    if (held !== null) return held
    if (view.delayMs > 0 && record.shadow !== true) return { step: 'settle', ms: view.delayMs }
    if (view.crowd !== null && record.released !== true)
      return {
        step: 'block',
        reason: `${view.crowd}; see whether they may go down with it, then retry this fence to let it strike, or confirm it`,
      }
    const braked = open.filter((name) => view.braked.includes(name))
    if (braked.length === 0) return { step: 'attempt', level: progress.level, fencers: open }
    return {
      step: 'block',
      reason: `the brakes hold ${braked.join(', ')}: too many power fences, or fences of one fencer, within the hour; ${WHAT_AN_OPERATOR_CAN_DO}`,
    }
  }
  if (progress.level + 1 < record.levels.length) return { step: 'next-level', level: progress.level + 1 }
  if (record.shadow === true)
    return {
      step: 'close-unfenced',
      reason: `shadow mode: nobody was struck, the attempts on record say who would have been${wouldBeHeld(view)}`,
    }
  if (record.dryRun === true)
    return {
      step: 'block',
      reason:
        'a dry run: nobody was struck, the attempts on record say who would have been; see that the holder is dead and confirm this fence',
    }
  return {
    step: 'block',
    reason: `every level of the plan failed (${lastWords(record)}); ${WHAT_AN_OPERATOR_CAN_DO}`,
  }
}

/** A storm seen in the middle of a level ends what has not been tried of it; the record has the last word. */
function heldBack(
  { record, storm, settlingMs, striking }: FenceView,
  open: readonly string[],
): Extract<FenceStep, { step: 'hold' | 'settle' }> | null {
  if (record.released === true || record.shadow === true) return null
  const held = open.filter((name) => striking.includes(name))
  if (held.length === 0) return null
  const reason = record.storm ?? storm
  if (reason === null) return settlingMs > 0 ? { step: 'settle', ms: settlingMs } : null
  return {
    step: 'hold',
    reason: `${reason}, so ${held.join(', ')} must not strike by itself; see whether the holder is dead, then retry this fence to let it strike, or confirm it`,
  }
}

function wouldBeHeld({ record, storm }: FenceView): string {
  const reason = record.storm ?? storm
  return reason === null ? '' : `; it would have been held: ${reason}`
}

const WHAT_AN_OPERATOR_CAN_DO =
  'see that the holder is dead and confirm this fence, or mend the fencer and retry it'

function lastWords(record: FenceRecord): string {
  const seen = new Set<string>()
  const words: string[] = []
  for (const attempt of record.attempts.toReversed()) {
    if (seen.has(attempt.fencer) || attempt.outcome === 'verified') continue
    seen.add(attempt.fencer)
    const lastLine = attempt.output.trimEnd().split('\n').at(-1) ?? ''
    words.unshift(`${attempt.fencer}: ${lastLine.slice(0, 300)}`)
  }
  return words.join('; ') || 'no attempt is on record'
}

export function claimed(
  record: FenceRecord,
  level: number,
  claim: { readonly incarnation: IncarnationId; readonly lease: LeaseId | null },
): FenceRecord {
  return { ...record, progress: { state: 'running', level, claim } }
}

/** Given back by a gateway that stops: whoever sees it may claim it at once, and begins the level anew. */
export function unclaimed(record: FenceRecord, level: number): FenceRecord {
  return { ...record, progress: { state: 'due', level } }
}

/** Idempotent: a write whose answer was lost is written again, and an attempt stands in the record once. */
export function attempted(
  record: FenceRecord,
  attempts: readonly FenceAttempt[],
  proofs: readonly FenceProof[],
): FenceRecord {
  const isNew = (attempt: FenceAttempt): boolean =>
    !record.attempts.some((old) => old.fencer === attempt.fencer && old.number === attempt.number)
  const superseded = new Set(proofs.map((proof) => proof.fencer))
  return {
    ...record,
    attempts: [...record.attempts, ...attempts.filter(isNew)].slice(-ATTEMPTS_KEPT),
    proofs: [...record.proofs.filter((proof) => !superseded.has(proof.fencer)), ...proofs],
  }
}

/** One above every attempt on record, so that it is never used twice. */
export function nextAttemptNumber(record: FenceRecord): number {
  return record.attempts.reduce((highest, attempt) => Math.max(highest, attempt.number), 0) + 1
}

export function closedAsFenced(record: FenceRecord, closedAt: string): FenceRecord {
  return { ...record, progress: { state: 'closed', outcome: 'fenced', closedAt, by: null, reason: null } }
}

export function closedAsUnfenced(record: FenceRecord, closedAt: string, reason: string): FenceRecord {
  return { ...record, progress: { state: 'closed', outcome: 'unfenced', closedAt, by: null, reason } }
}

export function blockedFor(record: FenceRecord, reason: string): FenceRecord {
  return { ...record, progress: { state: 'blocked', reason } }
}

export function heldFor(record: FenceRecord, reason: string): FenceRecord {
  return { ...record, progress: { state: 'blocked', reason, held: true } }
}

/** Written down, so that every gateway knows it, also one that comes when the storm is over. */
export function inStorm(record: FenceRecord, reason: string): FenceRecord {
  return { ...record, storm: reason }
}
