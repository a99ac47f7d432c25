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
  readonly createRevision: Revision
  readonly session: SessionId
  readonly mode: LockMode
  #sealed = false
  /** Dense, each call knowing its place: a Set that churns drags its old tables, and the calls in them, along. */
  #calls: LedgerCall[] | null = null

  constructor(lock: LockState, grant: { createRevision: Revision; session: SessionId; mode: LockMode }) {
    this.lock = lock
    this.createRevision = grant.createRevision
    this.session = grant.session
    this.mode = grant.mode
  }

  get sealed(): boolean {
    return this.#sealed
  }

  /** Calls admitted under this grant that are not known to have ended. */
  get calls(): readonly LedgerCall[] {
    return this.#calls ?? NO_CALLS
  }

  enter(call: LedgerCall): void {
    this.#calls ??= []
    call.setSlot(this, this.#calls.push(call) - 1)
  }

  /** True where that was the last call. */
  leave(call: LedgerCall): boolean {
    const calls = this.#calls
    const slot = call.slotIn(this)
    if (calls === null || slot < 0) return false
    const last = calls.pop()
    if (last !== undefined && last !== call) {
      calls[slot] = last
      last.setSlot(this, slot)
    }
    call.setSlot(this, -1)
    return calls.length === 0
  }

  /** From this tick on nothing is admitted under the grant. Idempotent; there is no way back. */
  seal(): void {
    if (this.#sealed) return
    this.#sealed = true
    for (const call of [...this.calls]) call.grantSealed()
  }
}

export interface QueuedWaiter extends Waiter {
  /** False where the key hangs on no lease, or on another than its name says: it cannot be judged, so it never opens. */
  readonly leased: boolean
  readonly note: string | null
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

  grantOf(createRevision: number): LiveGrant | null {
    for (const grant of this.live) if (grant.createRevision === createRevision) return grant
    return null
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
