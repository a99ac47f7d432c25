// What one gateway knows of one lock: its record and queue as applied from the store, and the live grants to which the
// calls in flight are tied. The check of a call reads `live` and nothing else.
//
// A lock at rest, held by one and waited for by nobody, is folded: all that there is to say of it follows from its grant
// and a few numbers, and is made up again whenever somebody asks. So very many of them can be held.

import type { Obstacle, Waiter } from '../core/handover.ts'
import type { LockRecord, OpenGrant, SealCause } from '../core/lock-record.ts'
import type { IncarnationId, LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant } from './live-grant.ts'

export { LiveGrant } from './live-grant.ts'

const NO_ENDINGS: ReadonlyMap<number, SealCause> = new Map()
const NOTHING: readonly never[] = []
/** What a small number of V8 holds. */
const SMALL_MAX = 2 ** 31 - 1
/** Of a record and of an open grant as this version writes them; what has more may not be made up from less. */
const RECORD_FIELDS = 3
const GRANT_FIELDS = 6

export interface QueuedWaiter extends Waiter {
  /** False where the key hangs on no lease, or on another than its name says: it cannot be judged, so it never opens. */
  readonly leased: boolean
  readonly note: string | null
  readonly replaces: Revision | null
  /** The gateway where somebody waits for it, as far as its value says. */
  readonly at: IncarnationId | null
  readonly modRevision: Revision
  /** Monotonic; null where it was there before this gateway's view. */
  readonly seenAtMs: number | null
}

/** Of a lock that is not folded. */
interface Unfolded {
  record: LockRecord | null
  damage: string | null
  isBlind: boolean
  queue: readonly QueuedWaiter[]
  live: readonly LiveGrant[]
  endings: ReadonlyMap<number, SealCause>
  obstacles: readonly Obstacle[]
  listeners: Set<() => void> | null
}

export class LockState {
  readonly name: LockName
  readonly #layout: Layout
  /** Mod revision of the record; 0 where there is none. */
  recordRevision = 0
  /** Null while it is folded. */
  #unfolded: Unfolded | null = null
  /** The one grant of a folded lock; null where there is nothing to say of the lock at all. */
  #held: LiveGrant | null = null
  /** When that was opened: two small numbers, of which neither needs an object of its own. */
  #openedSeconds = 0
  #openedMs = 0

  constructor(name: LockName, layout: Layout) {
    this.name = name
    this.#layout = layout
  }

  /** The grant of a lock at rest: open, its key in place, nobody waits. Null where there is more, or less, to say of it. */
  get held(): LiveGrant | null {
    return this.#held
  }

