// The guard: the one place where a call that changes something is admitted. The check and the entry in the ledger happen
// in one tick; where the answer needs time (a handover, news from the store), the call is parked (parking.ts).

import { epochOf } from '../core/epoch.ts'
import type { SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { Clock } from '../spi/clock.ts'
import type { AdmissionRequest, AdmissionResult, Gate, LockPreview, PresentedToken } from '../spi/gate.ts'
import type { RequiredLock } from '../spi/policy.ts'
import { blockedBy } from './blocked.ts'
import type { Ledger } from './ledger.ts'
import { ownerOf } from './listings.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import { Parking, type ParkingLimits, type Undecided } from './parking.ts'
import { StaleWords } from './stale-words.ts'
import type { View } from './view.ts'

export interface GateOptions {
  readonly view: View
  readonly ledger: Ledger
  readonly clock: Clock
  /** Null where the view is provably current; else why not. */
  readonly stale: (nowMs: number) => string | null
  /**
   * For a token above everything applied: resolves once the view holds all that the store held when it was asked, or
   * false where that could not be had in `waitMs`.
   */
  readonly catchUp: (waitMs: number) => Promise<boolean>
  /** Null where tokens are not signed. */
  readonly signing: TokenCheck | null
  readonly parking: ParkingLimits
}

export interface TokenCheck {
  /** A token without a signature is refused. */
  readonly required: boolean
  /** Whether the signature belongs to this lock, token and session. */
  readonly verify: (lock: string, token: number, session: string, signature: Uint8Array) => boolean
}

type Check =
  | { readonly kind: 'grant'; readonly grant: LiveGrant }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | Undecided

export class LockGate implements Gate {
  readonly #options: GateOptions
  readonly #parking: Parking
  readonly #staleWords: StaleWords

  constructor(options: GateOptions) {
    this.#options = options
    this.#staleWords = new StaleWords(options.view)
    const { clock, catchUp, parking: limits } = options
    this.#parking = new Parking({ clock, limits, catchUp, decide: (request) => this.#decide(request) })
  }

  get parked(): number {
    return this.#parking.size
  }

  admit(
    request: AdmissionRequest,
    gone: AbortSignal | null,
    heldBytes = 0,
  ): AdmissionResult | Promise<AdmissionResult> {
    const first = this.#decide(request)
    if (first.kind === 'admitted' || first.kind === 'refused') return first
    if (first.kind === 'queued' && request.waitMs === 0) return { kind: 'refused', refusal: first.refusal }
    return this.#parking.park(first, request, gone, heldBytes)
  }

  /** Whoever waits is refused, and nobody waits from now on. */
  stop(reason: string): void {
    this.#parking.stop(reason)
  }

  preview(request: AdmissionRequest): { verdict: Refusal | null; locks: readonly LockPreview[] } {
    const stale = this.#options.stale(this.#options.clock.monotonicMs())
    let verdict: Refusal | null = stale === null ? null : notCurrent(stale)
    const locks = request.locks.map((required): LockPreview => {
      const check = this.#checkLock(required, request)
      if (check.kind !== 'grant') verdict ??= check.refusal
      return {
        name: required.name,
        mode: required.mode,
        token: check.kind === 'grant' ? String(check.grant.createRevision) : null,
        verdict: check.kind === 'grant' ? 'admitted' : check.refusal.code,
      }
    })
    return { verdict: verdict ?? this.#checkOthers(request), locks }
  }

  #decide(request: AdmissionRequest): AdmissionResult | Undecided {
    const { clock, ledger } = this.#options
    const nowMs = clock.monotonicMs()
    const stale = this.#options.stale(nowMs)
    if (stale !== null) return { kind: 'refused', refusal: notCurrent(stale) }
    const owned = this.#ownerOfOne(request)
    if (owned !== null) return { kind: 'admitted', entry: ledger.enter(request, [owned], nowMs) }
    const grants: LiveGrant[] = []
    let waiting: Undecided | null = null
    for (const required of request.locks) {
      const check = this.#checkLock(required, request)
      if (check.kind === 'refused') return check
      if (check.kind === 'grant') grants.push(check.grant)
      else waiting ??= check
    }
    const other = this.#checkOthers(request)
    if (other !== null) return { kind: 'refused', refusal: other }
    if (waiting !== null) return waiting
    return { kind: 'admitted', entry: ledger.enter(request, grants, nowMs) }
  }

  /**
   * The common case, one lock and its token, by the token alone; null sends everything else the long way, which comes to
   * the same answer and says why.
   */
  #ownerOfOne({ locks, tokens, session }: AdmissionRequest): LiveGrant | null {
    const required = locks[0]
    const presented = tokens[0]
    if (locks.length !== 1 || tokens.length !== 1 || required === undefined || presented === undefined)
      return null
    if (presented.lock !== null && presented.lock !== required.name) return null
    const grant = this.#options.view.grants.get(presented.token)
    if (grant === undefined || grant.sealed || grant.name !== required.name || this.#options.signing !== null)
      return null
    if (session !== undefined && session !== grant.session) return null
    return required.mode === 'shared' || grant.mode === 'exclusive' ? grant : null
  }

  #checkLock(required: RequiredLock, request: AdmissionRequest): Check {
    const { tokens } = request
    let presented: PresentedToken | null = null
    for (const token of tokens) {
      if (token.lock === required.name) presented = token
      else if (token.lock === null && request.locks.length === 1) presented ??= token
    }
    if (presented === null) return { kind: 'refused', refusal: this.#uncovered(required, request) }
    const check = this.#checkToken(required.name, presented, request.session)
    if (check.kind !== 'grant' || required.mode === 'shared' || check.grant.mode === 'exclusive') return check
    return {
      kind: 'refused',
      refusal: {
        code: 'wrong-lock',
        detail: `the call needs ${required.name} exclusively; token ${presented.token} holds it shared`,
        lock: required.name,
        token: String(presented.token),
      },
    }
  }

  /** Tokens beside those that the call needs: who presents one claims to hold it, and must. */
  #checkOthers(request: AdmissionRequest): Refusal | null {
    for (const presented of request.tokens) {
      if (presented.lock === null) {
        if (request.locks.length === 1) continue
        const names = request.locks.map((required) => required.name).join(', ')
        return {
          code: 'wrong-lock',
          detail: `the call needs several locks, so name each with its token: ${names}`,
        }
      }
      if (request.locks.some((required) => required.name === presented.lock)) continue
      const check = this.#checkToken(presented.lock, presented, request.session)
      if (check.kind !== 'grant') return check.refusal
    }
    return null
  }

  #checkToken(name: RequiredLock['name'], presented: PresentedToken, session: SessionId | undefined): Check {
    const { view, signing } = this.#options
    const { token } = presented
    const again = this.#staleWords.again(name, token)
    if (again !== null) return { kind: 'refused', refusal: again }
    const lock = view.locks.get(name)
    if (lock !== undefined) {
      if (lock.damage !== null)
        return { kind: 'refused', refusal: { code: 'view-not-current', detail: lock.damage, lock: name } }
      const grant = lock.grantOf(token)
      if (grant !== null && !grant.sealed) {
        if (signing !== null && !isSigned(signing, name, presented, grant))
          return {
            kind: 'refused',
            refusal: { code: 'bad-token', detail: 'the token is not signed as its grant was', lock: name },
          }
        if (session !== undefined && session !== grant.session)
          return { kind: 'refused', refusal: foreignToken(name, token, session) }
        return { kind: 'grant', grant }
      }
      if (grant === null && lock.waiterOf(token) !== null)
        return { kind: 'queued', lock, refusal: handoverRefusal(lock, token) }
    }
    if (token > view.applied)
      return {
        kind: 'news',
        ofLaterEpoch: epochOf(token) > epochOf(view.applied),
        refusal: {
          code: 'view-not-current',
          detail: `token ${token} is newer than what this gateway has applied (${view.applied})`,
          lock: name,
          token: String(token),
        },
      }
    return { kind: 'refused', refusal: this.#staleWords.of(lock, name, token) }
  }

  #uncovered(required: RequiredLock, request: AdmissionRequest): Refusal {
    const lock = this.#options.view.locks.get(required.name)
    const owner = lock === undefined ? null : ownerOf(this.#options.view, lock)
    return {
      code: request.tokens.length === 0 ? 'missing-token' : 'wrong-lock',
      detail: `${request.method} ${request.target} needs the lock ${required.name} (${required.mode})`,
      lock: required.name,
      ...(owner === null ? {} : { owner }),
    }
  }
}

function isSigned(signing: TokenCheck, lock: string, presented: PresentedToken, grant: LiveGrant): boolean {
  if (presented.implicit === true) return true
  if (presented.signature === null) return !signing.required
  return signing.verify(lock, presented.token, grant.session, presented.signature)
}

function foreignToken(lock: string, token: number, session: SessionId): Refusal {
  return {
    code: 'caller-conflict',
    detail: `token ${token} of ${lock} was granted to another session than ${session}, which sends this call`,
    lock,
    token: String(token),
  }
}

function notCurrent(reason: string): Refusal {
  return { code: 'view-not-current', detail: reason }
}

function handoverRefusal(lock: LockState, token: number): Refusal {
  const blocked = blockedBy(lock)
  const about = { lock: lock.name, token: String(token) }
  if (blocked !== null)
    return { code: 'fence-blocked', detail: `the handover of ${lock.name} is blocked: ${blocked}`, ...about }
  const waiting = lock.obstacles[0]?.detail ?? 'others are before it in the queue'
  return { code: 'handover', detail: `token ${token} of ${lock.name} is not open yet: ${waiting}`, ...about }
}
