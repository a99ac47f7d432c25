// The handover of one lock as a pure function: from the lock record, the queue and what is known of the sealed grants to
// the one step that is due. It is level-triggered: asked twice, by two gateways, it gives the same step, and each step is
// a compare-and-swap on the record's mod revision, so that only one of them happens.
//
//                        key gone, or session condemned               drained, and fenced where due
//   queued ──open──▶ open ───────────seal───────────▶ sealed ───────────────────close──────────────────▶ gone
//     ▲                                                                                                    │
//     └──────────────────── the next in the queue is opened in the transaction of the close ◀──────────────┘
//
// An upgrade (shared to exclusive) is a handover of a session to itself: when everybody before it is gone, one transaction
// seals the shared grant and enters the exclusive one as `changing`, which nobody can come before any more; it opens once
// the sealed one has drained. A downgrade keeps key and token: the grant is shared at once, and excludes like the exclusive
// one that it was until what needed it exclusively has drained.

import type { FenceProof } from './fence-record.ts'
import {
  type ChangingGrant,
  conflicts,
  excludingMode,
  type Grant,
  type LivingGrant,
  type LockRecord,
  type OpenGrant,
  type OverdueJob,
  type SealCause,
  type SealedGrant,
  type Vouch,
} from './lock-record.ts'
import type { IncarnationId, LockMode, Revision, SessionId } from './names.ts'

/** A waiter key as the view has it. In the queue by create revision. */
export interface Waiter {
  readonly key: string
  readonly createRevision: Revision
  readonly session: SessionId
  readonly mode: LockMode
  /** Of an upgrade: the session's shared grant that this is to replace. It has no claim without it. */
  readonly replaces?: Revision | null
}

/** What every gateway's ledger says of the calls under one sealed grant. */
export type DrainFacts =
  | { readonly state: 'ended' }
  /** Some gateway has not applied the seal yet, or has calls or jobs that will be known to end. */
  | { readonly state: 'draining'; readonly calls: number; readonly detail: string }
  /** All that is left to end by itself are jobs, and the drain limit is over. */
  | { readonly state: 'overdue'; readonly calls: number; readonly detail: string }
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
  readonly ending: (grant: LivingGrant) => SealCause | null
  readonly drain: (grant: SealedGrant) => DrainFacts
  /** Of an open grant that was exclusive: the calls that need it so. */
  readonly formerDrain: (grant: OpenGrant) => DrainFacts
  readonly fence: (grant: SealedGrant) => FenceFacts
  /** Null where the waiter may be opened; else what is missing (its lease has no canary yet). */
  readonly unready: (waiter: Waiter) => string | null
}

/** Why a lock does not move on; the first that applies to a sealed grant. */
export type Obstacle =
  | { readonly kind: 'draining'; readonly grant: Grant; readonly detail: string }
  | {
      readonly kind: 'unknown'
      readonly grant: Grant
      readonly quietRemainingMs: number | 'counted-elsewhere' | null
      readonly detail: string
    }
  /** Goes on when the jobs are seen to be over, or an operator vouches for them. */
  | { readonly kind: 'overdue'; readonly grant: Grant; readonly detail: string }
  | { readonly kind: 'fencing'; readonly grant: Grant; readonly detail: string }
  | { readonly kind: 'fence-blocked'; readonly grant: Grant; readonly detail: string }
  /** The store went back: a key's revision is below what was opened before. Never opened. */
  | { readonly kind: 'revision-regressed'; readonly waiter: Waiter; readonly detail: string }
  | { readonly kind: 'unready'; readonly waiter: Waiter; readonly detail: string }

export interface Ending {
  readonly grant: LivingGrant
  readonly cause: SealCause
}

/** An ending as a gateway writes it down. */
export interface Seal extends Ending {
  /** As of a sealed grant; absent: nobody. */
  readonly drainedAt?: readonly IncarnationId[]
}