  get record(): LockRecord | null {
    if (this.#unfolded !== null) return this.#unfolded.record
    const grant = this.#held
    if (grant === null) return null
    const { createRevision, session, mode, key } = grant
    const openedAt = new Date(this.#openedSeconds * 1000 + this.#openedMs).toISOString()
    const open: OpenGrant = { state: 'open', key, createRevision, session, mode, openedAt }
    return { lock: this.name, highWater: createRevision, grants: [open] }
  }

  set record(record: LockRecord | null) {
    LockState.#unfold(this).record = record
  }

  /** Why the record cannot be used; admits nothing while it is not null. */
  get damage(): string | null {
    return this.#unfolded?.damage ?? null
  }

  /** The damage is that its owner's key is not watched here. */
  get isBlind(): boolean {
    return this.#unfolded?.isBlind ?? false
  }

  /** Ascending by create revision. */
  get queue(): readonly QueuedWaiter[] {
    if (this.#unfolded !== null) return this.#unfolded.queue
    const grant = this.#held
    if (grant === null) return NOTHING
    const { createRevision, session, mode, key } = grant
    const modRevision = createRevision
    const said = { leased: true, note: null, replaces: null, at: null, seenAtMs: null }
    return [{ key, createRevision, modRevision, session, mode, ...said }]
  }

  set queue(queue: readonly QueuedWaiter[]) {
    LockState.#unfold(this).queue = queue
  }

  /** How many keys are in the queue. */
  get queueLength(): number {
    return this.#unfolded?.queue.length ?? (this.#held === null ? 0 : 1)
  }

  /** The grants of the record, open and sealed. */
  get live(): readonly LiveGrant[] {
    return this.#unfolded?.live ?? (this.#held === null ? NOTHING : [this.#held])
  }

  set live(live: readonly LiveGrant[]) {
    LockState.#unfold(this).live = live
  }

  /** Why each open grant without a key ended, judged when its key went. By create revision. */
  get endings(): ReadonlyMap<number, SealCause> {
    return this.#unfolded?.endings ?? NO_ENDINGS
  }

  set endings(endings: ReadonlyMap<number, SealCause>) {
    LockState.#unfold(this).endings = endings
  }

  /** What the last look at this lock found in its way. */
  get obstacles(): readonly Obstacle[] {
    return this.#unfolded?.obstacles ?? NOTHING
  }

  set obstacles(obstacles: readonly Obstacle[]) {
    if (this.#unfolded !== null || obstacles.length > 0) LockState.#unfold(this).obstacles = obstacles
  }

  /** Called after each change; parked calls and acquisitions. */
  get listeners(): Set<() => void> {
    const unfolded = LockState.#unfold(this)
    unfolded.listeners ??= new Set()
    return unfolded.listeners
  }

  tellListeners(): void {
    const listeners = this.#unfolded?.listeners
    if (listeners === undefined || listeners === null || listeners.size === 0) return
    for (const listener of [...listeners]) listener()
  }

  setDamage(damage: { readonly detail: string; readonly isBlind: boolean } | null): void {
    const unfolded = LockState.#unfold(this)
    unfolded.damage = damage?.detail ?? null
    unfolded.isBlind = damage?.isBlind ?? false
  }

  /** Puts it in its place, and gives back those that had the same key before. */
  enqueue(waiter: QueuedWaiter): readonly QueuedWaiter[] {
    const { queue } = this
    if (queue.length === 0) {
      this.queue = [waiter]
      return NOTHING
    }
    const others = queue.filter((other) => other.key !== waiter.key)
    const before = queue.filter((other) => other.key === waiter.key)
    const at = others.findIndex((other) => other.createRevision > waiter.createRevision)
    this.queue = at < 0 ? [...others, waiter] : others.toSpliced(at, 0, waiter)
    return before
  }

  /** The waiter key that a session has here in this mode, unless it changed modes or is a foreign client. */
  waiterKey({ mode, session }: { readonly mode: LockMode; readonly session: SessionId }): string {
    return this.#layout.waiter(this.name, mode, session)
  }

  grantOf(createRevision: number): LiveGrant | null {
    if (this.#unfolded === null) return this.#held?.createRevision === createRevision ? this.#held : null
    for (const grant of this.#unfolded.live) if (grant.createRevision === createRevision) return grant
    return null
  }

  /** Whether the record names it: it waits for nobody else any more. */
  granted(createRevision: number): boolean {
    if (this.#unfolded === null) return this.#held?.createRevision === createRevision
    return this.#unfolded.record?.grants.some((grant) => grant.createRevision === createRevision) ?? false
  }

  waiterOf(createRevision: number): QueuedWaiter | null {
    // Without making up what a folded one would say.
    if (this.#unfolded === null && this.#held?.createRevision !== createRevision) return null
    for (const waiter of this.queue) if (waiter.createRevision === createRevision) return waiter
    return null
  }

  get empty(): boolean {
    // Without making up what a folded one would say.
    if (this.#unfolded === null) return this.#held === null
    return (
      this.record === null &&
      this.damage === null &&
      this.queueLength === 0 &&
      this.live.length === 0 &&
      (this.#unfolded?.listeners?.size ?? 0) === 0
    )
  }

  /** To be called when a change is over: a lock at rest then takes the least of memory. */
  fold(): void {
    const unfolded = this.#unfolded
    if (unfolded === null) return
    const { damage, endings, obstacles, listeners, record, queue, live } = unfolded
    if (damage !== null || endings.size > 0 || obstacles.length > 0 || (listeners?.size ?? 0) > 0) return
    const held = live[0]
    const open = record?.grants[0]
    const waiter = queue[0]
    if (record === null || held === undefined || open === undefined || waiter === undefined) return
    if (live.length + record.grants.length + queue.length > 3 || !isPlain(record, open)) return
    const { createRevision, session, mode } = held
    const key = this.waiterKey(held)
    const agrees =
      [open.createRevision, waiter.createRevision, waiter.modRevision, record.highWater].every(
        (revision) => revision === createRevision,
      ) &&
      [open, waiter, held].every((it) => it.session === session && it.mode === mode && it.key === key) &&
      record.lock === this.name
    // What the waiter said, and when he was first seen, is of interest only while he waits.
    if (!agrees || !waiter.leased || waiter.replaces !== null || held.sealed) return
    const openedMs = Date.parse(open.openedAt)
    const seconds = Math.floor(openedMs / 1000)
    if (!(seconds >= 0 && seconds <= SMALL_MAX) || new Date(openedMs).toISOString() !== open.openedAt) return
    // The difference of two large numbers would be kept as an object, were it not said to be small.
    this.#openedSeconds = seconds | 0
    this.#openedMs = (openedMs - seconds * 1000) | 0
    this.#held = held
    this.#unfolded = null
  }

  /** Not a private method: each of those would cost every lock a word. */
  static #unfold(lock: LockState): Unfolded {
    if (lock.#unfolded !== null) return lock.#unfolded
    const { record, queue, live } = lock
    lock.#unfolded = {
      record,
      damage: null,
      isBlind: false,
      queue,
      live,
      endings: NO_ENDINGS,
      obstacles: NOTHING,
      listeners: null,
    }
    lock.#held = null
    return lock.#unfolded
  }
}

/** Nothing but what this version of the gateway would write of an open grant: what it does not know has to stay in the record. */
function isPlain(record: LockRecord, grant: LockRecord['grants'][number]): grant is OpenGrant {
  return (
    grant.state === 'open' &&
    grant.formerMode === undefined &&
    grant.replaced === undefined &&
    Object.keys(grant).length === GRANT_FIELDS &&
    Object.keys(record).length === RECORD_FIELDS
  )
}
