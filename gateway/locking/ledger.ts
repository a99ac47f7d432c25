// The ledger of calls in flight: who was admitted under which grant, and what became of him. A handover waits for it, so
// an entry leaves only when its call is known to be over at the backend, or when something stands for that knowledge.

import type { DrainFacts } from '../core/handover.ts'
import type { Refusal } from '../core/verdict.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { AdmissionRequest, LedgerEntry } from '../spi/gate.ts'
import type { JobProbe } from '../spi/policy.ts'
import type { LiveGrant, LockState } from './lock-state.ts'

export type CallState =
  | { readonly kind: 'forwarded' }
  | { readonly kind: 'job'; readonly id: string; readonly probe: JobProbe }
  | { readonly kind: 'unknown'; readonly reason: string; readonly sinceMs: number }
  | { readonly kind: 'ended' }

const FORWARDED: CallState = { kind: 'forwarded' }
const ENDED: CallState = { kind: 'ended' }

/** This gateway's registration at the time of the call. A later one does not speak for it. */
export interface AdmittingLease {
  valid(nowMs: number): boolean
}

export interface LedgerOptions {
  readonly clock: Clock
  readonly events: EventSink
  /** After a seal, how long a call may stay unanswered before its connection is broken and it is unknown. */
  readonly drainMs: number
  /** Null where a call that was admitted may still go out now. */
  readonly recheck: () => Refusal | null
  /** Under which calls are admitted now. */
  readonly lease: () => AdmittingLease
  /** A sealed grant of this lock has one call less, or one whose fate has changed. */
  readonly onProgress: (lock: LockState) => void
}

export class LedgerCall implements LedgerEntry {
  readonly request: AdmissionRequest
  readonly grants: readonly LiveGrant[]
  readonly admittedAtMs: number
  readonly #ledger: Ledger
  readonly #lease: AdmittingLease
  #state: CallState = FORWARDED
  #sealedListener: (() => void) | null = null
  #abandonedListener: (() => void) | null = null
  #abandoned = false
  /** Places in the grants' lists; nearly every call has one grant. */
  #slot = -1
  #otherSlots: Map<LiveGrant, number> | null = null

  constructor(
    ledger: Ledger,
    lease: AdmittingLease,
    request: AdmissionRequest,
    grants: readonly LiveGrant[],
    admittedAtMs: number,
  ) {
    this.#ledger = ledger
    this.#lease = lease
    this.request = request
    this.grants = grants
    this.admittedAtMs = admittedAtMs
  }

  get state(): CallState {
    return this.#state
  }

  get session(): string {
    return this.grants[0]?.session ?? ''
  }

  /** -1: not in the grant's list. */
  slotIn(grant: LiveGrant): number {
    return grant === this.grants[0] ? this.#slot : (this.#otherSlots?.get(grant) ?? -1)
  }

  setSlot(grant: LiveGrant, slot: number): void {
    if (grant === this.grants[0]) this.#slot = slot
    else {
      this.#otherSlots ??= new Map()
      this.#otherSlots.set(grant, slot)
    }
  }

  get sealed(): boolean {
    for (const grant of this.grants) if (grant.sealed || !this.coveredBy(grant)) return true
    return false
  }

  get leaseStands(): boolean {
    return this.#lease.valid(this.#ledger.nowMs())
  }

  /** False where the call needs the lock exclusively, and the grant is shared by now. */
  coveredBy(grant: LiveGrant): boolean {
    if (grant.mode === 'exclusive') return true
    return this.request.locks.every(({ name, mode }) => name !== grant.name || mode === 'shared')
  }

  recheck(): Refusal | null {
    for (const grant of this.grants) {
      if (grant.sealed)
        return {
          code: 'stale-token',
          detail: `the grant of lock ${grant.name} ended before the call went out`,
          lock: grant.name,
          token: String(grant.createRevision),
        }
      if (!this.coveredBy(grant))
        return {
          code: 'wrong-lock',
          detail: `the grant of lock ${grant.name} became a shared one before the call, which needs it exclusively, went out`,
          lock: grant.name,
          token: String(grant.createRevision),
        }
    }
    return this.#ledger.recheck()
  }