/** Everything that can be done at once to a record in which nothing has to be sealed. */
export interface Move {
  readonly kind: 'move'
  readonly close: readonly SealedGrant[]
  readonly open: readonly Waiter[]
  /** Upgrades whose shared grants are over. */
  readonly complete: readonly ChangingGrant[]
  /** Downgrades whose exclusive calls are over. */
  readonly settle: readonly OpenGrant[]
}

/** From here on there is no way back: `from` is sealed, and nobody gets the lock before `to`. */
export interface Upgrade {
  readonly kind: 'upgrade'
  readonly from: OpenGrant
  readonly to: Waiter
}

export type HandoverStep =
  | {
      readonly kind: 'seal'
      readonly grants: readonly Ending[]
    }
  | Move
  | Upgrade
  | { readonly kind: 'rest'; readonly obstacles: readonly Obstacle[] }

export function nextStep(input: HandoverInput): HandoverStep {
  const grants = input.record?.grants ?? []
  const ending: Ending[] = []
  for (const grant of grants) {
    if (grant.state === 'sealed') continue
    const cause = input.ending(grant)
    if (cause !== null) ending.push({ grant, cause })
  }
  if (ending.length > 0) return { kind: 'seal', grants: ending }

  const obstacles: Obstacle[] = []
  const { staying, ...ended } = whatStays(grants, input, obstacles)
  const { open, upgrade } = whatOpens(input, staying, obstacles)
  const move: Move = { kind: 'move', ...ended, open }
  if (move.close.length + move.open.length + move.complete.length + move.settle.length > 0) return move
  return upgrade ?? { kind: 'rest', obstacles }
}

/** `staying` is the record as it will be, but for what is opened from the queue. */
function whatStays(
  grants: readonly Grant[],
  input: HandoverInput,
  obstacles: Obstacle[],
): Pick<Move, 'close' | 'complete' | 'settle'> & { readonly staying: readonly Grant[] } {
  const close: SealedGrant[] = []
  const complete: ChangingGrant[] = []
  const settle: OpenGrant[] = []
  const staying: Grant[] = []
  for (const grant of grants) {
    if (grant.state === 'sealed') {
      const obstacle = obstacleOf(grant, input.drain(grant), input.fence(grant))
      if (obstacle === null) close.push(grant)
      else {
        staying.push(grant)
        obstacles.push(obstacle)
      }
    } else if (grant.state === 'open' && grant.formerMode !== undefined) {
      const obstacle = obstacleOf(grant, input.formerDrain(grant), { state: 'none' })
      if (obstacle === null) settle.push(grant)
      else obstacles.push(obstacle)
      staying.push(obstacle === null ? settled(grant) : grant)
    } else staying.push(grant)
  }
  for (const grant of staying) {
    if (grant.state !== 'changing') continue
    if (staying.some((other) => other !== grant && excludes(other, grant))) continue
    const missing = input.unready(grant)
    if (missing === null) complete.push(grant)
    else obstacles.push({ kind: 'unready', waiter: grant, detail: missing })
  }
  return { close, complete, settle, staying }
}

function whatOpens(
  input: HandoverInput,
  staying: readonly Grant[],
  obstacles: Obstacle[],
): { readonly open: readonly Waiter[]; readonly upgrade: Upgrade | null } {
  const open: Waiter[] = []
  const highWater = input.record?.highWater ?? 0
  for (const waiter of input.queue) {
    if (input.record?.grants.some((grant) => grant.createRevision === waiter.createRevision)) continue
    const base = baseOf(waiter, staying)
    // What it was to replace is over: it may have been somebody else's in between, so it has no claim of its own.
    if (isUpgrade(waiter) && base === null) continue
    // First come, first served: the first that cannot be opened keeps everyone behind him out, so that a writer who
    // waits is not overtaken by readers for ever.
    if (staying.some((grant) => grant !== base && excludes(grant, waiter))) break
    if (open.some((other) => conflicts(other.mode, waiter.mode))) break
    const obstacle = waiterObstacle(waiter, highWater, input.unready)
    if (obstacle !== null) {
      obstacles.push(obstacle)
      break
    }
    if (base !== null) return { open, upgrade: { kind: 'upgrade', from: base, to: waiter } }
    open.push(waiter)
  }
  return { open, upgrade: null }
}

