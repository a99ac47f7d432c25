// Holds the promises against a history. Pure: a list of events in, a list of violations out. It knows nothing of the
// gateways that made the history; checker.test.ts shows it a bad history for each promise.

import { conflicts } from '../../gateway/core/lock-record.ts'
import type { LockMode } from '../../gateway/core/names.ts'
import type { HistoryEvent } from './history.ts'
import { LoginChecker } from './login-checker.ts'

export interface Violation {
  readonly promise: 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'crash'
  readonly atMs: number
  readonly detail: string
}

interface KnownGrant {
  readonly token: number
  readonly session: string
  mode: LockMode
  queued: boolean
  leaseEnded: boolean
  opened: boolean
  sealed: 'released' | 'expired' | 'revoked' | 'upgraded' | null
  sealRevision: number
  closed: boolean
  grantedAtMs: number | null
  /** Gateways that have told a holder of it, and so have seen it. */
  readonly grantedBy: Set<string>
  unqueuedAtMs: number | null
}

interface KnownLock {
  readonly grants: Map<number, KnownGrant>
  readonly admitted: Map<number, LockMode>
  newestOpened: number
  newestQueued: number
  /** Tokens that came again after the store had gone back. */
  readonly reborn: Set<number>
}

interface Release {
  readonly id: number
  readonly lock: string | null
  readonly token: number | null
  readonly session: string
  readonly askedAtMs: number
  readonly gateway: string
  /** Infinity where the answer was lost with its gateway, or was an error. */
  answeredAtMs: number | null
}

/** Longer than a gateway that serves may lag behind the store, and one attempt of a fencer takes. */
const STORM_SEEN_MS = 12_000

function isFenced(cause: KnownGrant['sealed']): boolean {
  return cause === 'expired' || cause === 'revoked'
}

export interface CheckOptions {
  /**
   * Every deed of every party is in the history, in the order in which they happened; else what holders asked for, and what
   * fencers saw, is not held against the gateways.
   */
  readonly whole: boolean
}

export function check(
  history: readonly HistoryEvent[],
  options: CheckOptions = { whole: false },
): Violation[] {
  return new Checker(options).run(history)
}

class Checker {
  readonly #whole: boolean
  readonly #violations: Violation[] = []
  readonly #locks = new Map<string, KnownLock>()
  /** State of each session's fence. */
  readonly #fences = new Map<string, string>()
  /** Incarnation that runs each session's fence. */
  readonly #claims = new Map<string, string | null>()
  /** Since when each session's fence stands in a storm, with no operator's word. */
  readonly #stormedAtMs = new Map<string, number>()
  /** Sessions whose holder some fencer has seen harmless. */
  readonly #verified = new Set<string>()
  readonly #ordered = new Set<string>()
  /** Sessions and locks: an upgrade takes the shared grant's key. */
  readonly #modesAsked = new Set<string>()
  readonly #endedLeases = new Map<string, string | null>()
  readonly #releases = new Map<number, Release>()
  readonly #live = new Map<string, Set<string>>()
  readonly #ownerOf = new Map<string, string>()
  readonly #reported = new Map<string, number>()
  readonly #lastSnapshot = new Map<string, number>()
  readonly #admissions = new Set<number>()
  readonly #acquisitions: { readonly lock: string; readonly session: string; readonly atMs: number }[] = []
  readonly #died = new Set<string>()
  readonly #blocked = new Map<string, string>()
  #logins = new LoginChecker({ whole: true })
  #mayBlock = false
  #settled = false
  #restored = false

  constructor({ whole }: CheckOptions) {
    this.#whole = whole
  }

