// A grant as one gateway admits calls under it, tied to the calls in flight. Most of a gateway's memory where very many locks
// are held, so what only a few grants have stands apart.

import type { LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { LedgerCall } from './ledger.ts'
import type { LockState } from './lock-state.ts'

const NO_CALLS: readonly LedgerCall[] = []

/** Bits of a grant's state: one small number is an eighth of what as many fields would be. */
const SEALED = 1
const SHARED = 2

/** What most grants never have. */
interface Rare {
  /** Its waiter key, where that is not the one that its mode has. */
  key: string | null
  narrowRevision: number
  sealRevision: number
  /** Dense, each call knowing its place: a Set that churns drags its old tables, and the calls in them, along. */
  others: LedgerCall[] | null
}

/** A grant in the record, as this gateway admits calls under it. Sealed here before, or as soon as, in the store. */
export class LiveGrant {
  readonly lock: LockState
  /** The lock's name; beside the grant, where the check finds it without another look-up. */
  readonly name: LockName
  readonly createRevision: Revision
  readonly session: SessionId
  #bits: number
  /** Most grants have one call at a time, which then costs no list. */
  #first: LedgerCall | null = null
  #rare: Rare | null = null

  constructor(
    lock: LockState,
    grant: { key: string; createRevision: Revision; session: SessionId; mode: LockMode },
  ) {
    this.lock = lock
    this.name = lock.name
    this.createRevision = grant.createRevision
    this.session = grant.session
    this.#bits = grant.mode === 'shared' ? SHARED : 0
    if (grant.key !== lock.waiterKey(grant)) LiveGrant.#rarity(this).key = grant.key
  }

  /** Not a private method: each of those would cost every grant a word. */
  static #rarity(grant: LiveGrant): Rare {
    grant.#rare ??= { key: null, narrowRevision: 0, sealRevision: 0, others: null }
    return grant.#rare
  }

  get mode(): LockMode {
    return (this.#bits & SHARED) === 0 ? 'exclusive' : 'shared'
  }

  get sealed(): boolean {
    return (this.#bits & SEALED) !== 0
  }

  /** Its waiter key; a grant that changed its mode may stand under another than its mode would have. */
  get key(): string {
    return this.#rare?.key ?? this.lock.waiterKey(this)
  }

  /** As `sealRevision`, of a downgrade whose exclusive calls have not drained everywhere; 0 where there is none. */
  get narrowRevision(): number {
    return this.#rare?.narrowRevision ?? 0
  }

  set narrowRevision(revision: number) {
    if (revision !== this.narrowRevision) LiveGrant.#rarity(this).narrowRevision = revision
  }

  /**
   * Revision at which the record shows it sealed: of the seal itself, or, where it stood sealed in a snapshot, a later one.
   * 0 while the record shows it open. The record's own revision moves on with the other grants in it.
   */
  get sealRevision(): number {
    return this.#rare?.sealRevision ?? 0
  }

  set sealRevision(revision: number) {
    LiveGrant.#rarity(this).sealRevision = revision
  }

  /** Calls admitted under this grant that are not known to have ended. */
  get calls(): readonly LedgerCall[] {
    if (this.#first === null) return NO_CALLS
    const others = this.#rare?.others ?? NO_CALLS
    return [this.#first, ...others]
  }

  get hasCalls(): boolean {
    return this.#first !== null
  }

  enter(call: LedgerCall): void {
    if (this.#first === null) {
      this.#first = call
      call.setSlot(this, 0)
      return
    }
    const rare = LiveGrant.#rarity(this)
    rare.others ??= []
    call.setSlot(this, rare.others.push(call))
  }

  /** True where that was the last call. */
  leave(call: LedgerCall): boolean {
    const slot = call.slotIn(this)
    if (slot < 0) return false
    call.setSlot(this, -1)
    const others = this.#rare?.others ?? null
    const last = others?.pop() ?? null
    if (slot === 0) {
      this.#first = last
      last?.setSlot(this, 0)
    } else if (last !== null && last !== call && others !== null) {
      others[slot - 1] = last
      last.setSlot(this, slot)
    }
    return this.#first === null
  }

  /** From this tick on nothing is admitted under the grant. Idempotent; there is no way back. */
  seal(): void {
    if (this.sealed) return
    this.#bits |= SEALED
    for (const call of [...this.calls]) call.grantEnded()
  }

  /** From this tick on nothing is admitted under the grant that needs it exclusively. Idempotent. */
  narrow(): void {
    if (this.mode === 'shared') return
    LiveGrant.#rarity(this).key ??= this.key
    this.#bits |= SHARED
    for (const call of [...this.calls]) if (!call.coveredBy(this)) call.grantEnded()
  }
}
