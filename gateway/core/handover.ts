// The handover of one lock as a pure function: from the lock record, the queue and what is known of the sealed grants to
// the one step that is due. It is level-triggered: asked twice, by two gateways, it gives the same step, and each step is
// a compare-and-swap on the record's mod revision, so that only one of them happens.
//
//                        key gone, or session condemned               drained, and fenced where due
//   queued ──open──▶ open ───────────seal───────────▶ sealed ───────────────────close──────────────────▶ gone
//     ▲                                                                                                    │
//     └──────────────────── the next in the queue is opened in the transaction of the close ◀──────────────┘

import type { FenceProof } from './fence-record.ts'
import {
  conflicts,
  type Grant,
  type LockRecord,
  type OpenGrant,
  type SealCause,
  type SealedGrant,
} from './lock-record.ts'
import type { LockMode, Revision, SessionId } from './names.ts'

/** A waiter key as the view has it. In the queue by create revision. */
export interface Waiter {
  readonly key: string
  readonly createRevision: Revision
  readonly session: SessionId
  readonly mode: LockMode
}

/** What every gateway's ledger says of the calls under one sealed grant. */
export type DrainFacts =
  | { readonly state: 'ended' }
  /** Some gateway has not applied the seal yet, or has calls or jobs that will be known to end. */
  | { readonly state: 'draining'; readonly calls: number; readonly detail: string }
  /**
   * Nothing will end by itself any more, but what became of some calls is not known. `quietOver`: the quiet time stands
   * for all of them; `quietRemainingMs` null: there is none; another gateway may count it.
   */
  | {
      readonly state: 'unknown'
      readonly calls: number
      readonly quietOver: boolean
      readonly quietRemainingMs: number | 'counted-elsewhere' | null
      readonly detail: string
    }

export type FenceFacts =
  /** The grant was released: nothing is due. */
  | { readonly state: 'none' }
  | { readonly state: 'open'; readonly detail: string }
  | { readonly state: 'blocked'; readonly reason: string }
  | { readonly state: 'closed'; readonly proofs: readonly FenceProof[] }

export interface HandoverInput {
  readonly record: LockRecord | null
  readonly recordRevision: number
  /** Ascending by create revision; holds the keys of open grants too. */
  readonly queue: readonly Waiter[]
  /** For an open grant: why it must be sealed, or null where its key stands and nobody condemned its session. */
  readonly ending: (grant: OpenGrant) => SealCause | null
  readonly drain: (grant: SealedGrant) => DrainFacts
  readonly fence: (grant: SealedGrant) => FenceFacts
  /** Null where the waiter may be opened; else what is missing (its lease has no canary yet). */
  readonly unready: (waiter: Waiter) => string | null
}

/** Why a lock does not move on; the first that applies to a sealed grant. */
export type Obstacle =
  | { readonly kind: 'draining'; readonly grant: SealedGrant; readonly detail: string }
  | {
      readonly kind: 'unknown'
      readonly grant: SealedGrant
      readonly quietRemainingMs: number | 'counted-elsewhere' | null
      readonly detail: string
    }
  | { readonly kind: 'fencing'; readonly grant: SealedGrant; readonly detail: string }
  | { readonly kind: 'fence-blocked'; readonly grant: SealedGrant; readonly detail: string }
  /** The store went back: a key's revision is below what was opened before. Never opened. */
  | { readonly kind: 'revision-regressed'; readonly waiter: Waiter; readonly detail: string }
  | { readonly kind: 'unready'; readonly waiter: Waiter; readonly detail: string }

export type HandoverStep =
  | {
      readonly kind: 'seal'
      readonly grants: readonly { readonly grant: OpenGrant; readonly cause: SealCause }[]
    }
  | { readonly kind: 'move'; readonly close: readonly SealedGrant[]; readonly open: readonly Waiter[] }
  | { readonly kind: 'rest'; readonly obstacles: readonly Obstacle[] }

