// Takes away what gateways that never come back have left in the store: each that starts without its memory has a mark of its
// own there. One that lives writes its mark anew every few seconds. Who is away for longer than this cannot tell a store
// whose marks were tidied from one that lost them, and refuses: so it is long.

import type { Revision } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import { witnessSince } from './epoch-record.ts'

export const MARKS_KEPT_MS = 30 * 86_400_000
/** Also how long a mark has to have been seen unchanged, whatever the clocks of other machines say. */
const ROUND_MS = 6 * 3_600_000
const DELETIONS_MAX = 100

export interface OldMarksOptions {
  readonly store: Store
  /** Under which the marks stand. */
  readonly prefix: string
  readonly clock: Clock
  /** Key of this gateway's own; null where it has none. */
  readonly own: () => string | null
}

export class OldMarks {
  readonly #options: OldMarksOptions
  #seen: ReadonlyMap<string, Revision> = new Map()
  #timer: Timer | null = null
  #isStopped = false

  constructor(options: OldMarksOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#isStopped) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(ROUND_MS, () => {
      void this.#tidy()
      this.start()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  async #tidy(): Promise<void> {
    const { store, prefix, clock, own } = this.#options
    try {
      const { items } = await store.read(prefix)
      const before = this.#seen
      this.#seen = new Map(items.map(({ key, modRevision }) => [key, modRevision]))
      const old = items.filter(
        ({ key, modRevision, value }) =>
          key !== own() && before.get(key) === modRevision && isOld(witnessSince(value), clock.wallMs()),
      )
      for (const { key, modRevision } of old.slice(0, DELETIONS_MAX)) {
        if (this.#isStopped) return
        await store.transact({ compare: [{ key, modRevision }], writes: [{ delete: key }] })
      }
    } catch (error) {
      // The next round finds them again.
      if (!(error instanceof StoreUnavailable)) throw error
    }
  }
}

/** What does not say since when it is there is not taken away. */
function isOld(sinceMs: number | null, nowMs: number): boolean {
  return sinceMs !== null && nowMs - sinceMs > MARKS_KEPT_MS
}