function isUpgrade(waiter: Waiter): boolean {
  return waiter.replaces !== undefined && waiter.replaces !== null
}

function baseOf(waiter: Waiter, grants: readonly Grant[]): OpenGrant | null {
  for (const grant of grants)
    if (
      grant.state === 'open' &&
      grant.createRevision === waiter.replaces &&
      grant.session === waiter.session
    )
      return grant
  return null
}

function waiterObstacle(
  waiter: Waiter,
  highWater: number,
  unready: HandoverInput['unready'],
): Obstacle | null {
  if (waiter.createRevision <= highWater)
    return {
      kind: 'revision-regressed',
      waiter,
      detail: `revision ${waiter.createRevision} is not above ${highWater}, which was open before: the store went back`,
    }
  const missing = unready(waiter)
  return missing === null ? null : { kind: 'unready', waiter, detail: missing }
}

function excludes(grant: Grant, other: { readonly mode: LockMode }): boolean {
  return conflicts(excludingMode(grant), other.mode)
}

function obstacleOf(grant: SealedGrant | OpenGrant, drain: DrainFacts, fence: FenceFacts): Obstacle | null {
  if (fence.state === 'blocked') return { kind: 'fence-blocked', grant, detail: fence.reason }
  if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }
  if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }
  if (drain.state === 'ended') return null
  if (drain.state === 'overdue') return { kind: 'overdue', grant, detail: drain.detail }
  if (drain.quietOver) return null
  // Proofs stand for unknown calls only where they cover late arrivals, and what had arrived as well.
  if (fence.state === 'closed' && coversUnknownCalls(fence.proofs)) return null
  return { kind: 'unknown', grant, quietRemainingMs: drain.quietRemainingMs, detail: drain.detail }
}

/**
 * `flushed` says that everything forwarded is over; `blocks` keeps out what is still on its way, but what had arrived
 * before may run on, so it needs a `swept` that was observed after it: what arrives between a sweep and a later block is in
 * neither. The record holds proofs in that order.
 */
export function coversUnknownCalls(proofs: readonly FenceProof[]): boolean {
  let blocks = false
  for (const { proves } of proofs) {
    if (proves.includes('flushed')) return true
    if (proves.includes('blocks')) blocks = true
    if (blocks && proves.includes('swept')) return true
  }
  return false
}

/** The record after a seal. `fence`: the fence's id where one is due for that cause. */
export function sealGrants(record: LockRecord, seals: readonly Seal[], sealedAt: string): LockRecord {
  const endings = new Map(seals.map((seal) => [seal.grant.createRevision, seal]))
  return {
    ...record,
    grants: record.grants.map((grant): Grant => {
      const ending = endings.get(grant.createRevision)
      if (ending === undefined || grant.state === 'sealed') return grant
      const { cause, drainedAt = [] } = ending
      const fence = cause === 'expired' || cause === 'revoked' ? grant.session : null
      const words = drainedAt.length === 0 ? {} : { drainedAt }
      return { ...grant, state: 'sealed', cause, sealedAt, fence, ...words }
    }),
  }
}

/** The record after an upgrade's first half. */
export function beginUpgrade(record: LockRecord, { from, to }: Upgrade, at: string): LockRecord {
  const sealed = sealGrants(record, [{ grant: from, cause: 'upgraded' }], at)
  const changing: ChangingGrant = {
    ...grantOf(to, at),
    state: 'changing',
    replaced: from.createRevision,
  }
  return { ...sealed, grants: [...sealed.grants, changing] }
}

