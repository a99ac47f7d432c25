// The store of a single gateway, in a SQLite file of its own. It never says that something was written, and never
// shows an event, before the commit that made it durable.

import { randomBytes } from 'node:crypto'
import { InvariantViolation, invariant } from '../../core/invariant.ts'
import { asLeaseId, type LeaseId, type Revision } from '../../core/names.ts'
import type { Clock } from '../../spi/clock.ts'
import {
  type Comparison,
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
} from '../../spi/store.ts'
import { checkTransaction, checkTransactions, checkTtl } from '../check-transaction.ts'
import { prefixRanges } from '../key-range.ts'
import { EmbeddedDatabase, messageOf } from './database.ts'
import { EventHistory, type HistoryLimits } from './event-history.ts'
import { LeaseDeadlines } from './lease-deadlines.ts'

export interface EmbeddedStoreOptions {
  /** The store's folder; created where it is missing. One process at a time can have it open. */
  readonly path: string
  readonly clock: Clock
  /** Where lease ids come from: that many random bytes. */
  readonly random?: (bytes: number) => Uint8Array
  readonly history?: HistoryLimits
}

/** How many jobs share one commit at most: a bound on the time in which the process does nothing else. */
const COMMIT_JOBS_MAX = 500

const WAITING_JOBS_MAX = 20_000

const HISTORY: HistoryLimits = { revisionsMax: 10_000, bytesMax: 64 * 1024 * 1024 }

/** What one commit has done so far. Thrown away where it fails. */
interface Batch {
  revision: Revision
  readonly events: { readonly revision: Revision; readonly events: readonly StoreEvent[] }[]
}

interface Job {
  /** Writes into the batch. What it returns is called once the batch is durable. */
  readonly run: (batch: Batch) => () => void
  readonly reject: (error: unknown) => void
}

/**
 * Opens the store in the folder `path`. Throws where it cannot be opened: another process has it, its schema is a
 * newer gateway's, or the file is no store. After it, every lease has its full TTL again.
 */
export function openEmbeddedStore(options: EmbeddedStoreOptions): EmbeddedStore {
  return new EmbeddedStore(options)
}

export class EmbeddedStore implements Store {
  readonly kind = 'embedded'
  readonly shared = false
  readonly #database: EmbeddedDatabase
  readonly #random: (bytes: number) => Uint8Array
  readonly #leases: LeaseDeadlines
  readonly #history: EventHistory
  #revision: Revision
  #waiting: Job[] = []
  #commitDue = false
  /** Why nothing can be asked of the store any more, or null while it works. */
  #over: string | null = null

