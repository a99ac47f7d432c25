// Taking and giving back: waiter keys on the session's lease. A grant is believed only once the view shows it open with
// the create revision that our own write returned.

import { GatewayError } from '../core/errors.ts'
import { sealGrants } from '../core/handover.ts'
import { conflicts } from '../core/lock-record.ts'
import type { LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { LeaseGone, type Store, StoreUnavailable, type Write } from '../spi/store.ts'
import type { Conductor } from './conductor.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant, LockState, QueuedWaiter } from './lock-state.ts'
import { lockRecords, waiterKeyValue } from './records.ts'
import type { View } from './view.ts'

const RELEASE_RETRY_MS = 500
/** A step under way may still bring the grant after the deadline; a store that stands still must not. */
const SETTLE_MS_MAX = 2_000
/** How long to wait for the change that made a swap fail, before looking all the same. */
const RELEASE_LOOK_MS = 50
const NOBODY_GONE = new AbortController().signal
/** A release that loses this many swaps in a row waits for its next turn instead of spinning. */
const RELEASE_SWAPS_MAX = 16

export interface QueueOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly conductor: Conductor
  readonly sealHere: (grant: LiveGrant) => void
  readonly caughtUp: (revision: Revision) => Promise<unknown>
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
  | { readonly kind: 'held'; readonly lock: LockState }

export class LockQueue {
  readonly #options: QueueOptions
  /** Requests that wait on one waiter key: a retry joins the first, and only the last to give up deletes the key. */
  readonly #waitingOn = new Map<string, number>()
  /** Releases that the store has not heard yet. */
  readonly #unsaid = new Map<string, { readonly lock: LockName; readonly session: SessionId }>()
  #stopped = false

  constructor(options: QueueOptions) {
    this.#options = options
  }

  /** Rejects with GatewayError `session-unknown`, `lock-held` (own, in another mode), or StoreUnavailable. */
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
    const held = heldBy(lock, request.session)
    if (held !== null) {
      if (held.mode === request.mode) return { kind: 'granted', lock, grant: held, already: true }
      throw new GatewayError('lock-held', `this session holds ${lock.name} already, ${held.mode}`, {
        mode: held.mode,
      })
    }
    // A try that cannot succeed costs the store nothing.
    if (request.waitMs === 0 && taken(lock, request)) return { kind: 'held', lock }

    const key = layout.waiter(request.lock, request.mode, request.session)
    this.#waitingOn.set(key, (this.#waitingOn.get(key) ?? 0) + 1)
    let token: Revision | null = null
    let granted: LiveGrant | null = null
    try {
      token = await this.#enqueue(key, request)
      events({ type: 'lock.queued', lock: lock.name, session: request.session, token: String(token) })
      granted = await this.#awaitGrant(lock, token, deadlineMs, gone, interest)
    } finally {
      const others = (this.#waitingOn.get(key) ?? 1) - 1
      if (others > 0) this.#waitingOn.set(key, others)
      else {
        this.#waitingOn.delete(key)
        // Unsaid, it would be granted to somebody who does not listen any more.
        if (token !== null && (granted === null || gone.aborted))
          await this.release(request.lock, request.session)
      }
    }
    if (granted === null || gone.aborted) return { kind: 'held', lock }
    events({
      type: 'lock.granted',
      lock: lock.name,
      session: request.session,
      token: String(token),
      durationMs: Math.max(0, clock.monotonicMs() + request.waitMs - deadlineMs),
    })
    return { kind: 'granted', lock, grant: granted, already: false }
  }

  /**
   * Never fails: what the store cannot hear now is said when it is back. From this tick on this gateway admits nothing
   * under the grant.
   */
  async release(name: LockName, session: SessionId): Promise<void> {
    for (const grant of this.#options.view.locks.get(name)?.live ?? [])
      if (grant.session === session) this.#options.sealHere(grant)
    try {
      await this.#release(name, session)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      this.#sayLater(name, session)
    }
  }

  /** Everything that the session holds or waits for. */
  async releaseAll(session: SessionId): Promise<void> {
    const locks = [...(this.#options.view.locksOf.get(session) ?? [])].map((lock) => lock.name)
    await Promise.all(locks.map((lock) => this.release(lock, session)))
  }

  stop(): void {
    this.#stopped = true
  }

  async #enqueue(key: string, request: Acquisition): Promise<Revision> {
    const { store, layout, view } = this.#options
    const known = view.sessions.get(request.session)
    if (known === undefined || view.fences.has(request.session)) throw sessionUnknown(request.session)
    try {
      const result = await store.transact({
        compare: [
          { key, createRevision: 0 },
          { key: layout.session(request.session), modRevision: known.modRevision },
        ],
        writes: [{ put: key, value: waiterKeyValue(request.note), lease: request.session }],
      })
      if (result.succeeded) return result.revision
    } catch (error) {
      if (error instanceof LeaseGone) throw sessionUnknown(request.session)
      throw error
    }
    // The key is there already: an earlier try of this session, whose answer was lost or that waits still.
    const { items } = await store.read(key)
    const own = items.find((item) => item.key === key)
    if (own === undefined) throw sessionUnknown(request.session)
    return own.createRevision
  }

  /** Null at the deadline, when the caller is gone, or, with no time to wait, at the first rest of the lock. */
  async #awaitGrant(
    lock: LockState,
    token: Revision,
    deadlineMs: number,
    gone: AbortSignal,
    interest: Interest,
  ): Promise<LiveGrant | null> {
    const { view, clock, conductor } = this.#options
    await this.#options.caughtUp(token)
    for (;;) {
      const grant = lock.grantOf(token)
      if (grant !== null && !grant.sealed) return grant
      if (view.applied >= token && lock.waiterOf(token) === null)
        throw new GatewayError('session-unknown', `the session ended while it waited for ${lock.name}`)
      if (gone.aborted) return null
      const remainingMs = deadlineMs - clock.monotonicMs()
      if (remainingMs <= -SETTLE_MS_MAX || (remainingMs <= 0 && conductor.settled(lock))) return null
      await interest.changed(clock, Math.max(remainingMs, 10), gone)
    }
  }

  async #release(name: LockName, session: SessionId): Promise<void> {
    const lock = this.#options.view.lock(name)
    const interest = new Interest(lock)
    try {
      for (let swaps = 0; swaps < RELEASE_SWAPS_MAX; swaps++) {
        if ((await this.#releaseOnce(name, session)) === 'done') return
        await interest.changed(this.#options.clock, RELEASE_LOOK_MS, NOBODY_GONE)
      }
      this.#sayLater(name, session)
    } finally {
      interest.end()
      this.#options.view.tidy(lock)
    }
  }

  /** `again`: another was faster, and what it wrote is on its way here. */
  async #releaseOnce(name: LockName, session: SessionId): Promise<'done' | 'again'> {
    const { store, layout, view, clock, events } = this.#options
    let own = ownKeys(view.locks.get(name), session)
    if (own.length === 0) {
      // The view may not have it yet: written a moment ago, here or through another gateway.
      const { items } = await store.read(layout.queue(name))
      const stored = items.filter((item) => item.lease === session)
      if (stored.length === 0) return 'done'
      await this.#options.caughtUp(Math.max(...stored.map((item) => item.modRevision)) as Revision)
      own = ownKeys(view.locks.get(name), session)
      if (own.length === 0) return 'again'
    }
    const lock = view.locks.get(name)
    for (const waiter of own) {
      const grant = lock?.record?.grants.find((other) => other.createRevision === waiter.createRevision)
      const compare = [{ key: waiter.key, createRevision: waiter.createRevision as number }]
      const writes: Write[] = [{ delete: waiter.key }]
      const key = layout.lockRecord(name)
      if (lock?.record && grant?.state === 'open') {
        const now = new Date(clock.wallMs()).toISOString()
        const sealed = sealGrants(lock.record, [{ grant, cause: 'released' }], now)
        const result = await store.transact({
          compare: [...compare, { key, modRevision: lock.recordRevision }],
          writes: [...writes, { put: key, value: lockRecords.encode(sealed) }],
        })
        if (!result.succeeded) return 'again'
        events({ type: 'lock.released', lock: name, session, token: String(waiter.createRevision) })
        events({
          type: 'grant.sealed',
          lock: name,
          session,
          token: String(waiter.createRevision),
          detail: 'released',
        })
        continue
      }
      // A waiter that may be opened in this very moment: then its missing key reads as released, as its lease lives.
      const result = await store.transact({ compare, writes })
      if (!result.succeeded) return 'again'
    }
    return 'done'
  }

  #sayLater(lock: LockName, session: SessionId): void {
    this.#unsaid.set(`${session} ${lock}`, { lock, session })
    if (this.#unsaid.size === 1) this.#scheduleUnsaid()
  }

  #scheduleUnsaid(): void {
    this.#options.clock.after(RELEASE_RETRY_MS, () => {
      if (this.#stopped) return
      const waiting = [...this.#unsaid.values()]
      this.#unsaid.clear()
      for (const { lock, session } of waiting) void this.release(lock, session)
    })
  }
}

/** Wakes one request at each change of its lock, and keeps the lock's state from being forgotten meanwhile. */
class Interest {
  readonly #lock: LockState
  #wake: (() => void) | null = null

  constructor(lock: LockState) {
    this.#lock = lock
    lock.listeners.add(this.#notify)
  }

  readonly #notify = () => {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  changed(clock: Clock, waitMs: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(waitMs, this.#notify)
      gone.addEventListener('abort', this.#notify, { once: true })
      this.#wake = () => {
        timer.cancel()
        gone.removeEventListener('abort', this.#notify)
        resolve()
      }
    })
  }

  end(): void {
    this.#lock.listeners.delete(this.#notify)
  }
}

function heldBy(lock: LockState, session: SessionId): LiveGrant | null {
  return lock.live.find((grant) => grant.session === session && !grant.sealed) ?? null
}

function taken(lock: LockState, { session, mode }: Acquisition): boolean {
  return (
    lock.live.some((grant) => !grant.sealed && conflicts(grant.mode, mode)) ||
    lock.queue.some((waiter) => waiter.session !== session && lock.grantOf(waiter.createRevision) === null)
  )
}

function ownKeys(lock: LockState | undefined, session: SessionId): QueuedWaiter[] {
  return lock?.queue.filter((waiter) => waiter.session === session) ?? []
}

function sessionUnknown(session: SessionId): GatewayError {
  return new GatewayError('session-unknown', `there is no live session ${session}; open one and start over`)
}
