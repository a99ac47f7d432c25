// What one gateway knows of one lock: its record and queue as applied from the store, and the live grants to which the
// calls in flight are tied. The check of a call reads `live` and nothing else.

import type { Obstacle, Waiter } from '../core/handover.ts'
import type { LockRecord, SealCause } from '../core/lock-record.ts'
import type { LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { LedgerCall } from './ledger.ts'

const NO_CALLS: readonly LedgerCall[] = []
const NO_ENDINGS: ReadonlyMap<number, SealCause> = new Map()

/** A grant in the record, as this gateway admits calls under it. Sealed here before, or as soon as, in the store. */
export class LiveGrant {
  readonly lock: LockState
  /** The lock's name; beside the grant, where the check finds it without another look-up. */
  readonly name: LockName
  readonly createRevision: Revision
  readonly session: SessionId
  /** Its waiter key; a grant that changed its mode may stand under another than its mode would have. */
  readonly key: string
  #mode: LockMode
  /** As `sealRevision`, of a downgrade whose exclusive calls have not drained everywhere; 0 where there is none. */
  narrowRevision = 0
  /**
   * Revision at which the record shows it sealed: of the seal itself, or, where it stood sealed in a snapshot, a later one.
   * 0 while the record shows it open. The record's own revision moves on with the other grants in it.
   */
  sealRevision = 0
  #sealed = false
  /** Most grants have one call at a time, which then costs no list. */
  #first: LedgerCall | null = null
  /** Dense, each call knowing its place: a Set that churns drags its old tables, and the calls in them, along. */
  #others: LedgerCall[] | null = null

  constructor(
    lock: LockState,
    grant: { key: string; createRevision: Revision; session: SessionId; mode: LockMode },
  ) {
    this.lock = lock
    this.name = lock.name
    this.createRevision = grant.createRevision
    this.session = grant.session
    this.key = grant.key
    this.#mode = grant.mode
  }

  get mode(): LockMode {
    return this.#mode
  }

  get sealed(): boolean {
    return this.#sealed
  }

  /** Calls admitted under this grant that are not known to have ended. */
  get calls(): readonly LedgerCall[] {
    if (this.#first === null) return NO_CALLS
    return this.#others === null ? [this.#first] : [this.#first, ...this.#others]
  }

  enter(call: LedgerCall): void {
    if (this.#first === null) {
      this.#first = call
      call.setSlot(this, 0)
      return
    }
    this.#others ??= []
    call.setSlot(this, this.#others.push(call))
  }

  /** True where that was the last call. */
  leave(call: LedgerCall): boolean {
    const slot = call.slotIn(this)
    if (slot < 0) return false
    call.setSlot(this, -1)
    const last = this.#others?.pop() ?? null
    if (slot === 0) {
      this.#first = last
      last?.setSlot(this, 0)
    } else if (last !== null && last !== call && this.#others !== null) {
      this.#others[slot - 1] = last
      last.setSlot(this, slot)
    }
    return this.#first === null
  }

  /** From this tick on nothing is admitted under the grant. Idempotent; there is no way back. */
  seal(): void {
    if (this.#sealed) return
    this.#sealed = true
    for (const call of [...this.calls]) call.grantEnded()
  }

  /** From this tick on nothing is admitted under the grant that needs it exclusively. Idempotent. */
  narrow(): void {
    if (this.#mode === 'shared') return
    this.#mode = 'shared'
    for (const call of [...this.calls]) if (!call.coveredBy(this)) call.grantEnded()
  }
}

export interface QueuedWaiter extends Waiter {
  /** False where the key hangs on no lease, or on another than its name says: it cannot be judged, so it never opens. */
  readonly leased: boolean
  readonly note: string | null
  readonly replaces: Revision | null
  readonly modRevision: Revision
  /** Monotonic; null where it was there before this gateway's view. */
  readonly seenAtMs: number | null
}

export class LockState {
  readonly name: LockName
  record: LockRecord | null = null
  /** Mod revision of the record; 0 where there is none. */
  recordRevision = 0
  /** Why the record cannot be used; admits nothing while it is not null. */
  damage: string | null = null
  /** The damage is that its owner's key is not watched here. */
  isBlind = false
  /** Ascending by create revision. */
  queue: readonly QueuedWaiter[] = []
  /** The grants of the record, open and sealed. */
  live: readonly LiveGrant[] = []
  /** Why each open grant without a key ended, judged when its key went. By create revision. */
  endings: ReadonlyMap<number, SealCause> = NO_ENDINGS
  /** What the last look at this lock found in its way. */
  obstacles: readonly Obstacle[] = []
  /** Called after each change; parked calls and acquisitions. */
  readonly listeners = new Set<() => void>()

  constructor(name: LockName) {
    this.name = name
  }

  setDamage(damage: { readonly detail: string; readonly isBlind: boolean } | null): void {
    this.damage = damage?.detail ?? null
    this.isBlind = damage?.isBlind ?? false
  }

  /** Puts it in its place, and gives back those that had the same key before. */
  enqueue(waiter: QueuedWaiter): readonly QueuedWaiter[] {
    const others = this.queue.filter((other) => other.key !== waiter.key)
    const before = this.queue.filter((other) => other.key === waiter.key)
    const at = others.findIndex((other) => other.createRevision > waiter.createRevision)
    this.queue = at < 0 ? [...others, waiter] : others.toSpliced(at, 0, waiter)
    return before
  }

  grantOf(createRevision: number): LiveGrant | null {
    for (const grant of this.live) if (grant.createRevision === createRevision) return grant
    return null
  }

  /** Whether the record names it: it waits for nobody else any more. */
  granted(createRevision: number): boolean {
    return this.record?.grants.some((grant) => grant.createRevision === createRevision) ?? false
  }

  waiterOf(createRevision: number): QueuedWaiter | null {
    for (const waiter of this.queue) if (waiter.createRevision === createRevision) return waiter
    return null
  }

  get empty(): boolean {
    return (
      this.record === null &&
      this.damage === null &&
      this.queue.length === 0 &&
      this.live.length === 0 &&
      this.listeners.size === 0
    )
  }
}