export function nextStep(input: HandoverInput): HandoverStep {
  const grants = input.record?.grants ?? []
  const ending: { grant: OpenGrant; cause: SealCause }[] = []
  for (const grant of grants) {
    if (grant.state !== 'open') continue
    const cause = input.ending(grant)
    if (cause !== null) ending.push({ grant, cause })
  }
  if (ending.length > 0) return { kind: 'seal', grants: ending }

  const close: SealedGrant[] = []
  const staying: Grant[] = []
  const obstacles: Obstacle[] = []
  for (const grant of grants) {
    if (grant.state === 'open') {
      staying.push(grant)
      continue
    }
    const obstacle = obstacleOf(grant, input.drain(grant), input.fence(grant))
    if (obstacle === null) close.push(grant)
    else {
      staying.push(grant)
      obstacles.push(obstacle)
    }
  }

  const open: Waiter[] = []
  const highWater = input.record?.highWater ?? 0
  for (const waiter of input.queue) {
    if (grants.some((grant) => grant.createRevision === waiter.createRevision)) continue
    // First come, first served: the first that cannot be opened keeps everyone behind him out, so that a writer who
    // waits is not overtaken by readers for ever.
    if (staying.some((grant) => conflicts(grant.mode, waiter.mode))) break
    if (open.some((other) => conflicts(other.mode, waiter.mode))) break
    if (waiter.createRevision <= highWater) {
      obstacles.push({
        kind: 'revision-regressed',
        waiter,
        detail: `revision ${waiter.createRevision} is not above ${highWater}, which was open before: the store went back`,
      })
      break
    }
    const missing = input.unready(waiter)
    if (missing !== null) {
      obstacles.push({ kind: 'unready', waiter, detail: missing })
      break
    }
    open.push(waiter)
  }
  if (close.length > 0 || open.length > 0) return { kind: 'move', close, open }
  return { kind: 'rest', obstacles }
}

function obstacleOf(grant: SealedGrant, drain: DrainFacts, fence: FenceFacts): Obstacle | null {
  if (fence.state === 'blocked') return { kind: 'fence-blocked', grant, detail: fence.reason }
  if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }
  if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }
  if (drain.state === 'ended') return null
  if (drain.quietOver) return null
  // Proofs stand for unknown calls only where they cover late arrivals, and what had arrived as well.
  if (fence.state === 'closed' && coversUnknownCalls(fence.proofs)) return null
  return { kind: 'unknown', grant, quietRemainingMs: drain.quietRemainingMs, detail: drain.detail }
}

/**
 * `flushed` says that everything forwarded is over; `blocks` keeps out what is still on its way, but what had arrived
 * before may run on, so it needs `swept` beside it.
 */
export function coversUnknownCalls(proofs: readonly FenceProof[]): boolean {
  let blocks = false
  let swept = false
  for (const proof of proofs) {
    if (proof.proves.includes('flushed')) return true
    if (proof.proves.includes('blocks')) blocks = true
    if (proof.proves.includes('swept')) swept = true
  }
  return blocks && swept
}

/** The record after a seal. `fence`: the fence's id where one is due for that cause. */
export function sealGrants(
  record: LockRecord,
  seals: readonly { readonly grant: OpenGrant; readonly cause: SealCause }[],
  sealedAt: string,
): LockRecord {
  const causes = new Map(seals.map(({ grant, cause }) => [grant.createRevision, cause]))
  return {
    ...record,
    grants: record.grants.map((grant): Grant => {
      const cause = causes.get(grant.createRevision)
      if (cause === undefined || grant.state === 'sealed') return grant
      return {
        ...grant,
        state: 'sealed',
        cause,
        sealedAt,
        fence: cause === 'released' ? null : grant.session,
      }
    }),
  }
}

/** The record after a move; null where nothing is left to say of the lock. */
export function moveGrants(
  lock: LockRecord['lock'],
  record: LockRecord | null,
  move: { readonly close: readonly SealedGrant[]; readonly open: readonly Waiter[] },
  openedAt: string,
): LockRecord | null {
  const closed = new Set(move.close.map((grant) => grant.createRevision))
  const grants: Grant[] = (record?.grants ?? []).filter((grant) => !closed.has(grant.createRevision))
  let highWater = record?.highWater ?? 0
  for (const waiter of move.open) {
    grants.push({
      key: waiter.key,
      createRevision: waiter.createRevision,
      session: waiter.session,
      mode: waiter.mode,
      openedAt,
      state: 'open',
    })
    highWater = Math.max(highWater, waiter.createRevision)
  }
  // A lock without grants needs no record: create revisions of one store only grow, so the next token is larger.
  // What a newer gateway added to the record stays in it.
  return grants.length === 0 ? null : { ...record, lock, grants, highWater }
}
