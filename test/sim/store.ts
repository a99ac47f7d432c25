// The store of the simulation: one linearizable state that all gateways share, and for each gateway a connection through a
// network that delays, loses and reorders. What it may do is what gateway/spi/store.ts allows, and no more.

import type { LeaseId, Revision } from '../../gateway/core/names.ts'
import {
  type KeyValue,
  LeaseGone,
  type LeaseState,
  type Prefixes,
  type Snapshot,
  type Store,
  type StoreEvent,
  StoreUnavailable,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchListener,
} from '../../gateway/spi/store.ts'
import { checkTransactions } from '../../gateway/store/check-transaction.ts'
import type { Marks } from './marks.ts'
import type { Random } from './random.ts'
import type { Scheduler, SimulatedProcess } from './scheduler.ts'

export interface NetworkFaults {
  /** Of requests and of answers. */
  readonly lossProbability: number
  readonly delayMsMax: number
  /** Of a request that arrives long after its sender gave up. */
  readonly lateProbability: number
  readonly watchDelayMsMax: number
}

export interface Committed {
  readonly revision: Revision
  readonly events: readonly StoreEvent[]
  /** Values before, of keys that changed. */
  readonly before: ReadonlyMap<string, KeyValue>
  /** Process that wrote; null for the store itself (a lease that ran out). */
  readonly by: string | null
  /** The lease whose end this is. */
  readonly endedLease: LeaseId | null
}

export interface Backup {
  readonly revision: number
  readonly keys: ReadonlyMap<string, KeyValue>
  readonly leases: ReadonlyMap<LeaseId, Lease>
}

interface Lease {
  readonly ttlMs: number
  deadlineMs: number
  readonly keys: Set<string>
}

const ANSWER_MS_MAX = 2_000
const LATE_MS_MAX = 8_000
/** etcd looks for leases that are over twice a second. */
const EXPIRY_LAG_MS_MAX = 500
/** A watch that hears nothing for so long is taken for broken by the client. */
const WATCH_STALL_MS = 4_000

export class SharedState {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #onCommit: (committed: Committed) => void
  readonly #keys = new Map<string, KeyValue>()
  readonly #leases = new Map<LeaseId, Lease>()
  readonly history: Committed[] = []
  readonly watchers = new Set<() => void>()
  readonly marks: Marks
  #revision = 1
  compactedThrough = 0
  #leaseCount = 0
  /** Since when it answers nobody; null while it does. */
  #downSinceMs: number | null = null

  constructor(options: {
    readonly scheduler: Scheduler
    readonly random: Random
    readonly marks: Marks
    readonly onCommit: (committed: Committed) => void
  }) {
    this.#scheduler = options.scheduler
    this.#random = options.random
    this.marks = options.marks
    this.#onCommit = options.onCommit
  }

  get up(): boolean {
    return this.#downSinceMs === null
  }

  /** No quorum, or, of an embedded store, its process is gone or stands still: nothing is answered, no lease ends. */
  goDown(): void {
    this.#downSinceMs ??= this.#scheduler.nowMs
  }