  constructor({ path, clock, random = randomBytes, history = HISTORY }: EmbeddedStoreOptions) {
    this.#database = new EmbeddedDatabase(path)
    this.#random = random
    this.#revision = this.#database.revision()
    this.#history = new EventHistory(this.#revision, history)
    this.#leases = new LeaseDeadlines({ clock, expire: (leases) => this.#expire(leases) })
    for (const { lease, ttlMs } of this.#database.leases()) this.#leases.add(lease, ttlMs)
  }

  /** Where the store keeps its file. */
  get file(): string {
    return this.#database.file
  }

  async read(prefixes: Prefixes): Promise<Snapshot> {
    const ranges = prefixRanges(prefixes)
    return this.#asked(() => ({
      revision: this.#revision,
      items: ranges.flatMap((range) => this.#database.range(range)),
    }))
  }

  async currentRevision(): Promise<Revision> {
    return this.#asked(() => this.#revision)
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    checkTransaction(transaction)
    return this.#queued((batch, settle) => {
      if (!transaction.compare.every((comparison) => this.#holds(comparison)))
        return settle({ succeeded: false, revision: batch.revision })
      for (const write of transaction.writes) {
        if ('put' in write && write.lease !== undefined && !this.#database.hasLease(write.lease))
          throw new LeaseGone(`lease ${write.lease} of ${JSON.stringify(write.put)} is gone`)
      }
      this.#write(batch, transaction.writes)
      return settle({ succeeded: true, revision: batch.revision })
    })
  }

  async transactEach(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    checkTransactions(transactions)
    return this.#queued((batch, settle) => {
      const held = transactions.map(({ compare }) => compare.every((comparison) => this.#holds(comparison)))
      this.#write(
        batch,
        transactions.flatMap(({ writes }, i) => (held[i] === true ? writes : [])),
      )
      return settle(held.map((succeeded) => ({ succeeded, revision: batch.revision })))
    })
  }

  watch(prefixes: Prefixes, after: Revision, listener: WatchListener): Watch {
    const all = typeof prefixes === 'string' ? [prefixes] : prefixes
    for (const prefix of all)
      invariant(prefix.isWellFormed(), `a prefix must be well-formed Unicode: ${JSON.stringify(prefix)}`)
    if (this.#over === null) return this.#history.watch(all, after, listener)
    const message = this.#over
    let open = true
    queueMicrotask(() => {
      if (open) listener.failed({ kind: 'lost', message })
    })
    const close = (): void => {
      open = false
    }
    return { requestProgress: () => undefined, close }
  }

  async grantLease(ttlMs: number): Promise<LeaseState> {
    checkTtl(ttlMs)
    const state: LeaseState = { lease: this.#newLeaseId(), ttlMs: Math.ceil(ttlMs) }
    return this.#queued((_batch, settle) => {
      this.#database.addLease(state)
      const settled = settle(state)
      return () => {
        this.#leases.add(state.lease, state.ttlMs)
        settled()
      }
    })
  }

  async keepAlive(lease: LeaseId): Promise<LeaseState | null> {
    return this.#asked(() => {
      const ttlMs = this.#leases.renew(lease)
      return ttlMs === null ? null : { lease, ttlMs }
    })
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    return this.#queued((batch, settle) => {
      // Asked of the database: another job of this batch may have ended it already.
      if (!this.#database.hasLease(lease)) return settle(undefined)
      this.#endLease(batch, lease)
      const settled = settle(undefined)
      return () => {
        this.#leases.remove(lease)
        settled()
      }
    })
  }

  async close(): Promise<void> {
    while (this.#over === null && this.#waiting.length > 0) this.#commitWaiting()
    if (this.#over !== null) return
    this.#over = `the store ${this.#database.file} is closed`
    this.#leases.stop()
    this.#history.end(null)
    this.#database.close()
  }

  /** An answer out of what is committed. */
  #asked<T>(answer: () => T): T {
    if (this.#over !== null) throw new StoreUnavailable(this.#over)
    try {
      return answer()
    } catch (error) {
      throw this.#unavailable('read', error)
    }
  }

  /** What arrives until the event loop comes round shares one commit, and so one sync of the disk. */
  #queued<T>(run: (batch: Batch, settle: (value: T) => () => void) => () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over !== null) return reject(new StoreUnavailable(this.#over))
      if (this.#waiting.length >= WAITING_JOBS_MAX)
        return reject(
          new StoreUnavailable(`${WAITING_JOBS_MAX} writes wait for ${this.#database.file} already`),
        )
      this.#waiting.push({ run: (batch) => run(batch, (value) => () => resolve(value)), reject })
      this.#commitSoon()
    })
  }

  #commitSoon(): void {
    if (this.#commitDue) return
    this.#commitDue = true
    setImmediate(() => {
      this.#commitDue = false
      this.#commitWaiting()
      if (this.#waiting.length > 0) this.#commitSoon()
    })
  }

  #commitWaiting(): void {
    if (this.#over !== null || this.#waiting.length === 0) return
    const jobs = this.#waiting.slice(0, COMMIT_JOBS_MAX)
    this.#waiting = this.#waiting.slice(COMMIT_JOBS_MAX)
    const settle: (() => void)[] = []
    try {
      this.#commit((batch) => {
        for (const job of jobs) settle.push(runAlone(job, batch))
      }, settle)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      for (const job of jobs) job.reject(error)
    }
  }

  /**
   * Makes what `write` does durable, then calls what stands in `settle`, then the watches. Throws `StoreUnavailable`
   * where the disk did not take it: then nothing was written and nobody hears of it.
   */
  #commit(write: (batch: Batch) => void, settle: readonly (() => void)[]): void {
    const batch: Batch = { revision: this.#revision, events: [] }
    try {
      this.#database.commit(() => {
        write(batch)
        if (batch.revision !== this.#revision) this.#database.setRevision(batch.revision)
      })
    } catch (error) {
      if (error instanceof InvariantViolation) throw error
      this.#confirmUnchanged()
      throw this.#unavailable('write', error)
    }
    this.#revision = batch.revision
    for (const { revision, events } of batch.events) this.#history.append(revision, events)
    for (const settled of settle) settled()
    this.#history.deliver()
  }

  /**
   * A failed commit leaves the file as it was. Where that cannot be seen, this process no longer knows what the store
   * holds, and must not answer from it.
   */
  #confirmUnchanged(): void {
    try {
      const found = this.#database.revision()
      if (found === this.#revision) return
      this.#giveUp(`after a failed write it is at revision ${found}, not ${this.#revision}`)
    } catch (error) {
      this.#giveUp(`after a failed write it cannot be read: ${messageOf(error)}`)
    }
  }

  #giveUp(reason: string): void {
    this.#over = `the store ${this.#database.file} has to be opened anew: ${reason}`
    this.#leases.stop()
    const over = new StoreUnavailable(this.#over)
    for (const job of this.#waiting) job.reject(over)
    this.#waiting = []
    this.#history.end(this.#over)
    try {
      this.#database.close()
    } catch (error) {
      this.#over += `; nor can it be closed: ${messageOf(error)}`
    }
  }

  #unavailable(operation: string, error: unknown): StoreUnavailable {
    return new StoreUnavailable(`${operation} on ${this.#database.file}: ${messageOf(error)}`, {
      cause: error,
    })
  }

  #holds(comparison: Comparison): boolean {
    const found = this.#database.get(comparison.key)
    if ('createRevision' in comparison) return (found?.createRevision ?? 0) === comparison.createRevision
    return (found?.modRevision ?? 0) === comparison.modRevision
  }

  /** One revision for all of it, and none where nothing changes: to delete what is not there changes nothing. */
  #write(batch: Batch, writes: Transaction['writes']): void {
    const revision = (batch.revision + 1) as Revision
    invariant(Number.isSafeInteger(revision), 'the revisions are used up')
    const events: StoreEvent[] = []
    for (const write of writes) {
      if ('delete' in write) {
        if (this.#database.get(write.delete) === null) continue
        this.#database.delete(write.delete)
        events.push({ type: 'delete', key: write.delete })
        continue
      }
      const kv = {
        key: write.put,
        value: write.value,
        createRevision: this.#database.get(write.put)?.createRevision ?? revision,
        modRevision: revision,
        lease: write.lease ?? null,
      }
      this.#database.put(kv)
      events.push({ type: 'put', kv })
    }
    if (events.length === 0) return
    batch.revision = revision
    batch.events.push({ revision, events })
  }

  #endLease(batch: Batch, lease: LeaseId): void {
    this.#write(
      batch,
      this.#database.keysOfLease(lease).map((key) => ({ delete: key })),
    )
    this.#database.deleteLease(lease)
  }

  #expire(leases: readonly LeaseId[]): boolean {
    try {
      this.#commit(
        (batch) => {
          for (const lease of leases) this.#endLease(batch, lease)
        },
        leases.map((lease) => () => this.#leases.remove(lease)),
      )
      return true
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return false
    }
  }

  /** 63 random bits and not 0, as etcd's: a positive number in its signed 64. */
  #newLeaseId(): LeaseId {
    for (let attempt = 0; attempt < 8; attempt++) {
      const bytes = Buffer.from(this.#random(8))
      const lease = asLeaseId((bytes.readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn).toString(16))
      if (lease !== null && !this.#leases.has(lease)) return lease
    }
    throw new InvariantViolation('the source of randomness repeats itself')
  }
}

/** A lease that is gone is that transaction's own failure and found before it wrote: the others go on. */
function runAlone(job: Job, batch: Batch): () => void {
  try {
    return job.run(batch)
  } catch (error) {
    if (!(error instanceof LeaseGone)) throw error
    return () => job.reject(error)
  }
}
