// Taking and giving back: waiter keys on the session's lease. A grant is believed only once the view shows it open with
// the create revision that our own write returned.

import { GatewayError } from '../core/errors.ts'
import { conflicts } from '../core/lock-record.ts'
import type { IncarnationId, LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { LeaseGone, type Store, StoreUnavailable, type Write } from '../spi/store.ts'
import type { Conductor } from './conductor.ts'
import { Interest } from './interest.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import { type ChangedGrant, type ModeChange, ModeChanges } from './mode-changes.ts'
import { Releases, type Writing } from './releases.ts'
import type { StepBatch } from './step-batch.ts'
import type { View } from './view.ts'
import { waiterKeyValue } from './waiter-words.ts'

/** A step under way may still bring the grant after the deadline; a store that stands still must not. */
const SETTLE_MS_MAX = 2_000
/**
 * A lock that was given back goes to whoever asks next, also to one who has no time: that the gateways have still to tell
 * each other so takes no longer than this.
 */
const PASSING_MS_MAX = 500
/** A key that comes and goes under our hands is given up after so many looks. */
const ENQUEUE_SWAPS_MAX = 8

/** Of one session that gives everything back; what others want of the store goes between them. */
const RELEASES_AT_ONCE_MAX = 64

export interface QueueOptions {
  readonly store: Store
  readonly steps: StepBatch
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly conductor: Conductor
  readonly sealHere: (grant: LiveGrant) => void
  readonly ownWord: (grant: LiveGrant | null) => readonly IncarnationId[]
  readonly self: () => IncarnationId
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  /** Tells one request's writing from all others'. */
  readonly newId: () => string
}

export interface Acquisition {
  readonly lock: LockName
  readonly session: SessionId
  readonly mode: LockMode
  readonly waitMs: number
  readonly note: string | null
}

export type Acquired =
  | {
      readonly kind: 'granted'
      readonly lock: LockState
      readonly grant: LiveGrant
      readonly already: boolean
    }
  /** `own`: the session itself holds it, in this other mode. */
  | { readonly kind: 'held'; readonly lock: LockState; readonly own?: LockMode }

/** The requests that wait here on one waiter key. */
interface Waiting {
  requests: number
  /** By the last of them; null where none got so far. */
  writing: Writing | null
  /** One of them was told that he holds the lock. */
  granted: boolean
}

export class LockQueue {
  readonly #options: QueueOptions
  /** By waiter key: a retry joins the first request, and only the last to give up deletes the key. */
  readonly #waitingOn = new Map<string, Waiting>()
  readonly #releases: Releases
  readonly #modes: ModeChanges
  /** Sessions that are being closed here. */
  readonly #closing = new Set<SessionId>()

  constructor(options: QueueOptions) {
    this.#options = options
    this.#releases = new Releases(options)
    this.#modes = new ModeChanges({ ...options, releases: this.#releases })
  }

  /** Rejects with GatewayError `session-unknown` or `mode-pending`, or StoreUnavailable. */
  async acquire(request: Acquisition, gone: AbortSignal): Promise<Acquired> {
    const { view } = this.#options
    const lock = view.lock(request.lock)
    const interest = new Interest(lock)
    try {
      return await this.#acquire(request, gone, lock, interest)
    } finally {
      interest.end()
      view.tidy(lock)
    }
  }

  async #acquire(
    request: Acquisition,
    gone: AbortSignal,
    lock: LockState,
    interest: Interest,
  ): Promise<Acquired> {
    const { clock, layout, events } = this.#options
    const deadlineMs = clock.monotonicMs() + request.waitMs
    this.#releases.outdate(request)
    const held = heldBy(lock, request.session)
    if (held !== null && held.mode !== request.mode) return { kind: 'held', lock, own: held.mode }
    if (lock.record?.grants.some((grant) => grant.state === 'changing' && grant.session === request.session))
      throw new GatewayError(
        'mode-pending',
        `the upgrade of this session's grant of ${lock.name} is not over`,
      )
    // A try that cannot succeed is no reason to write anything.
    if (held === null && request.waitMs === 0 && taken(lock, request) && (await this.#isStillTaken(lock)))
      return { kind: 'held', lock }

    const key = held?.key ?? layout.waiter(request.lock, request.mode, request.session)
    const waiting = this.#waitingOn.get(key) ?? { requests: 0, writing: null, granted: held !== null }
    this.#waitingOn.set(key, waiting)
    waiting.requests++
    let token: Revision | null = null
    let granted: LiveGrant | null = null
    try {
      token = await this.#enqueue(key, request, { waiting, heldRevision: held?.createRevision ?? null })
      if (token !== held?.createRevision)
        events({ type: 'lock.queued', lock: lock.name, session: request.session, token: String(token) })
      granted = await this.#awaitGrant({ lock, token, session: request.session }, deadlineMs, gone, interest)
      if (granted !== null && !gone.aborted) waiting.granted = true
    } finally {
      waiting.requests--
      if (waiting.requests === 0) {
        this.#waitingOn.delete(key)
        const { writing } = waiting
        // Unsaid, it would be granted to somebody who does not listen any more.
        if (writing !== null && !waiting.granted) {
          const tokens = token === null ? null : new Set([token])
          const release = { lock: request.lock, session: request.session, tokens, certain: true, writing }
          // Where the store has just failed to answer, the caller does not wait for it once more.
          if (token === null) this.#releases.sayLater(release)
          else await this.#releases.giveBack(release)
        }
      }
    }
    if (granted === null || gone.aborted) return { kind: 'held', lock }
    if (token === held?.createRevision) return { kind: 'granted', lock, grant: granted, already: true }
    events({
      type: 'lock.granted',
      lock: lock.name,
      session: request.session,
      token: String(token),
      durationMs: Math.max(0, clock.monotonicMs() + request.waitMs - deadlineMs),
    })
    return { kind: 'granted', lock, grant: granted, already: false }
  }

  changeMode(request: ModeChange, gone: AbortSignal): Promise<ChangedGrant> {
    return this.#modes.change(request, gone)
  }

  /**
   * What the store cannot hear now is said when it is back, and then false is returned. Rejects only where nothing shows
   * what there is to give back. From this tick on
   * this gateway admits nothing under the grant. A token tells what is meant also where this view has not seen it yet.
   */
  release(lock: LockName, session: SessionId, token: number | null = null): Promise<boolean> {
    const meant =
      token === null ? { tokens: null, certain: false } : { tokens: new Set([token]), certain: true }
    return this.#releases.giveBack({ lock, session, ...meant, isNamed: token !== null, writing: null })
  }

  /** Everything that the session holds or waits for, as far as the view shows it. False: the store has not heard all. */
  async releaseAll(session: SessionId): Promise<boolean> {
    const { view } = this.#options
    for (const other of this.#closing) if (!view.sessions.has(other)) this.#closing.delete(other)
    this.#closing.add(session)
    const locks = [...(view.locksOf.get(session) ?? [])].map((lock) => lock.name)
    let allSaid = true
    const sayNext = async () => {
      for (let lock = locks.pop(); lock !== undefined; lock = locks.pop())
        if (!(await this.release(lock, session))) allSaid = false
    }
    await Promise.all(Array.from({ length: RELEASES_AT_ONCE_MAX }, sayNext))
    return allSaid
  }

  /** What this view shows as open may have been given back through another gateway, which has said so to the holder. */
  async #isStillTaken(lock: LockState): Promise<boolean> {
    const { store } = this.#options
    const owner = lock.live.find((grant) => !grant.sealed)
    if (!store.shared || owner === undefined) return true
    try {
      const { items } = await store.read(owner.key)
      return items.some((item) => item.key === owner.key && item.createRevision === owner.createRevision)
    } catch (error) {
      if (error instanceof StoreUnavailable) return true
      throw error
    }
  }

  async #hasRecord(session: { readonly key: string; readonly createRevision: number }): Promise<boolean> {
    const { items } = await this.#options.store.read(session.key)
    return items.some((item) => item.key === session.key && item.createRevision === session.createRevision)
  }

  /** Then its key was taken back: it was released, or another request of the session did not want to wait any more. */
  #lives(session: SessionId): boolean {
    const { view } = this.#options
    return (
      view.sessions.has(session) &&
      view.canaries.has(session) &&
      !view.condemned(session) &&
      !this.#closing.has(session)
    )
  }

  /** To be awaited: what the store has not heard is said once more. */
  stop(): Promise<void> {
    return this.#releases.stop()
  }

  /** The token of the key, which this request has written. */
  async #enqueue(
    key: string,
    request: Acquisition,
    about: { readonly waiting: Waiting; readonly heldRevision: Revision | null },
  ): Promise<Revision> {
    const { store, layout, view, newId, self } = this.#options
    const known = view.sessions.get(request.session)
    if (known === undefined || view.condemned(request.session)) throw sessionUnknown(request.session)
    const session = { key: layout.session(request.session), createRevision: known.createRevision }
    const value = waiterKeyValue(request.note, newId(), self())
    const writes: Write[] = [{ put: key, value, lease: request.session }]
    // What is held already is written anew as well: an earlier request elsewhere may be about to give it up.
    let createRevision = about.heldRevision
    try {
      for (let swaps = 0; swaps < ENQUEUE_SWAPS_MAX; swaps++) {
        const writing: Writing = { value, modRevision: null, joined: createRevision !== null }
        about.waiting.writing = writing
        const compare = [{ key, createRevision: createRevision ?? 0 }, session]
        const { succeeded, revision } = await store.transact({ compare, writes })
        if (succeeded) {
          writing.modRevision = revision
          return createRevision ?? revision
        }
        // The key is there already: an earlier try of this session, whose answer was lost or that waits still.
        const { items } = await store.read(key)
        const own = items.find((item) => item.key === key)
        // What else was compared is the session's record; where that stands, the key came and went in between.
        if (own === undefined && createRevision === null && !(await this.#hasRecord(session))) break
        createRevision = own?.createRevision ?? null
      }
    } catch (error) {
      if (error instanceof LeaseGone) throw sessionUnknown(request.session)
      throw error
    }
    throw sessionUnknown(request.session)
  }

  /**
   * Null at the deadline, when the caller is gone, when the session itself took its key back, or, with no time to wait, at the
   * first rest of the lock that does not pass by itself.
   */
  async #awaitGrant(
    {
      lock,
      token,
      session,
    }: { readonly lock: LockState; readonly token: Revision; readonly session: SessionId },
    deadlineMs: number,
    gone: AbortSignal,
    interest: Interest,
  ): Promise<LiveGrant | null> {
    const { view, clock, conductor } = this.#options
    await this.#options.caughtUp(token)
    for (;;) {
      const grant = lock.grantOf(token)
      if (grant !== null && !grant.sealed) return grant
      if (view.applied >= token && lock.waiterOf(token) === null) {
        if (this.#lives(session)) return null
        throw new GatewayError('session-unknown', `the session ended while it waited for ${lock.name}`)
      }
      if (gone.aborted) return null
      const remainingMs = deadlineMs - clock.monotonicMs()
      const isAtRest = conductor.settled(lock) && (remainingMs <= -PASSING_MS_MAX || !passes(lock, token))
      if (remainingMs <= -SETTLE_MS_MAX || (remainingMs <= 0 && isAtRest)) return null
      await interest.changed(clock, Math.max(remainingMs, 10), gone)
    }
  }
}

/** Whether nothing stands in the way but that other gateways have not reported yet what was given back. */
function passes(lock: LockState, token: Revision): boolean {
  return (
    lock.obstacles.length > 0 &&
    lock.obstacles.every(
      (obstacle) =>
        obstacle.kind === 'draining' &&
        obstacle.grant.state === 'sealed' &&
        obstacle.grant.cause === 'released' &&
        lock.grantOf(obstacle.grant.createRevision)?.calls.length === 0,
    ) &&
    lock.queue.every(({ createRevision }) => createRevision >= token || lock.grantOf(createRevision) !== null)
  )
}

function heldBy(lock: LockState, session: SessionId): LiveGrant | null {
  return lock.live.find((grant) => grant.session === session && !grant.sealed) ?? null
}

function taken(lock: LockState, { session, mode }: Acquisition): boolean {
  return (
    lock.live.some((grant) => !grant.sealed && conflicts(grant.mode, mode)) ||
    // A reader who is not open yet keeps no other reader out; a writer before him does, and is in this queue as well.
    lock.queue.some(
      (waiter) =>
        waiter.session !== session &&
        conflicts(waiter.mode, mode) &&
        lock.grantOf(waiter.createRevision) === null,
    )
  )
}

function sessionUnknown(session: SessionId): GatewayError {
  return new GatewayError('session-unknown', `there is no live session ${session}; open one and start over`)
}
