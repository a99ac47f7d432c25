// Writes down which jobs hold up a handover past the drain limit: so the other gateways know that nothing else is left, and
// people know which jobs these were when the gateway that watched them is gone.

import { recordJobs } from '../core/handover.ts'
import { drainScope, type OverdueJob, overdueJobs } from '../core/lock-record.ts'
import type { IncarnationId, Revision } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { Layout } from './layout.ts'
import type { LedgerCall } from './ledger.ts'
import type { LockState } from './lock-state.ts'
import { lockRecords } from './records.ts'

/** For each grant; each gateway may add one all the same. */
const JOBS_RECORDED_MAX = 16

export interface OverdueJobsOptions {
  readonly store: Store
  readonly layout: Layout
  readonly clock: Clock
  readonly self: () => IncarnationId
  /** This gateway's own calls under a grant that are jobs past the drain limit. */
  readonly overdue: (lock: LockState, createRevision: number) => readonly LedgerCall[]
  /** Another was faster, or the store did not answer: the lock is to be looked at again. */
  readonly again: (lock: LockState) => void
}

export class OverdueJobs {
  readonly #options: OverdueJobsOptions
  readonly #writing = new Set<LockState>()

  constructor(options: OverdueJobsOptions) {
    this.#options = options
  }

  /** To be called whenever nothing else is to be done for the lock. */
  note(lock: LockState): void {
    if (lock.record === null || this.#writing.has(lock)) return
    const { self, overdue, clock } = this.#options
    const incarnation = self()
    const found = new Map<Revision, readonly OverdueJob[]>()
    for (const grant of lock.record.grants) {
      const scope = drainScope(grant)
      if (scope === null || overdueJobs(grant, incarnation).length > 0) continue
      const room = Math.max(1, JOBS_RECORDED_MAX - (grant.jobs?.length ?? 0))
      const jobs = overdue(lock, grant.createRevision)
        .slice(0, room)
        .flatMap((call): OverdueJob[] => {
          if (call.state.kind !== 'job') return []
          const since = new Date(clock.wallMs() - (clock.monotonicMs() - call.admittedAtMs)).toISOString()
          return [{ scope, incarnation, backend: call.request.backend, job: call.state.id, since }]
        })
      if (jobs.length > 0) found.set(grant.createRevision, jobs)
    }
    if (found.size > 0) void this.#write(lock, found)
  }

  async #write(lock: LockState, found: ReadonlyMap<Revision, readonly OverdueJob[]>): Promise<void> {
    const { store, layout, again } = this.#options
    if (lock.record === null) return
    const put = layout.lockRecord(lock.name)
    const value = lockRecords.encode(recordJobs(lock.record, found))
    this.#writing.add(lock)
    try {
      const { succeeded } = await store.transact({
        compare: [{ key: put, modRevision: lock.recordRevision }],
        writes: [{ put, value }],
      })
      if (!succeeded) again(lock)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      again(lock)
    } finally {
      this.#writing.delete(lock)
    }
  }
}
