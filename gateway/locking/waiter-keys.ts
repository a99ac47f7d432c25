// What a waiter key needs before it can be opened, and the keys that wait for nothing any more.

import type { Waiter } from '../core/handover.ts'
import type { Revision } from '../core/names.ts'
import { LeaseGone, type Store, StoreUnavailable, type Transaction } from '../spi/store.ts'
import type { Layout } from './layout.ts'
import type { LockState, QueuedWaiter } from './lock-state.ts'
import type { View } from './view.ts'

export interface WaiterKeysOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  /** Null where a key of this revision may be opened; else why not. */
  readonly held: (createRevision: Revision) => string | null
  /** The store did not answer: the lock is to be looked at again. */
  readonly again: (lock: LockState) => void
}

export class WaiterKeys {
  readonly #options: WaiterKeysOptions

  constructor(options: WaiterKeysOptions) {
    this.#options = options
  }

  /** Null where the waiter may be opened. */
  unready({ session, createRevision, key }: Waiter, lock: LockState): string | null {
    if (lock.waiterOf(createRevision)?.leased !== true)
      return 'its key hangs on no lease, so its end could not be judged; delete the key'
    const held = this.#options.held(createRevision)
    if (held !== null) return held
    const { view, layout } = this.#options
    if (createRevision < view.sources.since && layout.foreign(key) !== null)
      return `${key} was taken before the gateways watched for it; the lock goes on once it is given back`
    return view.canaries.has(session) ? null : 'its lease has no canary yet'
  }

  /** A foreign client's lease gets a key of ours: what goes with it tells an expiry from an unlock. */
  plantCanary(lock: LockState, waiter: Waiter): void {
    const { layout, view } = this.#options
    if (lock.waiterOf(waiter.createRevision)?.leased !== true || view.canaries.has(waiter.session)) return
    const key = layout.canary(waiter.session)
    void this.#write(lock, {
      compare: [
        { key, createRevision: 0 },
        { key: waiter.key, createRevision: waiter.createRevision },
      ],
      writes: [{ put: key, value: '', lease: waiter.session }],
    })
  }

  /** What an upgrade was to replace is over, and whoever asked for it is perhaps gone: its key only keeps others out. */
  withdrawBaseless(lock: LockState): void {
    for (const waiter of lock.queue) {
      const { key, modRevision } = waiter
      if (isBaseless(waiter, lock))
        void this.#write(lock, { compare: [{ key, modRevision }], writes: [{ delete: key }] })
    }
  }

  async #write(lock: LockState, transaction: Transaction): Promise<void> {
    try {
      await this.#options.store.transact(transaction)
    } catch (error) {
      if (error instanceof StoreUnavailable) this.#options.again(lock)
      else if (!(error instanceof LeaseGone)) throw error
    }
  }
}

/** Grants end for ever, and an upgrade is queued only while its grant stands: so it has none any more. */
function isBaseless({ replaces, session, createRevision }: QueuedWaiter, lock: LockState): boolean {
  if (replaces === null || lock.granted(createRevision)) return false
  return !lock.record?.grants.some(
    (grant) => grant.state === 'open' && grant.createRevision === replaces && grant.session === session,
  )
}
