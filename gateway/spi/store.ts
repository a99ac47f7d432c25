// The store: a strongly consistent key-value store with revisions, leases, transactions and watches.
// Two implementations (store/etcd, store/embedded); test/conformance/store.test.ts holds both to this text.

import type { LeaseId, Revision } from '../core/names.ts'

export interface KeyValue {
  readonly key: string
  readonly value: string
  /** Revision that created the key, counted anew after each deletion. A waiter key's is its token. */
  readonly createRevision: Revision
  readonly modRevision: Revision
  /** The lease that the key goes with, or null. */
  readonly lease: LeaseId | null
}

/** Holds where the key's revision is exactly this; 0 stands for "the key does not exist". */
export type Comparison =
  | { readonly key: string; readonly createRevision: number }
  | { readonly key: string; readonly modRevision: number }

/** One prefix, or several: the keys that begin with one of them. */
export type Prefixes = string | readonly string[]

/** A key is written at most once in one transaction. */
export type Write =
  | { readonly put: string; readonly value: string; readonly lease?: LeaseId }
  | { readonly delete: string }

export interface Transaction {
  /** All must hold. An empty list always holds. */
  readonly compare: readonly Comparison[]
  /** Carried out at one revision where all comparisons hold; else nothing is. */
  readonly writes: readonly Write[]
}

/** What `transactEach` takes. etcd allows 128 operations on each level, less those of the levels above. */
export const TRANSACTIONS_TOGETHER = { transactionsMax: 64, operationsMax: 60 } as const

export interface TransactionResult {
  readonly succeeded: boolean
  /** The store's revision after the transaction: that of the writes where it succeeded and wrote. */
  readonly revision: Revision
}

export interface Snapshot {
  /** The linearizable revision at which everything in `items` was read. */
  readonly revision: Revision
  /** In byte order of the keys. */
  readonly items: readonly KeyValue[]
}

export type StoreEvent =
  | { readonly type: 'put'; readonly kv: KeyValue }
  | { readonly type: 'delete'; readonly key: string }

export interface WatchListener {
  /**
   * All events of one revision under the prefixes, never split, never reordered, none left out. What a lease
   * takes with it when it ends, or a transaction writes, comes in one call; under however many of the prefixes.
   */
  revision(revision: Revision, events: readonly StoreEvent[]): void
  /** Everything up to `revision` has been delivered (the store says so without an event of ours). */
  progress(revision: Revision): void
  /**
   * The watch is over and nothing more will come: read a new snapshot and watch again. Called at most once,
   * and not after `close`. `compacted`: the history asked for is gone. `lost`: the stream broke or stalled.
   */
  failed(failure: { readonly kind: 'compacted' | 'lost'; readonly message: string }): void
}

export interface Watch {
  /** Asks the store for a `progress` call now, where it can. Never throws. */
  requestProgress(): void
  /** Idempotent. No listener call after it returns. */
  close(): void
}

export interface LeaseState {
  readonly lease: LeaseId
  /** The TTL that the store really gave, in milliseconds; never less than asked for. */
  readonly ttlMs: number
}

/**
 * Every method rejects with `StoreUnavailable` where no answer came in time; a transaction, grant or revocation
 * that so failed may still have happened. A transaction that writes under a lease that is gone rejects with `LeaseGone`.
 * One that is too large for any store rejects with `TransactionTooLarge`. Other errors are programmer faults.
 */
export interface Store {
  readonly kind: 'etcd' | 'embedded'
  /** False where this process alone can open the store: then no other gateway can be alive beside it. */
  readonly shared: boolean
  /** A linearizable read of all keys under the prefixes, at one revision. */
  read(prefixes: Prefixes): Promise<Snapshot>
  transact(transaction: Transaction): Promise<TransactionResult>
  /**
   * Several transactions in one request, each for itself: those whose comparisons hold are carried out at one revision, the
   * others not. All of it happens or, where it rejects with `StoreUnavailable`, perhaps. Each writes something, and under no
   * lease; none writes what another writes or compares, so that their order says nothing.
   */
  transactEach(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]>
  /** Events of revisions greater than `after`, for keys under the prefixes. Does no waiting. */
  watch(prefixes: Prefixes, after: Revision, listener: WatchListener): Watch
  grantLease(ttlMs: number): Promise<LeaseState>
  /** Null where the lease is gone: the store has said so, this is not an outage. */
  keepAlive(lease: LeaseId): Promise<LeaseState | null>
  /** Ends the lease; all its keys go in one revision. A lease that is gone already is no error. */
  revokeLease(lease: LeaseId): Promise<void>
  /** The store's current revision, by a linearizable read. */
  currentRevision(): Promise<Revision>
  /** Ends watches and connections. Idempotent. */
  close(): Promise<void>
}

/** A write named a lease that is gone. Nothing of its transaction was written. */
export class LeaseGone extends Error {
  override readonly name = 'LeaseGone'
}

/** The store did not answer in time or has no quorum. What was asked of it may have happened. */
export class StoreUnavailable extends Error {
  override readonly name: string = 'StoreUnavailable'
}

/**
 * The store takes no transaction of this size; nothing was written, and nothing will be until it is smaller. For whoever
 * only retries it is one more outage.
 */
export class TransactionTooLarge extends StoreUnavailable {
  override readonly name = 'TransactionTooLarge'
}