  /** Back again. `again`: leases get their whole TTL, as after a change of the leader; else what was left of it. */
  comeUp(leases: 'again' | 'remaining'): void {
    if (this.#downSinceMs === null) return
    const gapMs = this.#scheduler.nowMs - this.#downSinceMs
    this.#downSinceMs = null
    for (const known of this.#leases.values())
      if (leases === 'remaining') known.deadlineMs += gapMs
      else known.deadlineMs = this.#scheduler.nowMs + known.ttlMs
    for (const wake of [...this.watchers]) wake()
  }

  /** What a backup would hold now. */
  backUp(): Backup {
    return {
      revision: this.#revision,
      keys: new Map(this.#keys),
      leases: new Map(
        [...this.#leases].map(([lease, known]) => [lease, { ...known, keys: new Set(known.keys) }]),
      ),
    }
  }

  /** Everything since the backup is forgotten, and the store does not know it. The caller breaks the watches. */
  restore(backup: Backup): void {
    this.#revision = backup.revision
    this.#keys.clear()
    for (const [key, kv] of backup.keys) this.#keys.set(key, kv)
    this.#leases.clear()
    for (const [lease, known] of backup.leases) {
      this.#leases.set(lease, { ...known, deadlineMs: this.#scheduler.nowMs + known.ttlMs })
      this.#watchDeadline(lease)
    }
    this.history.length = 0
    this.compactedThrough = this.#revision
  }

  get revision(): Revision {
    return this.#revision as Revision
  }

  read(prefixes: Prefixes): Snapshot {
    const items = [...this.#keys.values()]
      .filter((kv) => isUnder(prefixes, kv.key))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    return { revision: this.revision, items }
  }

  leaseOf(key: string): LeaseId | null {
    return this.#keys.get(key)?.lease ?? null
  }

  transact(transaction: Transaction, by: string): TransactionResult | LeaseGone {
    if (!this.#hold(transaction.compare)) return { succeeded: false, revision: this.revision }
    for (const write of transaction.writes)
      if ('put' in write && write.lease !== undefined && !this.#leases.has(write.lease))
        return new LeaseGone(`lease ${write.lease} is gone`)
    const puts = transaction.writes.flatMap((write) => ('put' in write ? [write] : []))
    const deletes = transaction.writes.flatMap((write) =>
      'delete' in write && this.#keys.has(write.delete) ? [write.delete] : [],
    )
    if (puts.length + deletes.length === 0) return { succeeded: true, revision: this.revision }
    const revision = this.#next()
    const before = new Map<string, KeyValue>()
    const events: StoreEvent[] = []
    for (const key of deletes) events.push(this.#delete(key, before))
    for (const put of puts) {
      const old = this.#keys.get(put.put)
      if (old !== undefined) {
        before.set(put.put, old)
        if (old.lease !== null) this.#leases.get(old.lease)?.keys.delete(put.put)
      }
      const kv: KeyValue = {
        key: put.put,
        value: put.value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        lease: put.lease ?? null,
      }
      this.#keys.set(put.put, kv)
      if (put.lease !== undefined) this.#leases.get(put.lease)?.keys.add(put.put)
      events.push({ type: 'put', kv })
    }
    this.#commit({ revision, events, before, by, endedLease: null })
    return { succeeded: true, revision }
  }

  /** Each for itself, at one revision. */
  transactEach(transactions: readonly Transaction[], by: string): readonly TransactionResult[] {
    const held = transactions.map(({ compare }) => this.#hold(compare))
    const writes = transactions.flatMap((each, i) => (held[i] === true ? each.writes : []))
    const result = this.transact({ compare: [], writes }, by)
    if (result instanceof LeaseGone) throw result
    return held.map((succeeded) => ({ succeeded, revision: result.revision }))
  }

  #hold(compare: Transaction['compare']): boolean {
    return compare.every((comparison) => {
      const kv = this.#keys.get(comparison.key)
      return 'createRevision' in comparison
        ? (kv?.createRevision ?? 0) === comparison.createRevision
        : (kv?.modRevision ?? 0) === comparison.modRevision
    })
  }

  grantLease(ttlMs: number): LeaseState {
    const lease = `${this.#random.hex(6)}${(++this.#leaseCount).toString(16).padStart(5, '0')}` as LeaseId
    this.#leases.set(lease, { ttlMs, deadlineMs: this.#scheduler.nowMs + ttlMs, keys: new Set() })
    this.#watchDeadline(lease)
    return { lease, ttlMs }
  }

  keepAlive(lease: LeaseId): LeaseState | null {
    const known = this.#leases.get(lease)
    if (known === undefined) return null
    known.deadlineMs = this.#scheduler.nowMs + known.ttlMs
    return { lease, ttlMs: known.ttlMs }
  }

  endLease(lease: LeaseId, by: string | null): void {
    const known = this.#leases.get(lease)
    if (known === undefined) return
    this.#leases.delete(lease)
    const before = new Map<string, KeyValue>()
    const keys = [...known.keys]
    const revision = keys.length === 0 ? this.revision : this.#next()
    const events = keys.map((key) => this.#delete(key, before))
    this.#commit({ revision, events, before, by, endedLease: lease })
  }

  #watchDeadline(lease: LeaseId): void {
    const known = this.#leases.get(lease)
    if (known === undefined) return
    const lagMs = this.#random.between(1, EXPIRY_LAG_MS_MAX)
    const dueMs = Math.max(known.deadlineMs, this.up ? 0 : this.#scheduler.nowMs)
    this.#scheduler.at(dueMs + lagMs, () => {
      // Ended, or another of that name came with a backup.
      if (this.#leases.get(lease) !== known) return
      if (!this.up || known.deadlineMs > this.#scheduler.nowMs) this.#watchDeadline(lease)
      else this.endLease(lease, null)
    })
  }

  #next(): Revision {
    // Other prefixes of the same etcd write too.
    this.#revision += this.#random.chance(0.1) ? 2 : 1
    return this.revision
  }

  #delete(key: string, before: Map<string, KeyValue>): StoreEvent {
    const old = this.#keys.get(key)
    if (old !== undefined) {
      before.set(key, old)
      if (old.lease !== null) this.#leases.get(old.lease)?.keys.delete(key)
    }
    this.#keys.delete(key)
    return { type: 'delete', key }
  }

  #commit(committed: Committed): void {
    if (committed.events.length > 0) this.history.push(committed)
    this.#onCommit(committed)
    for (const wake of [...this.watchers]) wake()
  }
}

/** One process's connection. */
export class SimulatedStore implements Store {
  readonly kind: 'etcd' | 'embedded'
  readonly shared: boolean
  readonly #state: SharedState
  readonly #process: SimulatedProcess
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #faults: () => NetworkFaults
  readonly #onReadPrefix: (prefixes: Prefixes) => void
  readonly #deafProbability: () => number
  readonly #watches = new Set<SimulatedWatch>()
  #closed = false
  /** Through which all that there is has come to this process, by its snapshots and watches. */
  seen = 0

  constructor(options: {
    readonly state: SharedState
    readonly process: SimulatedProcess
    readonly scheduler: Scheduler
    readonly random: Random
    readonly faults: () => NetworkFaults
    readonly shared: boolean
    readonly deafProbability: () => number
    /** These prefixes are being read. */
    readonly onRead: (prefixes: Prefixes) => void
  }) {
    this.kind = options.shared ? 'etcd' : 'embedded'
    this.shared = options.shared
    this.#state = options.state
    this.#process = options.process
    this.#scheduler = options.scheduler
    this.#random = options.random
    this.#faults = options.faults
    this.#onReadPrefix = options.onRead
    this.#deafProbability = options.deafProbability
    this.#process.onDeath.push(() => this.#end())
  }

  read(prefixes: Prefixes): Promise<Snapshot> {
    return this.#ask(() => {
      this.#onReadPrefix(prefixes)
      return this.#state.read(prefixes)
    })
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const result = await this.#ask(() => this.#state.transact(transaction, this.#process.name))
    if (result instanceof LeaseGone) throw result
    return result
  }

  async transactEach(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    checkTransactions(transactions)
    this.#state.marks.hit('steps of several locks in one request')
    return await this.#ask(() => this.#state.transactEach(transactions, this.#process.name))
  }

  watch(prefixes: Prefixes, after: Revision, listener: WatchListener): Watch {
    const watch = new SimulatedWatch({
      state: this.#state,
      process: this.#process,
      scheduler: this.#scheduler,
      random: this.#random,
      faults: this.#faults,
      prefixes,
      after,
      // A watch of one key alone says nothing of the others.
      listener: Array.isArray(prefixes) ? this.#noting(listener) : listener,
    })
    if (Array.isArray(prefixes)) this.#saw(after)
    this.#watches.add(watch)
    if (this.#random.chance(this.#deafProbability())) watch.stand()
    return watch
  }

  #noting(listener: WatchListener): WatchListener {
    return {
      revision: (revision, events) => {
        this.#saw(revision)
        listener.revision(revision, events)
      },
      progress: (revision) => listener.progress(revision),
      failed: (failure) => listener.failed(failure),
    }
  }

  #saw(revision: number): void {
    this.seen = Math.max(this.seen, revision)
  }

  grantLease(ttlMs: number): Promise<LeaseState> {
    return this.#ask(() => this.#state.grantLease(ttlMs))
  }

  keepAlive(lease: LeaseId): Promise<LeaseState | null> {
    return this.#ask(() => this.#state.keepAlive(lease))
  }

  revokeLease(lease: LeaseId): Promise<void> {
    return this.#ask(() => this.#state.endLease(lease, this.#process.name))
  }

  currentRevision(): Promise<Revision> {
    return this.#ask(() => this.#state.revision)
  }

  async close(): Promise<void> {
    this.#end()
  }

  /** The stream breaks, as when an etcd member goes. */
  cutWatches(kind: 'lost' | 'compacted' = 'lost'): void {
    for (const watch of this.#watches) watch.cut(kind)
  }

  /** The connection is half dead: nothing comes any more, and nobody says so. */
  standWatches(): void {
    for (const watch of this.#watches) watch.stand()
  }

  #end(): void {
    this.#closed = true
    for (const watch of this.#watches) watch.close()
    this.#watches.clear()
  }

  #ask<Answer>(execute: () => Answer): Promise<Answer> {
    const { lossProbability, lateProbability, ...faults } = this.#faults()
    const delayMsMax = faults.delayMsMax * this.#process.slowness.requests
    const random = this.#random
    const { marks } = this.#state
    if (this.#closed) return Promise.reject(new StoreUnavailable('the connection is closed'))
    return new Promise((resolve, reject) => {
      this.#scheduler.after(ANSWER_MS_MAX, () =>
        this.#process.deliver(() => reject(new StoreUnavailable('no answer came in time'))),
      )
      if (random.chance(lossProbability)) {
        marks.hit('request lost')
        return
      }
      const late = random.chance(lateProbability)
      const outMs = late ? random.between(ANSWER_MS_MAX, LATE_MS_MAX) : random.between(0.1, delayMsMax)
      // A connection that is cut keeps what was sent before; what is sent now does not go out.
      if (this.#process.partitioned) return
      this.#scheduler.after(outMs, () => {
        if (this.#process.partitioned || !this.#state.up) return
        // Of an embedded store: nothing is carried out for a process that is no more.
        if (!this.shared && !this.#process.alive) return
        if (outMs > ANSWER_MS_MAX) marks.hit('request carried out after its sender gave up')
        const answer = execute()
        if (random.chance(lossProbability)) {
          marks.hit('answer lost')
          return
        }
        this.#scheduler.after(random.between(0.1, delayMsMax), () => {
          if (!this.#process.partitioned) this.#process.deliver(() => resolve(answer))
        })
      })
    })
  }
}

class SimulatedWatch implements Watch {
  readonly #state: SharedState
  readonly #process: SimulatedProcess
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #faults: () => NetworkFaults
  readonly #prefixes: Prefixes
  readonly #listener: WatchListener
  #sentThrough: number
  #place: number
  #arrivesAtMs = 0
  #over = false
  #standing = false
  #silentSinceMs: number

  constructor(options: {
    readonly state: SharedState
    readonly process: SimulatedProcess
    readonly scheduler: Scheduler
    readonly random: Random
    readonly faults: () => NetworkFaults
    readonly prefixes: Prefixes
    readonly after: Revision
    readonly listener: WatchListener
  }) {
    this.#state = options.state
    this.#process = options.process
    this.#scheduler = options.scheduler
    this.#random = options.random
    this.#faults = options.faults
    this.#prefixes = options.prefixes
    this.#listener = options.listener
    this.#sentThrough = options.after
    this.#place = this.#state.history.findIndex(({ revision }) => revision > options.after)
    if (this.#place < 0) this.#place = this.#state.history.length
    this.#silentSinceMs = this.#scheduler.nowMs
    this.#scheduler.after(this.#delayMs(), () => {
      if (this.#sentThrough < this.#state.compactedThrough) this.cut('compacted')
      else this.#begin()
    })
  }

  #delayMs(): number {
    return this.#random.between(0.1, this.#faults().watchDelayMsMax * this.#process.slowness.watches)
  }

  #begin(): void {
    if (this.#over) return
    this.#state.watchers.add(this.#pump)
    this.#pump()
    this.#listen()
  }

  /** Gives the watch up where the process has been cut off from the store for too long. */
  #listen(): void {
    this.#scheduler.after(1_000, () => {
      if (this.#over) return
      if (!this.#process.partitioned) {
        this.#silentSinceMs = this.#scheduler.nowMs
        this.#pump()
      } else if (this.#scheduler.nowMs - this.#silentSinceMs > WATCH_STALL_MS) this.cut('lost')
      this.#listen()
    })
  }

  readonly #pump = (): void => {
    if (this.#over || this.#process.partitioned || !this.#state.up) return
    for (;;) {
      const committed = this.#state.history[this.#place]
      if (committed === undefined) return
      this.#place++
      this.#sentThrough = committed.revision
      const events = committed.events.filter((event) =>
        isUnder(this.#prefixes, event.type === 'put' ? event.kv.key : event.key),
      )
      if (events.length > 0) this.#send(() => this.#listener.revision(committed.revision, events))
    }
  }

  #send(act: () => void): void {
    if (this.#standing) return
    const atMs = this.#scheduler.nowMs + this.#delayMs()
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, atMs)
    this.#scheduler.at(this.#arrivesAtMs, () =>
      this.#process.deliver(() => {
        if (!this.#over && !this.#standing) act()
      }, this),
    )
  }

  requestProgress(): void {
    this.#scheduler.after(this.#random.between(0.1, this.#faults().delayMsMax), () => {
      if (this.#over || this.#process.partitioned || !this.#state.up) return
      if (!this.#state.watchers.has(this.#pump)) return
      this.#pump()
      const { revision } = this.#state
      this.#send(() => this.#listener.progress(revision))
    })
  }

  stand(): void {
    this.#standing = true
  }

  cut(kind: 'lost' | 'compacted'): void {
    if (this.#over || this.#standing) return
    this.#state.watchers.delete(this.#pump)
    this.#process.deliver(() => {
      if (this.#over) return
      this.#over = true
      this.#listener.failed({ kind, message: 'the stream broke' })
    }, this)
  }

  close(): void {
    this.#over = true
    this.#state.watchers.delete(this.#pump)
  }
}

function isUnder(prefixes: Prefixes, key: string): boolean {
  if (typeof prefixes === 'string') return key.startsWith(prefixes)
  return prefixes.some((prefix) => key.startsWith(prefix))
}
