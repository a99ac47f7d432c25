// The store of several gateways: an etcd cluster. It repeats nothing that must not happen twice, waits for nothing
// without an end, and trusts no idea of the client package about leases or watches.

import { invariant } from '../../core/invariant.ts'
import type { LeaseId, Revision } from '../../core/names.ts'
import type { Clock } from '../../spi/clock.ts'
import {
  type KeyValue,
  LeaseGone,
  type LeaseState,
  type Prefixes,
  type Snapshot,
  type Store,
  StoreUnavailable,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchListener,
} from '../../spi/store.ts'
import { checkTransaction, checkTransactions, checkTtl } from '../check-transaction.ts'
import { prefixRanges } from '../key-range.ts'
import type { EtcdTls } from './connection.ts'
import { Endpoints, type EndpointsOptions, LeaseUnknown } from './endpoints.ts'
import { EtcdWatch, type WatchTiming } from './etcd-watch.ts'
import { MessageTooLarge } from './grpc-messages.ts'
import { leaseAnswer, leaseGrantRequest, leaseRequest } from './lease-messages.ts'
import type { EtcdAuth } from './login.ts'
import {
  type EtcdRange,
  etcdRange,
  probeRequest,
  rangeAfter,
  rangeAnswer,
  rangeRequest,
  transactionAnswer,
  transactionRequest,
  transactionsRequest,
} from './messages.ts'
import { MalformedMessage } from './protobuf.ts'

export interface EtcdStoreOptions extends Pick<EndpointsOptions, 'tls' | 'pingMs'> {
  /** URLs of the members, `http://…` or `https://…`. */
  readonly endpoints: readonly string[]
  readonly auth?: EtcdAuth
  /** After it a call rejects with `StoreUnavailable`; 5,000 where it is not given. */
  readonly requestTimeoutMs?: number
  /** A watch's stream that is silent for so long is asked for a sign of life; 2,000 where it is not given. */
  readonly watchSilentMs?: number
  /** A key that the user may read, for `currentRevision`; it need not exist. The first of all where not given. */
  readonly probeKey?: string
  readonly clock: Clock
}

const REQUEST_TIMEOUT_MS = 5_000
const WATCH_SILENT_MS = 2_000

/** A bound on one answer's size; a snapshot larger than this is read in several, all at one revision. */
const READ_PAGE_KEYS = 5_000
/** Where keys are so large that no answer holds as many. */
const READ_PAGE_SHRINKS = 10

/** How often a read begins anew whose revision was compacted away between two pages. */
const READ_ATTEMPTS_MAX = 3

/** Connects to nothing yet: the first call does. */
export function openEtcdStore(options: EtcdStoreOptions): EtcdStore {
  return new EtcdStore(options)
}

export class EtcdStore implements Store {
  readonly kind = 'etcd'
  readonly shared = true
  readonly #endpoints: Endpoints
  readonly #clock: Clock
  readonly #watchTiming: WatchTiming
  readonly #probeKey: Buffer
  readonly #watches = new Set<Watch>()
  #closed = false

