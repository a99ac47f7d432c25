// The store as the room sees it: every revision with its epoch above it. The one place where the two are converted. It never
// lets a write through that was thought of in another epoch than the store's.

import type { Epochs } from '../core/epoch.ts'
import type { Revision } from '../core/names.ts'
import {
  type Comparison,
  type KeyValue,
  type Store,
  type StoreEvent,
  StoreUnavailable,
  type Transaction,
  type TransactionResult,
  type WatchListener,
} from '../spi/store.ts'
import type { EpochKeys } from './epoch-record.ts'

export interface EpochStoreOptions {
  readonly store: Store
  readonly keys: EpochKeys
  readonly epochs: Epochs
  /** Revision at which the store's epoch was written, as it was when this gateway began; 0: it had none. */
  readonly recordRevision: number
  /** The store is in another epoch, or its revisions do not fit any more. Called before anything of it is passed on. */
  readonly onOutdated: (reason: string) => void
  /** Something was written beside the record: the epoch may be settled. */
  readonly onSettled: () => void
}

export const EPOCH_CHANGED =
  'the store has begun another epoch while this gateway ran: restart the gateway, it cannot go on in this one'

export function epochStore(options: EpochStoreOptions): Store {
  const { store, keys, epochs, recordRevision } = options

  const positioned = <Result>(convert: () => Result): Result => {
    try {
      return convert()
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      options.onOutdated(error.message)
      throw new StoreUnavailable(error.message)
    }
  }
  const item = (kv: KeyValue): KeyValue => ({
    ...kv,
    createRevision: epochs.position(kv.createRevision),
    modRevision: epochs.position(kv.modRevision),
  })
  const comparison = (compare: Comparison): Comparison =>
    'createRevision' in compare
      ? { key: compare.key, createRevision: epochs.revision(compare.createRevision) }
      : { key: compare.key, modRevision: epochs.revision(compare.modRevision) }
  const inThisEpoch = ({ compare, writes }: Transaction): Transaction => ({
    // Without it a gateway that has not heard of a bump yet would still write what it thought before.
    compare: [...compare.map(comparison), { key: keys.record, modRevision: recordRevision }],
    writes,
  })
  const resultOf = ({ succeeded, revision }: TransactionResult): TransactionResult => ({
    succeeded,
    revision: epochs.position(revision),
  })
  const outdated = (reason: string): StoreUnavailable => {
    options.onOutdated(reason)
    return new StoreUnavailable(reason)
  }

  return {
    kind: store.kind,
    shared: store.shared,
    grantLease: (ttlMs) => store.grantLease(ttlMs),
    keepAlive: (lease) => store.keepAlive(lease),
    revokeLease: (lease) => store.revokeLease(lease),
    close: () => store.close(),

    async read(prefixes) {
      const { revision, items } = await store.read(prefixes)
      const all = typeof prefixes === 'string' ? [prefixes] : prefixes
      if (all.some((prefix) => keys.record.startsWith(prefix))) {
        const record = items.find(({ key }) => key === keys.record)
        if ((record?.modRevision ?? 0) !== recordRevision) throw outdated(EPOCH_CHANGED)
      }
      return positioned(() => ({ revision: epochs.position(revision), items: items.map(item) }))
    },

    async transact(transaction) {
      const result = await store.transact(inThisEpoch(transaction))
      return positioned(() => resultOf(result))
    },

    async transactEach(transactions) {
      const results = await store.transactEach(transactions.map(inThisEpoch))
      return positioned(() => results.map(resultOf))
    },

    async currentRevision() {
      const revision = await store.currentRevision()
      return positioned(() => epochs.position(revision))
    },

    watch(prefixes, after, listener) {
      let isOver = false
      const end = (reason: string): void => {
        isOver = true
        options.onOutdated(reason)
      }
      const pass = (revision: Revision, deliver: (position: Revision) => void): void => {
        if (isOver) return
        let position: Revision
        try {
          position = epochs.position(revision)
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
          end(error.message)
          return
        }
        deliver(position)
      }
      const converted: WatchListener = {
        revision(revision, events) {
          if (!isOver && events.some((event) => keyOf(event) === keys.record)) end(EPOCH_CHANGED)
          pass(revision, (position) => {
            listener.revision(position, events.map(eventWith(item)))
            if (events.some((event) => keyOf(event) === keys.settled)) options.onSettled()
          })
        },
        progress: (revision) => pass(revision, (position) => listener.progress(position)),
        failed: (failure) => listener.failed(failure),
      }
      return store.watch(prefixes, epochs.revision(after) as Revision, converted)
    },
  }
}

function keyOf(event: StoreEvent): string {
  return event.type === 'put' ? event.kv.key : event.key
}

function eventWith(item: (kv: KeyValue) => KeyValue): (event: StoreEvent) => StoreEvent {
  return (event) => (event.type === 'put' ? { type: 'put', kv: item(event.kv) } : event)
}
