// Which fences belong to a storm: by the records in the store, and by when this gateway first saw them, since the times in
// the records are wall clock, which decides nothing. After a restart all that is open has been seen now, so that a crash in
// the middle of a storm makes it no smaller.

import type { FenceRecord } from '../core/fence-record.ts'
import { type Crowd, crowdsAmong, type SessionCounts, type StormLimits } from '../core/storm.ts'
import type { Clock } from '../spi/clock.ts'

/**
 * Of the window: for so long a crowd is waited for until it can be told from a storm. Holders that are cut off together
 * expire one after the other, as each renewed at another time.
 */
const SETTLE_SHARE = 1 / 4

export class StormWatch {
  readonly #clock: Clock
  readonly #limits: StormLimits
  /** Monotonic, in the order of time. Null: it was closed before this gateway came, so nobody knows when it began. */
  readonly #seenMs = new Map<string, number | null>()
  /** Of those who came in a crowd: when they may be struck, if it is no storm by then. */
  readonly #settledMs = new Map<string, number>()
  #hasLooked = false
  /** Once in a storm, always: holders that come back do not make it smaller. */
  readonly #reasons = new Map<string, string>()

  constructor(clock: Clock, limits: StormLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** To be called with all records there are, whenever they have changed. */
  look(records: readonly FenceRecord[], counts: SessionCounts): void {
    const nowMs = this.#clock.monotonicMs()
    const ids = new Set<string>()
    for (const { id, cause, progress } of records) {
      ids.add(id)
      if (cause !== 'expired' || this.#seenMs.has(id)) continue
      // What has no plan is closed from the beginning, and has expired all the same.
      const began = progress.state !== 'closed' || (progress.outcome === 'unfenced' && this.#hasLooked)
      this.#seenMs.set(id, began ? nowMs : null)
    }
    this.#hasLooked = true
    for (const id of this.#seenMs.keys()) {
      if (ids.has(id)) continue
      this.#seenMs.delete(id)
      this.#reasons.delete(id)
      this.#settledMs.delete(id)
    }
    const seen = [...this.#seenMs].flatMap(([id, atMs]) => (atMs === null ? [] : [{ id, atMs }]))
    const crowds = crowdsAmong(
      seen.map(({ atMs }) => atMs),
      counts,
      this.#limits,
      nowMs,
    )
    for (const [index, { id, atMs }] of seen.entries()) {
      const crowd = crowds[index]
      if (crowd === null || crowd === undefined) continue
      this.#settledMs.set(id, atMs + this.#limits.windowMs * SETTLE_SHARE)
      if (crowd.isStorm && !this.#reasons.has(id)) this.#reasons.set(id, reasonOf(crowd, this.#limits))
    }
  }

  /** Null where the fence is in no storm that was seen. */
  reason(id: string): string | null {
    return this.#reasons.get(id) ?? null
  }

  /** For how long nobody can tell yet whether it is in a storm. */
  settlingMs(id: string): number {
    return Math.max(0, (this.#settledMs.get(id) ?? 0) - this.#clock.monotonicMs())
  }
}

function reasonOf({ expired, known }: Crowd, { windowMs }: StormLimits): string {
  return `${expired} of ${known} known sessions expired within ${windowMs / 1000} s, which is more than the brakes let through`
}