  ended(): void {
    if (this.#state.kind === 'ended') return
    // An unknown call stays unknown: a late word of the connection that lost it proves nothing.
    if (this.#state.kind === 'unknown') return
    this.#state = ENDED
    this.#ledger.leave(this)
  }

  job(id: string, probe: JobProbe): void {
    // Given up already: the answer that came all the same says what was started, not when it ends.
    if (this.#state.kind !== 'forwarded') return
    this.#state = { kind: 'job', id, probe }
  }

  unknown(reason: string): void {
    if (this.#state.kind === 'ended' || this.#state.kind === 'unknown') return
    this.#state = { kind: 'unknown', reason, sinceMs: this.#ledger.nowMs() }
    this.#ledger.lost(this, reason)
  }

  onSealed(listener: () => void): void {
    if (this.sealed) listener()
    else this.#sealedListener = listener
  }

  onAbandoned(listener: () => void): void {
    if (this.#abandoned) listener()
    else this.#abandonedListener = listener
  }

  /** The handover went on over it: nothing that is reported from now on counts. */
  forget(): void {
    this.#state = ENDED
  }

  /** One of the call's grants was sealed, or no longer covers it. */
  grantEnded(): void {
    const listener = this.#sealedListener
    this.#sealedListener = null
    listener?.()
  }

  /** The drain limit is over. A job goes on being watched: it is known to run, which is no reason to forget it. */
  abandon(): void {
    if (this.#abandoned || this.#state.kind !== 'forwarded') return
    this.#abandoned = true
    const listener = this.#abandonedListener
    this.#abandonedListener = null
    listener?.()
    this.unknown('no whole answer came within the drain limit')
  }
}

export class Ledger {
  readonly #options: LedgerOptions
  readonly #drains = new Map<LiveGrant, Timer>()
  readonly #formerDrains = new Map<LiveGrant, Timer>()
  /** Grants whose drain limit is over, and downgraded ones: from here on only jobs end by themselves. */
  readonly #overdue = new WeakSet<LiveGrant>()
  readonly #formerOverdue = new WeakSet<LiveGrant>()
  readonly #unknown = new Set<LedgerCall>()
  #open = 0

  constructor(options: LedgerOptions) {
    this.#options = options
  }

  /** Calls that are not known to be over, unknown ones too. */
  get open(): number {
    return this.#open
  }

  get unknownCalls(): number {
    return this.#unknown.size
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs()
  }

  recheck(): Refusal | null {
    return this.#options.recheck()
  }

  /** Enters a call in the same tick in which it passed the check. */
  enter(request: AdmissionRequest, grants: readonly LiveGrant[], nowMs: number): LedgerCall {
    const call = new LedgerCall(this, this.#options.lease(), request, grants, nowMs)
    for (const grant of grants) grant.enter(call)
    this.#open++
    return call
  }

  leave(call: LedgerCall): void {
    this.#open--
    this.#unknown.delete(call)
    for (const grant of call.grants) {
      const last = grant.leave(call)
      if ((grant.sealed && (last || !isAnswerDue(grant))) || !call.coveredBy(grant))
        this.#options.onProgress(grant.lock)
    }
  }

  lost(call: LedgerCall, reason: string): void {
    this.#forgetQuietCalls()
    this.#unknown.add(call)
    const { backend, method, target } = call.request
    this.#options.events({ type: 'call.unknown', backend, detail: `${method} ${target}: ${reason}` })
    for (const grant of call.grants)
      if (grant.sealed || !call.coveredBy(grant)) this.#options.onProgress(grant.lock)
  }

  /** To be called once when a grant is sealed: bounds how long its calls may hold up the handover. */
  sealed(grant: LiveGrant): void {
    this.#limit(this.#drains, this.#overdue, grant, () => true)
  }

  /** As `sealed`, of a downgrade: only what needs the lock exclusively holds anybody up. */
  narrowed(grant: LiveGrant): void {
    this.#limit(this.#formerDrains, this.#formerOverdue, grant, (call) => !call.coveredBy(grant))
  }

  #limit(
    timers: Map<LiveGrant, Timer>,
    overdue: WeakSet<LiveGrant>,
    grant: LiveGrant,
    concerned: (call: LedgerCall) => boolean,
  ): void {
    if (timers.has(grant) || !grant.calls.some(concerned)) return
    const timer = this.#options.clock.after(this.#options.drainMs, () => {
      timers.delete(grant)
      overdue.add(grant)
      for (const call of [...grant.calls]) if (concerned(call)) call.abandon()
      if (grant.calls.some((call) => call.state.kind === 'job')) this.#options.onProgress(grant.lock)
    })
    timers.set(grant, timer)
  }

  /** The handover is over: whatever stood for the fate of the remaining calls has been accepted. */
  closed(grant: LiveGrant): void {
    for (const timers of [this.#drains, this.#formerDrains]) {
      timers.get(grant)?.cancel()
      timers.delete(grant)
    }
    for (const call of [...grant.calls]) {
      grant.leave(call)
      if (call.grants.every((other) => call.slotIn(other) < 0)) {
        call.forget()
        this.#unknown.delete(call)
        this.#open--
      }
    }
  }

  /** What this gateway alone can say of a sealed grant's calls. */
  drain(grant: LiveGrant): DrainFacts {
    return this.#drainOf(grant.calls, this.#overdue.has(grant))
  }

  /** And of a downgraded one's: of the calls for which it has to be exclusive. */
  formerDrain(grant: LiveGrant): DrainFacts {
    const calls = grant.calls.filter((call) => !call.coveredBy(grant))
    return this.#drainOf(calls, this.#formerOverdue.has(grant))
  }

  #drainOf(calls: readonly LedgerCall[], isOverdue: boolean): DrainFacts {
    let draining = 0
    let jobs = 0
    let unknown = 0
    let quietOver = true
    let quietRemainingMs: number | null = 0
    let detail = ''
    const nowMs = this.nowMs()
    for (const call of calls) {
      switch (call.state.kind) {
        case 'forwarded':
          draining++
          detail = `${call.request.method} ${call.request.target} has not been answered`
          break
        case 'job':
          draining++
          jobs++
          detail = `${call.request.method} ${call.request.target} started ${call.state.id} at ${call.request.backend}, which is not over`
          break
        case 'unknown': {
          unknown++
          if (draining === 0) detail = `${call.request.method} ${call.request.target}: ${call.state.reason}`
          const remaining = quietRemaining(call, call.state.sinceMs, nowMs)
          if (remaining === null) {
            quietOver = false
            quietRemainingMs = null
          } else if (remaining > 0) {
            quietOver = false
            if (quietRemainingMs !== null) quietRemainingMs = Math.max(quietRemainingMs, remaining)
          }
          break
        }
        case 'ended':
          break
      }
    }
    if (isOverdue && jobs > 0 && jobs === draining)
      return { state: 'overdue', calls: draining, detail: `${detail} past the drain limit` }
    if (draining > 0) return { state: 'draining', calls: draining, detail }
    if (unknown > 0) return { state: 'unknown', calls: unknown, quietOver, quietRemainingMs, detail }
    return { state: 'ended' }
  }

  /** Ends timers. The calls stay what they are, but for those for which the quiet time stands by now. */
  stop(): void {
    this.#forgetQuietCalls()
    for (const timers of [this.#drains, this.#formerDrains]) {
      for (const timer of timers.values()) timer.cancel()
      timers.clear()
    }
  }

  // Unknown calls of a grant that lives on would pile up: after their quiet time they can do no more harm.
  #forgetQuietCalls(): void {
    const nowMs = this.nowMs()
    for (const call of this.#unknown) {
      if (call.state.kind !== 'unknown') continue
      const remaining = quietRemaining(call, call.state.sinceMs, nowMs)
      // In the order in which they were lost, so with equal quiet times nothing behind this one is over either.
      if (remaining !== null && remaining > 0) return
      if (remaining === 0) this.leave(call)
    }
  }
}

/** False: only time, a proof or a word ends what is left, and somebody has to begin to count. */
function isAnswerDue(grant: LiveGrant): boolean {
  return grant.calls.some(({ state }) => state.kind === 'forwarded' || state.kind === 'job')
}

function quietRemaining(call: LedgerCall, sinceMs: number, nowMs: number): number | null {
  const { quietMs } = call.request
  return quietMs === null ? null : Math.max(0, sinceMs + quietMs - nowMs)
}
