// Holds the promises against a history. Pure: a list of events in, a list of violations out. It knows nothing of the
// gateways that made the history; checker.test.ts shows it a bad history for each promise.

import { conflicts } from '../../gateway/core/lock-record.ts'
import type { LockMode } from '../../gateway/core/names.ts'
import type { HistoryEvent } from './history.ts'

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
  unqueuedAtMs: number | null
}

interface KnownLock {
  readonly grants: Map<number, KnownGrant>
  readonly admitted: Map<number, LockMode>
  newestOpened: number
  newestQueued: number
}

interface Release {
  readonly lock: string | null
  readonly session: string
  readonly askedAtMs: number
  readonly gateway: string
  answeredAtMs: number | null
}

function isFenced(cause: KnownGrant['sealed']): boolean {
  return cause === 'expired' || cause === 'revoked'
}

export function check(history: readonly HistoryEvent[]): Violation[] {
  return new Checker().run(history)
}

class Checker {
  readonly #violations: Violation[] = []
  readonly #locks = new Map<string, KnownLock>()
  /** State of each session's fence. */
  readonly #fences = new Map<string, string>()
  readonly #ordered = new Set<string>()
  /** Sessions and locks: an upgrade takes the shared grant's key. */
  readonly #modesAsked = new Set<string>()
  readonly #endedLeases = new Map<string, string | null>()
  readonly #releases = new Map<number, Release>()
  readonly #live = new Map<string, Set<string>>()
  readonly #ownerOf = new Map<string, string>()
  readonly #reported = new Map<string, number>()
  readonly #lastSnapshot = new Map<string, number>()
  readonly #admissions = new Map<number, { readonly lock: string; readonly token: number }>()
  #settled = false

  run(history: readonly HistoryEvent[]): Violation[] {
    for (const event of history) this.#see(event)
    for (const [id, release] of this.#releases)
      if (release.answeredAtMs === null)
        this.#violate(
          'I8',
          release.askedAtMs,
          `release ${id} of ${release.lock} by ${release.session} at ${release.gateway} never resolved`,
        )
    this.#checkFencesLost(history.at(-1)?.atMs ?? 0)
    return this.#violations
  }

  #see(event: HistoryEvent): void {
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
        if (grant !== undefined) grant.grantedAtMs ??= event.atMs
        return
      }
      case 'release-asked':
        this.#releases.set(event.id, {
          lock: event.lock,
          session: event.session,
          gateway: event.gateway,
          askedAtMs: event.atMs,
          answeredAtMs: null,
        })
        return
      case 'release-answered': {
        const release = this.#releases.get(event.id)
        // What a gateway that died had in hand may or may not have happened, and may yet.
        if (release !== undefined)
          release.answeredAtMs = event.how === 'done' ? event.atMs : Number.POSITIVE_INFINITY
        return
      }
      case 'admitted':
        this.#admitted(event)
        return
      case 'executed':
        this.#executed(event)
        return
      case 'crashed':
        this.#violate('crash', event.atMs, `${event.gateway ?? 'somebody'}: ${event.error}`)
        return
      case 'settled':
        this.#settle(event.atMs)
        return
      case 'probed':
        if (!event.granted)
          this.#violate(
            'I9',
            event.atMs,
            `lock ${event.lock} could not be taken after all was healed: ${event.detail}`,
          )
        return
      case 'confirmed':
      case 'refused':
      case 'forwarded':
      case 'gateway':
        return
    }
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
    this.#fences.set(event.session, event.state === 'deleted' ? 'closed' : event.state)
  }

  #admitted(event: Extract<HistoryEvent, { kind: 'admitted' }>): void {
    const lock = this.#lock(event.lock)
    const about = `${event.gateway} admitted call ${event.call} under token ${event.token} of ${event.lock}`
    this.#admissions.set(event.call, { lock: event.lock, token: event.token })
    for (const [token, mode] of lock.admitted)
      if (token > event.token && conflicts(mode, event.mode))
        this.#violate('I1', event.atMs, `${about} after one under ${token}`)
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

  #checkFencesLost(atMs: number): void {
    if (!this.#settled) return
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
      lock = { grants: new Map(), admitted: new Map(), newestOpened: 0, newestQueued: 0 }
      this.#locks.set(name, lock)
    }
    return lock
  }

  #violate(promise: Violation['promise'], atMs: number, detail: string): void {
    if (this.#violations.length < 20) this.#violations.push({ promise, atMs: Math.round(atMs), detail })
  }
}