  constructor(options: EtcdStoreOptions) {
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS, watchSilentMs = WATCH_SILENT_MS, clock } = options
    this.#endpoints = new Endpoints({ ...options, requestTimeoutMs })
    this.#clock = clock
    this.#watchTiming = { silentMs: watchSilentMs, answerMs: requestTimeoutMs }
    this.#probeKey = Buffer.from(options.probeKey ?? '\u0000')
  }

  async read(prefixes: Prefixes): Promise<Snapshot> {
    const ranges = prefixRanges(prefixes).map(etcdRange)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#readPages(ranges)
      } catch (error) {
        if (attempt === READ_ATTEMPTS_MAX || !isCompacted(error)) throw error
      }
    }
  }

  async currentRevision(): Promise<Revision> {
    const request = probeRequest(this.#probeKey)
    const question = { operation: 'read the revision', method: 'range', request } as const
    const answer = await this.#endpoints.repeatable(question)
    return rangeAnswer(answer).revision
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    checkTransaction(transaction)
    const request = transactionRequest(transaction, this.#probeKey)
    try {
      const answer = await this.#endpoints.once({ operation: 'transaction', method: 'transact', request })
      const { succeeded, revision } = transactionAnswer(answer)
      return { succeeded, revision }
    } catch (error) {
      if (error instanceof LeaseUnknown)
        throw new LeaseGone('a lease that the transaction writes under is gone', { cause: error })
      throw error
    }
  }

  async transactEach(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    checkTransactions(transactions)
    const request = transactionsRequest(transactions)
    const answer = await this.#endpoints.once({ operation: 'transactions', method: 'transact', request })
    const { each, revision } = transactionAnswer(answer)
    invariant(each.length === transactions.length, 'etcd answers every transaction in a transaction')
    return each.map((succeeded) => ({ succeeded, revision }))
  }

  watch(prefixes: Prefixes, after: Revision, listener: WatchListener): Watch {
    const watch = new EtcdWatch({
      endpoints: this.#endpoints,
      clock: this.#clock,
      timing: this.#watchTiming,
      prefixes,
      after,
      listener: {
        revision: (revision, events) => listener.revision(revision, events),
        progress: (revision) => listener.progress(revision),
        failed: (failure) => {
          this.#watches.delete(watch)
          listener.failed(failure)
        },
      },
    })
    this.#watches.add(watch)
    return {
      requestProgress: () => watch.requestProgress(),
      close: () => {
        this.#watches.delete(watch)
        watch.close()
      },
    }
  }

  async grantLease(ttlMs: number): Promise<LeaseState> {
    checkTtl(ttlMs)
    // A grant whose answer was lost leaves a lease behind that ends by itself.
    const answer = leaseAnswer(
      await this.#endpoints.repeatable({
        operation: 'grant a lease',
        method: 'grantLease',
        request: leaseGrantRequest(Math.ceil(ttlMs / 1000)),
      }),
    )
    invariant(answer.lease !== null, 'etcd granted a lease without an id')
    return { lease: answer.lease, ttlMs: answer.ttlMs }
  }

  async keepAlive(lease: LeaseId): Promise<LeaseState | null> {
    const answer = leaseAnswer(
      await this.#endpoints.repeatable({
        operation: 'keep a lease alive',
        method: 'keepLeaseAlive',
        request: leaseRequest(lease),
      }),
    )
    // Of a lease that is gone it names the id and no time: who names no lease has not said that it is.
    if (answer.lease !== lease)
      throw new MalformedMessage('keep a lease alive: the answer names another lease')
    return answer.ttlMs > 0 ? { lease, ttlMs: answer.ttlMs } : null
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    try {
      await this.#endpoints.repeatable({
        operation: 'revoke a lease',
        method: 'revokeLease',
        request: leaseRequest(lease),
      })
    } catch (error) {
      if (!(error instanceof LeaseUnknown)) throw error
    }
  }

  /** For a certificate and a key that were renewed: new connections are made with them, and calls go over new ones. */
  renewTls(tls: EtcdTls): void {
    this.#endpoints.renewTls(tls)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const watch of this.#watches) watch.close()
    this.#watches.clear()
    this.#endpoints.close()
  }

  /** Each page is asked for before the one in front of it is unpacked: the member works meanwhile. */
  async #readPages(ranges: readonly EtcdRange[]): Promise<Snapshot> {
    const items: KeyValue[] = []
    let revision: Revision | null = null
    for (const whole of ranges) {
      let coming: Promise<Buffer> | null = this.#page(whole, revision)
      let range = whole
      while (coming !== null) {
        const page = rangeAnswer(await coming)
        revision ??= page.revision
        coming = null
        if (page.more && page.lastKey !== null) {
          range = rangeAfter(page.lastKey, range)
          coming = this.#page(range, revision)
          // It is looked at in the next turn; until then nobody else would hear of its failure.
          coming.catch(() => undefined)
        }
        for (const kv of page.items()) items.push(kv)
      }
    }
    invariant(revision !== null, 'a read of no range')
    return { revision, items }
  }

  async #page(range: EtcdRange, revision: Revision | null): Promise<Buffer> {
    for (let limit = READ_PAGE_KEYS; ; limit = Math.ceil(limit / READ_PAGE_SHRINKS)) {
      const request = rangeRequest(range, { limit, revision })
      try {
        return await this.#endpoints.repeatable({ operation: 'read', method: 'range', request })
      } catch (error) {
        if (limit === 1 || !isTooLarge(error)) throw error
      }
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.cause instanceof MessageTooLarge
}

function isCompacted(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.message.includes('required revision has been compacted')
}
