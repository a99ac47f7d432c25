// The store as this room writes to it: not at all once it is known to have gone back, as each write would bring its revision
// nearer to where nobody could tell any more.

import { type Store, StoreUnavailable } from '../spi/store.ts'

/** Reads pass. Writes reject with `StoreUnavailable` while `forbidden` gives a reason. */
export function guardStore(store: Store, forbidden: () => string | null): Store {
  const check = () => {
    const reason = forbidden()
    if (reason !== null) throw new StoreUnavailable(reason)
  }
  return {
    kind: store.kind,
    shared: store.shared,
    read: (prefixes) => store.read(prefixes),
    watch: (prefixes, after, listener) => store.watch(prefixes, after, listener),
    currentRevision: () => store.currentRevision(),
    close: () => store.close(),
    async transact(transaction) {
      check()
      return await store.transact(transaction)
    },
    async transactEach(transactions) {
      check()
      return await store.transactEach(transactions)
    },
    async grantLease(ttlMs) {
      check()
      return await store.grantLease(ttlMs)
    },
    async keepAlive(lease) {
      check()
      return await store.keepAlive(lease)
    },
    async revokeLease(lease) {
      check()
      await store.revokeLease(lease)
    },
  }
}
