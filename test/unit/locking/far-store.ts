// The embedded store behind a network that a test takes away, in the middle of a call where it likes.

import type { Revision } from '../../../gateway/core/names.ts'
import {
  type Prefixes,
  type Snapshot,
  type Store,
  StoreUnavailable,
  type Transaction,
  type Watch,
  type WatchListener,
} from '../../../gateway/spi/store.ts'
import type { EmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'

/** `request`: it never arrives. `answer`: it is carried out, and nobody learns of it. */
export type Loss = 'request' | 'answer'

export class FarStore {
  readonly #store: EmbeddedStore
  readonly #listeners = new Set<WatchListener>()
  /** What the next read comes to instead of the store's own answer. */
  nextRead: (() => Promise<Snapshot>) | null = null
  /** What becomes of a request with this transaction, or with several; null: it goes through. */
  loss: (transaction: Transaction) => Loss | null = () => null
  /** Resolves when the transaction may go to the store; null: all go at once. */
  hold: ((transaction: Transaction) => Promise<void>) | null = null
  /** What the watches have brought, and not delivered yet; null while they deliver at once. */
  #late: (() => void)[] | null = null
  /** Resolves when a revision may reach the listener of a watch; null: all do at once. */
  watchHold: (() => Promise<void>) | null = null
  /** What happens elsewhere right before a lease is revoked. */
  beforeRevoke: () => Promise<void> = () => Promise.resolve()
  readonly store: Store

  /** `shared`: as if other gateways could be there, so with a lease, a heartbeat and watermarks. */
  constructor(store: EmbeddedStore, shared: boolean = store.shared) {
    this.#store = store
    this.store = {
      kind: store.kind,
      shared,
      read: (prefix) => {
        const next = this.nextRead
        this.nextRead = null
        return next === null ? store.read(prefix) : next()
      },
      transact: (transaction) => this.#send([transaction], () => store.transact(transaction)),
      transactEach: (transactions) => this.#send(transactions, () => store.transactEach(transactions)),
      watch: (prefix, after, listener) => this.#watch(prefix, after, listener),
      grantLease: (ttlMs) => store.grantLease(ttlMs),
      keepAlive: (lease) => store.keepAlive(lease),
      revokeLease: async (lease) => {
        await this.beforeRevoke()
        await store.revokeLease(lease)
      },
      currentRevision: () => store.currentRevision(),
      close: () => store.close(),
    }
  }

  /** From now on the watches lag: what happens is seen when the answer is called. */
  lag(): () => void {
    const late: (() => void)[] = []
    this.#late = late
    return () => {
      this.#late = null
      for (const deliver of late) deliver()
    }
  }

  get watches(): number {
    return this.#listeners.size
  }

  breakWatches(): void {
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of listeners) listener.failed({ kind: 'lost', message: 'the connection broke' })
  }

  /** Those of one request share its fate, as if they were one transaction. */
  async #send<Answer>(transactions: readonly Transaction[], ask: () => Promise<Answer>): Promise<Answer> {
    const request = {
      compare: transactions.flatMap(({ compare }) => compare),
      writes: transactions.flatMap(({ writes }) => writes),
    }
    if (this.hold !== null) await this.hold(request)
    const loss = this.loss(request)
    if (loss === 'request') throw new StoreUnavailable('no answer within 5,000 ms')
    const answer = await ask()
    if (loss === 'answer') throw new StoreUnavailable('no answer within 5,000 ms')
    return answer
  }

  #watch(prefixes: Prefixes, after: Revision, listener: WatchListener): Watch {
    this.#listeners.add(listener)
    const own = (act: () => void) => {
      const deliver = () => {
        if (this.#listeners.has(listener)) act()
      }
      if (this.#late === null) deliver()
      else this.#late.push(deliver)
    }
    let last: Promise<unknown> | null = null
    const inTurn = (act: () => void) => {
      if (this.watchHold === null && last === null) own(act)
      else last = Promise.all([last, this.watchHold?.()]).then(() => own(act))
    }
    const watch = this.#store.watch(prefixes, after, {
      revision: (revision, events) => inTurn(() => listener.revision(revision, events)),
      progress: (revision) => inTurn(() => listener.progress(revision)),
      failed: (failure) => own(() => listener.failed(failure)),
    })
    return {
      requestProgress: () => watch.requestProgress(),
      close: () => {
        this.#listeners.delete(listener)
        watch.close()
      },
    }
  }
}