  run(history: readonly HistoryEvent[]): Violation[] {
    for (const event of history) this.#see(event)
    for (const [id, release] of this.#releases)
      if (release.answeredAtMs === null)
        this.#violate(
          'I8',
          release.askedAtMs,
          `release ${id} of ${release.lock} by ${release.session} at ${release.gateway} never resolved`,
        )
    if (this.#settled) this.#checkFencesLost(history.at(-1)?.atMs ?? 0)
    return this.#violations
  }

  #see(event: HistoryEvent): void {
    if (this.#restored) {
      this.#seeRestored(event)
      return
    }
    const fault = this.#logins.see(event)
    if (fault !== null) this.#violate(fault.promise, event.atMs, fault.detail)
    switch (event.kind) {
      case 'queued':
        this.#queued(event)
        return
      case 'unqueued':
        this.#unqueued(event)
        return
      case 'opened':
        this.#opened(event)
        return
      case 'sealed':
        this.#sealed(event)
        return
      case 'narrowed': {
        const grant = this.#lock(event.lock).grants.get(event.token)
        if (grant !== undefined) grant.mode = 'shared'
        return
      }
      case 'mode-asked':
        this.#modesAsked.add(`${event.session} ${event.lock}`)
        return
      case 'closed': {
        const grant = this.#lock(event.lock).grants.get(event.token)
        if (grant !== undefined) grant.closed = true
        return
      }
      case 'lease-ended':
        this.#endedLeases.set(event.lease, event.by)
        return
      case 'fence':
        this.#fence(event)
        return
      case 'ordered':
        this.#ordered.add(event.session)
        return
      case 'struck':
        this.#struck(event)
        return
      case 'verified':
        this.#verified.add(event.session)
        return
      case 'registered': {
        const live = this.#live.get(event.gateway) ?? new Set()
        live.add(event.incarnation)
        this.#live.set(event.gateway, live)
        this.#ownerOf.set(event.incarnation, event.gateway)
        return
      }
      case 'lost':
        this.#live.get(this.#ownerOf.get(event.incarnation) ?? '')?.delete(event.incarnation)
        return
      case 'reported':
        this.#reported.set(event.gateway, Math.max(event.sealed, this.#reported.get(event.gateway) ?? 0))
        return
      case 'snapshot':
        this.#lastSnapshot.set(event.gateway, event.atMs)
        return
      case 'granted': {
        const grant = this.#lock(event.lock).grants.get(event.token)
        if (grant === undefined) return
        grant.grantedAtMs ??= event.atMs
        grant.grantedBy.add(event.gateway)
        return
      }
      case 'acquire-asked':
        this.#acquisitions.push(event)
        return
      case 'release-asked':
        this.#releases.set(event.id, {
          id: event.id,
          lock: event.lock,
          token: event.token ?? null,
          session: event.session,
          gateway: event.gateway,
          askedAtMs: event.atMs,
          answeredAtMs: null,
        })
        return
      case 'release-answered':
        this.#releaseAnswered(event)
        return
      case 'refused':
        if (this.#whole) this.#refused(event)
        return
      case 'admitted':
        this.#admitted(event)
        return
      case 'executed':
        this.#executed(event)
        return
      case 'restored':
        this.#restored = true
        return
      case 'bumped':
        return
      case 'blocked':
        this.#blocked.set(event.lock, event.reason)
        return
      case 'crashed':
        this.#violate('crash', event.atMs, `${event.gateway ?? 'somebody'}: ${event.error}`)
        return
      case 'settled':
        this.#mayBlock = event.mayBlock ?? false
        this.#settle(event.atMs)
        return
      case 'probed':
        if (!event.granted && !this.#mayStand(event.lock))
          this.#violate(
            'I9',
            event.atMs,
            `lock ${event.lock} could not be taken after all was healed: ${event.detail}`,
          )
        return
      case 'gateway':
        if (event.what === 'died') this.#died.add(event.gateway)
        return
      case 'confirmed':
      case 'forwarded':
      case 'session-opened':
      case 'session-granted':
      case 'session-forgotten':
      case 'login':
      case 'login-answered':
        return
    }
  }

  /**
   * After the store went back its own events go back as well. What stays: no call under a token that may have meant another
   * grant before.
   */
  #seeRestored(event: HistoryEvent): void {
    switch (event.kind) {
      case 'queued': {
        const lock = this.#lock(event.lock)
        if (event.token <= lock.newestQueued) lock.reborn.add(event.token)
        return
      }
      case 'admitted':
        if (this.#lock(event.lock).reborn.has(event.token))
          this.#violate(
            'I6',
            event.atMs,
            `${event.gateway} admitted call ${event.call} under token ${event.token} of ${event.lock}, which the store had given before it was restored`,
          )
        this.#checkOrder(event)
        this.#lock(event.lock).admitted.set(event.token, event.mode)
        this.#admissions.add(event.call)
        return
      case 'executed':
        this.#executed(event)
        return
      case 'bumped':
        this.#bumped(event)
        return
      case 'crashed':
        this.#violate('crash', event.atMs, `${event.gateway ?? 'somebody'}: ${event.error}`)
        return
      case 'release-asked':
      case 'release-answered':
        this.#releases.delete(event.id)
        return
      default:
    }
  }

  /**
   * Everything counts again, from what the backup brought back: nothing of that is opened any more, and what was admitted before
   * the store went back, or was opened then, stays known, so that tokens go on above it and calls under it are over.
   */
  #bumped(event: Extract<HistoryEvent, { kind: 'bumped' }>): void {
    this.#restored = false
    for (const lock of this.#locks.values()) lock.grants.clear()
    this.#live.clear()
    this.#ownerOf.clear()
    this.#reported.clear()
    this.#releases.clear()
    this.#stormedAtMs.clear()
    this.#fences.clear()
    this.#logins = new LoginChecker({ whole: false })
    for (const { session, state } of event.fences) this.#fences.set(session, state)
    for (const session of event.sessions) this.#endedLeases.set(session, null)
  }

  #queued(event: Extract<HistoryEvent, { kind: 'queued' }>): void {
    const lock = this.#lock(event.lock)
    if (event.token <= lock.newestQueued)
      this.#violate('I6', event.atMs, `token ${event.token} of ${event.lock} after ${lock.newestQueued}`)
    lock.newestQueued = Math.max(lock.newestQueued, event.token)
    lock.grants.set(event.token, {
      token: event.token,
      session: event.session,
      mode: event.mode,
      queued: true,
      leaseEnded: false,
      opened: false,
      sealed: null,
      sealRevision: 0,
      closed: false,
      grantedAtMs: null,
      grantedBy: new Set(),
      unqueuedAtMs: null,
    })
  }

  #unqueued(event: Extract<HistoryEvent, { kind: 'unqueued' }>): void {
    const grant = this.#lock(event.lock).grants.get(event.token)
    if (grant === undefined) return
    grant.queued = false
    grant.leaseEnded = event.leaseEnded
    grant.unqueuedAtMs = event.atMs
    if (event.leaseEnded || grant.grantedAtMs === null || this.#ordered.has(grant.session)) return
    // Taken away while the lease lived, from a holder who had been told that it was his.
    const { grantedAtMs } = grant
    const asked = [...this.#releases.values()].some(
      (release) =>
        release.session === grant.session &&
        (release.lock === null || release.lock === event.lock) &&
        (release.token === null || release.token === event.token) &&
        (release.answeredAtMs === null || release.answeredAtMs > grantedAtMs),
    )
    if (!asked && !this.#modesAsked.has(`${grant.session} ${event.lock}`))
      this.#violate(
        'I7',
        event.atMs,
        `token ${event.token} of ${event.lock} was taken from ${grant.session} by ${event.by}, and nobody had asked for that since it was granted`,
      )
  }

  #opened(event: Extract<HistoryEvent, { kind: 'opened' }>): void {
    const lock = this.#lock(event.lock)
    if (event.token <= lock.newestOpened)
      this.#violate(
        'I6',
        event.atMs,
        `token ${event.token} of ${event.lock} was opened after ${lock.newestOpened}`,
      )
    lock.newestOpened = Math.max(lock.newestOpened, event.token)
    const grant = lock.grants.get(event.token)
    if (grant === undefined || !grant.queued) {
      this.#violate('I6', event.atMs, `token ${event.token} of ${event.lock} was opened without its key`)
      return
    }
    grant.opened = true
    for (const other of lock.grants.values())
      if (other !== grant && other.opened && !other.closed && conflicts(other.mode, grant.mode))
        this.#violate(
          'I2',
          event.atMs,
          `token ${event.token} of ${event.lock} was opened beside ${other.token}`,
        )
  }

  #sealed(event: Extract<HistoryEvent, { kind: 'sealed' }>): void {
    const grant = this.#lock(event.lock).grants.get(event.token)
    if (grant === undefined) return
    grant.sealed = event.cause
    grant.sealRevision = event.revision
    if (event.cause === 'released' && grant.leaseEnded)
      this.#violate(
        'I4',
        event.atMs,
        `${grant.session} lost token ${event.token} of ${event.lock} with its lease, and ${event.by} sealed it as released`,
      )
    if (event.cause === 'revoked' && !this.#ordered.has(grant.session) && !this.#fences.has(grant.session))
      this.#violate('I7', event.atMs, `${grant.session} was revoked without an order`)
    if (event.cause !== 'expired') return
    if (!this.#endedLeases.has(grant.session))
      this.#violate(
        'I7',
        event.atMs,
        `${event.by} sealed token ${event.token} of ${event.lock} as expired while the lease ${grant.session} lived`,
      )
    else if (!grant.leaseEnded && grant.unqueuedAtMs !== null) {
      // Only a gateway that has not seen the two apart may be in doubt.
      const snapshotAtMs = this.#lastSnapshot.get(event.by) ?? Number.NEGATIVE_INFINITY
      if (snapshotAtMs < grant.unqueuedAtMs)
        this.#violate(
          'I7',
          event.atMs,
          `${event.by} sealed token ${event.token} of ${event.lock} as expired, which ${grant.session} had released, and its watch had shown it`,
        )
    } else if (grant.leaseEnded) this.#checkClosedSession(event, grant)
  }

  /** Who held a lock, and then closed his session in good order, is not fenced. */
  #checkClosedSession(event: Extract<HistoryEvent, { kind: 'sealed' }>, grant: KnownGrant): void {
    const endedBy = this.#endedLeases.get(grant.session) ?? null
    if (endedBy === null || grant.grantedAtMs === null || this.#ordered.has(grant.session)) return
    const { grantedAtMs } = grant
    const closing = [...this.#releases.values()].some(
      (release) =>
        release.session === grant.session &&
        release.lock === null &&
        release.gateway === endedBy &&
        release.askedAtMs >= grantedAtMs,
    )
    if (closing)
      this.#violate(
        'I7',
        event.atMs,
        `${grant.session} was closed by its holder, and token ${event.token} of ${event.lock} sealed as expired`,
      )
  }

  #fence(event: Extract<HistoryEvent, { kind: 'fence' }>): void {
    if (!this.#fences.has(event.session)) {
      if (event.cause === 'operator' && !this.#ordered.has(event.session))
        this.#violate('I7', event.atMs, `${event.session} is fenced by an order that nobody gave`)
      if (event.cause === 'expired' && !this.#endedLeases.has(event.session))
        this.#violate(
          'I7',
          event.atMs,
          `${event.by} wrote a fence against ${event.session}, whose lease lives`,
        )
    }
    if (event.state === 'deleted' && this.#fences.get(event.session) !== 'closed')
      this.#violate('I4', event.atMs, `the fence of ${event.session} was deleted before it was closed`)
    if (event.state === 'running' && this.#fences.get(event.session) === 'closed')
      this.#violate('I7', event.atMs, `the fence of ${event.session} is run again after it was closed`)
    if (this.#whole && event.outcome === 'fenced' && !this.#verified.has(event.session))
      this.#violate(
        'I3',
        event.atMs,
        `the fence of ${event.session} was closed, and no fencer has seen anything`,
      )
    this.#fences.set(event.session, event.state === 'deleted' ? 'closed' : event.state)
    this.#claims.set(event.session, event.claim)
    if (event.stormed !== true) this.#stormedAtMs.delete(event.session)
    else if (!this.#stormedAtMs.has(event.session)) this.#stormedAtMs.set(event.session, event.atMs)
  }

  /** A strike is the claimer's, while he provably has the claim. */
  #struck(event: Extract<HistoryEvent, { kind: 'struck' }>): void {
    const about = `${event.gateway} struck ${event.session} with ${event.fencer}`
    const live = this.#live.get(event.gateway) ?? new Set()
    if (!this.#fences.has(event.session)) this.#violate('I7', event.atMs, `${about}, and no fence is due`)
    if (live.size === 0) this.#violate('I7', event.atMs, `${about} without a lease in the store`)
    const stormedAtMs = this.#stormedAtMs.get(event.session)
    if (event.accessOnly !== true && stormedAtMs !== undefined && event.atMs > stormedAtMs + STORM_SEEN_MS)
      this.#violate('I7', event.atMs, `${about}, which expired in a storm, and no operator let it go on`)
    const claim = this.#claims.get(event.session) ?? null
    if (claim !== null && this.#ownerOf.get(claim) !== event.gateway)
      this.#violate('I7', event.atMs, `${about} while ${claim} has the claim`)
  }

  #releaseAnswered(event: Extract<HistoryEvent, { kind: 'release-answered' }>): void {
    const release = this.#releases.get(event.id)
    if (release === undefined) return
    // What a gateway that died had in hand may or may not have happened, and may yet.
    release.answeredAtMs = event.how === 'done' ? event.atMs : Number.POSITIVE_INFINITY
  }

  /** Stale is what has ended; what the store shows as held, and nobody wants to end, is not. */
  #refused(event: Extract<HistoryEvent, { kind: 'refused' }>): void {
    const grant = this.#lock(event.lock).grants.get(event.token)
    if (event.code !== 'stale-token' || grant === undefined || !grant.queued || grant.sealed !== null) return
    if (this.#fences.has(grant.session)) return
    if (this.#modesAsked.has(`${grant.session} ${event.lock}`)) return
    const asked = [...this.#releases.values()].some(
      ({ session, lock }) => session === grant.session && (lock === null || lock === event.lock),
    )
    if (!asked)
      this.#violate(
        'I9',
        event.atMs,
        `${event.gateway} refused token ${event.token} of ${event.lock} as stale, and it is not`,
      )
  }

  #admitted(event: Extract<HistoryEvent, { kind: 'admitted' }>): void {
    const lock = this.#lock(event.lock)
    if (lock.reborn.has(event.token))
      this.#violate('I6', event.atMs, `token ${event.token} of ${event.lock} was given twice, and admitted`)
    const about = `${event.gateway} admitted call ${event.call} under token ${event.token} of ${event.lock}`
    this.#admissions.add(event.call)
    this.#checkOrder(event)
    const grant = lock.grants.get(event.token)
    if (grant === undefined || !grant.opened)
      this.#violate('I1', event.atMs, `${about}, which was never opened`)
    if (grant?.sealed && (this.#reported.get(event.gateway) ?? 0) >= grant.sealRevision)
      this.#violate('I1', event.atMs, `${about}, after it had reported its seal`)
    for (const older of lock.grants.values()) {
      if (older.token >= event.token || !conflicts(older.mode, event.mode)) continue
      if (!older.opened && older.sealed === null) continue
      const fence = this.#fences.get(older.session)
      const due = older.sealed === null ? older.leaseEnded : isFenced(older.sealed)
      if (due && fence !== 'closed')
        this.#violate(
          'I3',
          event.atMs,
          `${about} while the fence of ${older.session} (token ${older.token}) is ${fence ?? 'not written'}`,
        )
    }
    const live = this.#live.get(event.gateway)
    if (live === undefined || live.size === 0)
      this.#violate('I5', event.atMs, `${about} without a lease in the store`)
    lock.admitted.set(event.token, event.mode)
  }

  #checkOrder(event: Extract<HistoryEvent, { kind: 'admitted' }>): void {
    for (const [token, mode] of this.#lock(event.lock).admitted)
      if (token > event.token && conflicts(mode, event.mode))
        this.#violate(
          'I1',
          event.atMs,
          `${event.gateway} admitted call ${event.call} under token ${event.token} of ${event.lock} after one under ${token}`,
        )
  }

  #executed(event: Extract<HistoryEvent, { kind: 'executed' }>): void {
    for (const [token, mode] of this.#lock(event.lock).admitted)
      if (token > event.token && conflicts(mode, event.mode))
        this.#violate(
          'I2',
          event.atMs,
          `call ${event.call} under token ${event.token} of ${event.lock} took effect after one under ${token} had been admitted`,
        )
    if (!this.#admissions.has(event.call))
      this.#violate('I2', event.atMs, `call ${event.call} took effect without having been admitted`)
  }

  #settle(atMs: number): void {
    this.#settled = true
    for (const [name, lock] of this.#locks) {
      const grants = [...lock.grants.values()]
      const waiting = grants.filter((grant) => grant.queued)
      const open = grants.filter((grant) => grant.opened && grant.sealed === null)
      const sealed = grants.filter((grant) => grant.sealed !== null && !grant.closed)
      if (this.#whole) this.#checkReleasesSaid(name, waiting, atMs)
      if (this.#mayStand(name)) continue
      for (const grant of sealed)
        this.#violate(
          'I9',
          atMs,
          `token ${grant.token} of ${name} is sealed (${grant.sealed}, fence ${this.#fences.get(grant.session) ?? 'none'}) and its handover does not end`,
        )
      for (const grant of open)
        if (!grant.queued)
          this.#violate('I9', atMs, `token ${grant.token} of ${name} lost its key and is not sealed`)
      if (waiting.length > 0 && open.length === 0)
        this.#violate('I9', atMs, `${waiting.length} wait for ${name}, and nobody has it`)
    }
  }

  /** Blocked, loudly, and with nothing that could end it by itself. */
  #mayStand(lock: string): boolean {
    return this.#mayBlock && (this.#blocked.get(lock) ?? '') !== ''
  }

  /** What was given back is not held any more, once the store could be told. */
  #checkReleasesSaid(name: string, held: readonly KnownGrant[], atMs: number): void {
    for (const grant of held) {
      const { grantedAtMs, session, token } = grant
      if (grantedAtMs === null) continue
      const wantedAgain = this.#acquisitions.some(
        (other) => other.lock === name && other.session === session && other.atMs > grantedAtMs,
      )
      if (wantedAgain) continue
      for (const release of this.#releases.values())
        if (
          release.session === session &&
          release.lock === name &&
          release.askedAtMs > grantedAtMs &&
          Number.isFinite(release.answeredAtMs) &&
          // Without its token, only what the gateway had seen is held against it.
          (release.token === null ? grant.grantedBy.has(release.gateway) : release.token === token) &&
          !this.#died.has(release.gateway)
        )
          this.#violate('I8', atMs, `release ${release.id} of token ${token} of ${name} was never said`)
    }
  }

  #checkFencesLost(atMs: number): void {
    for (const [name, lock] of this.#locks)
      for (const grant of lock.grants.values()) {
        const expired = grant.opened && grant.leaseEnded && grant.sealed !== 'released'
        if (!expired && grant.sealed !== 'expired' && grant.sealed !== 'revoked') continue
        const fence = this.#fences.get(grant.session)
        if (fence === undefined)
          this.#violate(
            'I4',
            atMs,
            `${grant.session} expired with token ${grant.token} of ${name}, and no fence was written`,
          )
        else if (fence !== 'closed')
          this.#violate(
            'I4',
            atMs,
            `the fence of ${grant.session}, which held token ${grant.token} of ${name}, is still ${fence}`,
          )
      }
  }

  #lock(name: string): KnownLock {
    let lock = this.#locks.get(name)
    if (lock === undefined) {
      lock = { grants: new Map(), admitted: new Map(), newestOpened: 0, newestQueued: 0, reborn: new Set() }
      this.#locks.set(name, lock)
    }
    return lock
  }

  #violate(promise: Violation['promise'], atMs: number, detail: string): void {
    if (this.#violations.length < 20) this.#violations.push({ promise, atMs: Math.round(atMs), detail })
  }
}
