// Ends what outlives its use in the store: gateways that are gone, fences long closed, sessions that are over. Never
// deletes a record that a handover may still need.

import type { IncarnationId, Revision } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { HighWaterMark } from '../spi/high-water-mark.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { Barrier } from './barrier.ts'
import type { Layout } from './layout.ts'
import type { LedgerCall } from './ledger.ts'
import { gatewayRecords } from './records.ts'
import type { SessionKeeper } from './session-keeper.ts'
import type { KnownGateway, View } from './view.ts'

const SWEEP_MS = 2_000
/** How late a store may carry out a registration that was given up; longer than the lease under which it is. */
const LATE_MS_MAX = 60_000
/** Closed fences are kept for people; the oldest go first, before their time where there are more. */
const CLOSED_FENCES_MAX = 1_000
const FENCES_KEPT_MS = 30 * 86_400_000

export interface SweeperSettings {
  readonly mark: HighWaterMark
  /** For how long closed fences are kept; 30 days where absent. */
  readonly fencesKeptMs?: number
}

export interface SweeperOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly barrier: Barrier
  readonly sessions: SessionKeeper
  readonly clock: Clock
  /** Whether the view is whole: what it lacks may otherwise only be late. */
  readonly ready: () => boolean
  readonly events: EventSink
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  readonly settings: SweeperSettings
}

interface Deletion {
  readonly key: string
  readonly modRevision: Revision
}

export class Sweeper {
  readonly #options: SweeperOptions
  /** Earlier incarnations of this very process, with the calls they had open; only it may speak for them. */
  #predecessors: {
    readonly id: IncarnationId
    readonly calls: readonly LedgerCall[]
    readonly sinceMs: number
  }[] = []
  #timer: Timer | null = null

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(SWEEP_MS, () => {
      void this.#sweep()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** This process goes on under a new incarnation; the old one's record goes once all that it admitted has ended. */
  succeed(id: IncarnationId, calls: readonly LedgerCall[]): void {
    this.#predecessors.push({ id, calls, sinceMs: this.#options.clock.monotonicMs() })
  }

  /** Writes down that an incarnation's lease is over, so that what it may have had open gets an end in time. */
  async markGone(): Promise<void> {
    const { store, layout, barrier, caughtUp, events } = this.#options
    barrier.note()
    const unmarked = barrier
      .gone()
      .filter((gateway) => gateway.readable && gateway.record.state === 'serving')
    await Promise.all(
      unmarked.map(async ({ incarnation, modRevision, record }) => {
        const key = layout.gateway(incarnation)
        try {
          const { succeeded, revision } = await store.transact({
            compare: [{ key, modRevision }],
            writes: [{ put: key, value: gatewayRecords.encode({ ...record, state: 'gone' }) }],
          })
          if (!succeeded) return
          events({ type: 'gateway.gone', detail: goneWords(incarnation, record) })
          await caughtUp(revision)
        } catch (error) {
          if (!(error instanceof StoreUnavailable)) throw error
          // The next sweep finds it again.
        }
      }),
    )
  }

  /**
   * What has been seen becomes durable outside the store, a sweep late at most. A mark that cannot be written is no reason
   * to stop a cloud; it is a reason to tell somebody.
   */
  async raiseMark(): Promise<void> {
    const { settings, view, events } = this.#options
    try {
      await settings.mark.raise(view.applied)
    } catch (error) {
      const detail = `the high-water mark cannot be written, so a restored store would go unnoticed: ${String(error)}`
      events({ type: 'mark.failed', detail })
    }
  }

  async #sweep(): Promise<void> {
    const { store, view, sessions, ready } = this.#options
    if (!ready()) return
    await this.raiseMark()
    await this.markGone()
    sessions.tidy(view.sessions.keys(), 'all')
    for (const { key, modRevision } of [
      ...this.#goneGateways(),
      ...this.#closedPredecessors(),
      ...this.#oldFences(),
    ]) {
      try {
        await store.transact({ compare: [{ key, modRevision }], writes: [{ delete: key }] })
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
        return
      }
    }
  }

  #goneGateways(): Deletion[] {
    const { barrier, layout } = this.#options
    return barrier
      .gone()
      .filter(
        (gateway) =>
          gateway.record.state === 'gone' &&
          (barrier.quietRemainingMs(gateway) === 0 || !this.#needed(gateway.modRevision)),
      )
      .map(({ incarnation, modRevision }) => ({ key: layout.gateway(incarnation), modRevision }))
  }

  /** Whether a grant that is not closed is old enough to have calls of an incarnation that ended at `revision`. */
  #needed(revision: Revision): boolean {
    for (const lock of this.#options.view.locks.values())
      for (const grant of lock.live) if (grant.createRevision < revision) return true
    return false
  }

  /** Until the view shows that the record is gone: the store may not have heard, or another may just have marked it. */
  #closedPredecessors(): Deletion[] {
    const { layout, view, clock } = this.#options
    const lateMs = clock.monotonicMs() - LATE_MS_MAX
    const deletions: Deletion[] = []
    this.#predecessors = this.#predecessors.filter(({ id, calls, sinceMs }) => {
      const known = view.gateways.get(id)
      // Gone, by our word or as its quiet time is over; or it never came, and comes no more.
      if (known === undefined) return sinceMs > lateMs
      if (calls.some((call) => call.state.kind !== 'ended')) return true
      deletions.push({ key: layout.gateway(id), modRevision: known.modRevision })
      return true
    })
    return deletions
  }

  #oldFences(): Deletion[] {
    const { layout, view, clock, settings } = this.#options
    const closed = [...view.fences.values()].filter(
      ({ record }) => record.progress.state === 'closed' && !view.locksOf.has(record.id),
    )
    // Wall clock, as the record outlives every process: what it decides is how long people can read of what is over.
    const keptSince = clock.wallMs() - (settings.fencesKeptMs ?? FENCES_KEPT_MS)
    const excess = closed.length - CLOSED_FENCES_MAX
    return closed
      .toSorted((a, b) => a.modRevision - b.modRevision)
      .filter(
        ({ record: { progress } }, index) =>
          index < excess || (progress.state === 'closed' && Date.parse(progress.closedAt) < keptSince),
      )
      .map(({ record, modRevision }) => ({ key: layout.fence(record.id), modRevision }))
  }
}

function goneWords(incarnation: IncarnationId, { name, quietMs }: KnownGateway['record']): string {
  const end = quietMs === null ? 'an operator vouches for it' : `its quiet time of ${quietMs / 1000} s is`
  return `gateway ${name} (${incarnation}) is gone without a clean exit; what it may have had open is over when ${end}`
}
