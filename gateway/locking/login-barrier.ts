// Keeps a holder who is being fenced from coming back: from the moment at which his session is over and a fence is due until
// that fence is closed, calls that open a session at the backend for him are refused. What it goes by is in the store, so all
// gateways refuse alike, and a restart forgets nothing.
//
// He is known by the session or the token that the call names, or by his login name where his fenceInfo has it. A name that
// somebody else's living session has as well names neither of them: it is let through, since the token check stands all the
// same, and refusing it would stop holders that nothing is wrong with.

import type { CallerWay } from '../core/caller.ts'
import { type LoginName, mayBeSameLogin, readLoginName } from '../core/login-name.ts'
import { asLeaseId, type SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { LoginAttempt, LoginBarrier } from '../spi/login-barrier.ts'
import { CallerDigests } from './caller-digest.ts'
import { isUnsealed } from './holders.ts'
import { fenceInfoOf } from './learnt-fence-info.ts'
import type { View, ViewChange } from './view.ts'

export interface LoginBarrierOptions {
  readonly view: View
  /** Null where the view is provably current. */
  readonly stale: () => string | null
  /** Keys of fenceInfo under which a login name may stand, of all policies. */
  readonly keys: readonly string[]
}

interface Claim {
  readonly key: string
  readonly name: LoginName
}

export class ViewLoginBarrier implements LoginBarrier {
  readonly #options: LoginBarrierOptions
  readonly #digests = new CallerDigests()
  /** What is said of each session's login names, and who says that a user is his. */
  /** Which sessions were bound to a mark, by its digest: also those that are over, as long as their record is there. */
  readonly #marked = new Map<string, Set<SessionId>>()
  readonly #marks = new Map<SessionId, readonly string[]>()
  readonly #claims = new Map<SessionId, readonly Claim[]>()
  readonly #claimants = new Map<string, Set<SessionId>>()
  /** Of those with a claim: the ones who have a fence that is not closed. */
  readonly #fenced = new Set<SessionId>()

  constructor(options: LoginBarrierOptions) {
    this.#options = options
  }

  /** How many users are kept in mind: none once nobody has said a name. */
  get users(): number {
    return this.#claimants.size
  }

  /** To be called after each change of the view. */
  changed({ sessions, fences }: Pick<ViewChange, 'sessions' | 'fences'>): void {
    for (const session of sessions) this.#indexMarks(session)
    if (this.#options.keys.length === 0) return
    for (const session of sessions) this.#index(session)
    for (const fence of fences) this.#index(fence as SessionId)
  }

  refusal(attempt: LoginAttempt): Refusal | null {
    const callers = this.#callers(attempt)
    const name = attempt.name === null ? null : readLoginName(attempt.name)
    const named = name === null ? [] : this.#claimantsOf(name, attempt.keys)
    const claimants = [...new Set([...named, ...this.#markedBy(attempt)])]
    const concerned = callers.length > 0 || claimants.length > 0
    const stale = concerned ? this.#options.stale() : null
    if (stale !== null)
      return {
        code: 'view-not-current',
        detail: `nobody can tell whether this holder is being fenced: ${stale}`,
      }
    const fenced =
      callers.find((session) => this.#isFenced(session)) ??
      this.#namesake(callers, this.#markedBy(attempt, 'session')) ??
      this.#namesake(callers, claimants)
    if (fenced !== null) return this.#refused(fenced)
    if (!attempt.strict || callers.length > 0) return null
    const other = this.#anybodyFenced(attempt.keys)
    return other === null ? null : this.#refused(other)
  }

  /**
   * Whoever was bound to one of the marks that the call bears. A session at the backend is one holder's alone, so it says who he
   * is whatever name he writes, as in ImpersonateUser; an account or an address may be somebody else's as well.
   */
  #markedBy({ caller }: LoginAttempt, way?: CallerWay): readonly SessionId[] {
    if (caller === undefined || caller === null) return []
    return caller.claims.flatMap(({ by, value }) =>
      way === undefined || way === by
        ? [...(this.#marked.get(this.#digests.of(caller.realm, by, value)) ?? [])]
        : [],
    )
  }

  #indexMarks(session: SessionId): void {
    for (const digest of this.#marks.get(session) ?? []) {
      const sessions = this.#marked.get(digest)
      sessions?.delete(session)
      if (sessions?.size === 0) this.#marked.delete(digest)
    }
    const digests = (this.#options.view.sessions.get(session)?.record.bindings ?? []).map(
      ({ digest }) => digest,
    )
    if (digests.length === 0) this.#marks.delete(session)
    else this.#marks.set(session, digests)
    for (const digest of digests) {
      const sessions = this.#marked.get(digest)
      if (sessions === undefined) this.#marked.set(digest, new Set([session]))
      else sessions.add(session)
    }
  }

  /** The sessions that the call names. */
  #callers({ session, tokens }: LoginAttempt): readonly SessionId[] {
    const { view } = this.#options
    const named = session === null ? null : asLeaseId(session.trim())
    const callers: SessionId[] = []
    if (named !== null && (view.sessions.has(named) || view.condemned(named))) callers.push(named)
    for (const { token } of tokens) {
      const grant = view.grants.get(token)
      if (grant !== undefined) callers.push(grant.session)
    }
    return callers
  }

  #claimantsOf(name: LoginName, keys: readonly string[]): readonly SessionId[] {
    return [...(this.#claimants.get(name.user) ?? [])].filter((session) =>
      this.#claims
        .get(session)
        ?.some((claim) => keys.includes(claim.key) && mayBeSameLogin(claim.name, name)),
    )
  }

  /** One of the claimants who is being fenced, where the name cannot be anybody else's. */
  #namesake(callers: readonly SessionId[], claimants: readonly SessionId[]): SessionId | null {
    const fenced = claimants.filter((session) => this.#isFenced(session))
    const holders = new Set(fenced.map((session) => this.#holderOf(session)))
    // Who says that he is another living session is believed, but not the same holder under a new one.
    const others = callers.length > 0 ? callers : claimants
    const isShared = others.some(
      (session) => this.#isAlive(session) && !holders.has(this.#holderOf(session) ?? session),
    )
    return isShared ? null : (fenced[0] ?? null)
  }

  #anybodyFenced(keys: readonly string[]): SessionId | null {
    for (const session of this.#fenced)
      if (this.#claims.get(session)?.some(({ key }) => keys.includes(key)) === true) return session
    return null
  }

  #isAlive(session: SessionId): boolean {
    const { view } = this.#options
    return view.sessions.has(session) && view.canaries.has(session) && !view.condemned(session)
  }

  #isFenced(session: SessionId): boolean {
    const { view } = this.#options
    const fence = view.fences.get(session)
    if (fence !== undefined) return fence.record.progress.state !== 'closed'
    if (view.damagedFences.has(session)) return true
    // Its lease is over and its fence is about to be written.
    return view.sessions.has(session) && !view.canaries.has(session) && isUnsealed(view, session)
  }

  #holderOf(session: SessionId): string | null {
    const { view } = this.#options
    const id = view.sessions.get(session)?.record.holder.id ?? view.fences.get(session)?.record.holder?.['id']
    return typeof id === 'string' ? id : null
  }

  #refused(session: SessionId): Refusal {
    const fence = this.#options.view.fences.get(session)?.record
    const holder = this.#holderOf(session) ?? 'the holder'
    const state =
      fence?.progress.state === 'blocked'
        ? `which waits for an operator (${fence.progress.reason})`
        : 'which is not closed yet'
    const detail = `${holder} is being fenced (fence ${session}, ${state}): until that is over he opens no session here`
    return fence?.progress.state === 'blocked'
      ? { code: 'fence-due', detail, retryAfterSeconds: 30 }
      : { code: 'fence-due', detail }
  }

  #index(session: SessionId): void {
    for (const { name } of this.#claims.get(session) ?? []) {
      const claimants = this.#claimants.get(name.user)
      claimants?.delete(session)
      if (claimants?.size === 0) this.#claimants.delete(name.user)
    }
    const { view } = this.#options
    const fence = view.fences.get(session)?.record
    const isOpen = fence !== undefined && fence.progress.state !== 'closed'
    const known = view.sessions.get(session)
    const claims = this.#claimsIn(
      known === undefined ? undefined : fenceInfoOf(known.record),
      isOpen ? fence.fenceInfo : undefined,
    )
    if (claims.length === 0) this.#claims.delete(session)
    else this.#claims.set(session, claims)
    if (claims.length > 0 && (isOpen || view.damagedFences.has(session))) this.#fenced.add(session)
    else this.#fenced.delete(session)
    for (const { name } of claims) {
      const claimants = this.#claimants.get(name.user)
      if (claimants === undefined) this.#claimants.set(name.user, new Set([session]))
      else claimants.add(session)
    }
  }

  #claimsIn(...infos: readonly (Readonly<Record<string, unknown>> | undefined)[]): readonly Claim[] {
    const claims: Claim[] = []
    for (const info of infos)
      for (const key of this.#options.keys) {
        const value = info?.[key]
        if (typeof value === 'string' && value.trim() !== '') claims.push({ key, name: readLoginName(value) })
      }
    return claims
  }
}
