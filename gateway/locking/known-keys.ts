// Which keys of the store the view holds, and as of when, so that a later snapshot can be told from what is known. What a
// lock's own state says is not kept a second time.

import type { KeyValue, StoreEvent } from '../spi/store.ts'
import type { KeyMeaning, Layout } from './layout.ts'
import type { LockState } from './lock-state.ts'

export class KnownKeys {
  /** Mod revisions; of the keys that are neither waiters nor lock records. */
  readonly #others = new Map<string, number>()

  put({ kind }: KeyMeaning, { key, modRevision }: KeyValue): void {
    if (!isOfLock(kind)) this.#others.set(key, modRevision)
  }

  delete({ kind }: KeyMeaning, key: string): void {
    if (!isOfLock(kind)) this.#others.delete(key)
  }

  /** What makes the view into `items`. */
  changesTo(
    items: readonly KeyValue[],
    { locks, layout }: { readonly locks: ReadonlyMap<string, LockState>; readonly layout: Layout },
  ): StoreEvent[] {
    const gone = new Map(this.#others)
    for (const lock of locks.values()) {
      if (lock.recordRevision > 0) gone.set(layout.lockRecord(lock.name), lock.recordRevision)
      for (const { key, modRevision } of lock.queue) gone.set(key, modRevision)
    }
    const puts: StoreEvent[] = []
    for (const kv of items) {
      if (gone.get(kv.key) !== kv.modRevision) puts.push({ type: 'put', kv })
      gone.delete(kv.key)
    }
    const deletes = [...gone.keys()].map((key): StoreEvent => ({ type: 'delete', key }))
    return [...deletes, ...puts]
  }
}

function isOfLock(kind: KeyMeaning['kind']): boolean {
  return kind === 'waiter' || kind === 'lock-record'
}