/** The record after a downgrade; the token stays. */
export function downgrade(record: LockRecord, token: Revision): LockRecord {
  return {
    ...record,
    grants: record.grants.map(
      (grant): Grant =>
        grant.createRevision === token && grant.state === 'open' && grant.mode === 'exclusive'
          ? { ...grant, mode: 'shared', formerMode: 'exclusive' }
          : grant,
    ),
  }
}

/** The record after an operator's word, by create revision of the grants that it is about. */
export function vouchGrants(record: LockRecord, words: ReadonlyMap<Revision, Vouch>): LockRecord {
  return {
    ...record,
    grants: record.grants.map((grant): Grant => {
      const vouch = words.get(grant.createRevision)
      return vouch === undefined ? grant : { ...grant, vouched: [...(grant.vouched ?? []), vouch] }
    }),
  }
}

const FENCES_NAMED_MAX = 16

/** The record with jobs that outlast the drain limit, by create revision of their grants. */
export function recordJobs(
  record: LockRecord,
  found: ReadonlyMap<Revision, readonly OverdueJob[]>,
): LockRecord {
  return {
    ...record,
    grants: record.grants.map((grant): Grant => {
      const jobs = found.get(grant.createRevision)
      return jobs === undefined ? grant : { ...grant, jobs: [...(grant.jobs ?? []), ...jobs] }
    }),
  }
}

/** The record after a move; null where nothing is left to say of the lock. `queue`: of which it opens some. */
export function moveGrants(
  lock: LockRecord['lock'],
  record: LockRecord | null,
  move: Omit<Move, 'kind'>,
  openedAt: string,
  queue: readonly Waiter[] = [],
): LockRecord | null {
  const revisionsOf = (grants: readonly Grant[]) => new Set(grants.map((grant) => grant.createRevision))
  const closed = revisionsOf(move.close)
  const completed = revisionsOf(move.complete)
  const calm = revisionsOf(move.settle)
  const { closedFences = [], ...rest } = record ?? {}
  const fences = [
    ...new Set([...closedFences, ...move.close.flatMap(({ fence }) => (fence === null ? [] : [fence]))]),
  ].slice(-FENCES_NAMED_MAX)
  const after = fences.length === 0 ? {} : { afterFences: fences }
  const grants: Grant[] = []
  for (const grant of record?.grants ?? []) {
    const { createRevision } = grant
    if (closed.has(createRevision)) continue
    if (grant.state === 'changing' && completed.has(createRevision))
      grants.push({ ...grant, state: 'open', openedAt, ...after })
    else if (grant.state === 'open' && calm.has(createRevision)) grants.push(settled(grant))
    else grants.push(grant)
  }
  for (const waiter of move.open) grants.push({ ...grantOf(waiter, openedAt), state: 'open', ...after })
  const opened = [...move.open, ...move.complete].map((grant) => grant.createRevision)
  const highWater = Math.max(record?.highWater ?? 0, ...opened)
  // A lock without grants needs no record: create revisions of one store only grow, so the next token is larger.
  // Who waits with an older token nevertheless was overtaken while nobody watched for it, and must never be opened.
  const isOvertaken = queue.some((waiter) => waiter.createRevision <= highWater && !isUpgrade(waiter))
  // What a newer gateway added to the record stays in it.
  if (grants.length === 0 && !isOvertaken) return null
  const unnamed = opened.length > 0 || fences.length === 0 ? {} : { closedFences: fences }
  return { ...rest, ...unnamed, lock, grants, highWater }
}

function grantOf(waiter: Waiter, openedAt: string) {
  const { key, createRevision, session, mode } = waiter
  return { key, createRevision, session, mode, openedAt }
}

function settled(grant: OpenGrant): OpenGrant {
  const { formerMode: _, vouched: __, jobs: ___, ...rest } = grant
  return rest
}
