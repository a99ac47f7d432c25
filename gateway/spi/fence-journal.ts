// Between the sequencer and the store: fence records and their compare-and-swap. Implemented by gateway/locking.

import type { FenceRecord } from '../core/fence-record.ts'
import type { IncarnationId, LeaseId, Revision, SessionId } from '../core/names.ts'
import type { SessionCounts } from '../core/storm.ts'

export interface JournaledFence {
  readonly record: FenceRecord
  readonly modRevision: Revision
}

/** A living session on the machine that a power fence would switch off. */
export interface Neighbour {
  readonly session: SessionId
  /** The holder's id. */
  readonly holder: string
  /** What it holds. */
  readonly locks: readonly string[]
}

export interface FenceJournal {
  readonly incarnation: IncarnationId
  readonly lease: LeaseId | null
  /** All records, as the view has them. */
  list(): readonly JournaledFence[]
  get(id: string): JournaledFence | null
  /** How many sessions there are, by the leases that the view shows. */
  sessions(): SessionCounts
  /** Who would go down with the holder's host; as far as sessions name a host or a target. Absent: nobody can tell. */
  neighbours?(record: FenceRecord): readonly Neighbour[]
  /** Locks that the session has not left yet: what the fence has shown still counts for them. Absent: none. */
  pendingLocks?(id: string): readonly string[]
  /**
   * Writes `record` in place of the one at `modRevision`. The new state, or null where another was faster (read again
   * and decide again). Rejects with StoreUnavailable where the outcome is unknown.
   */
  replace(record: FenceRecord, modRevision: Revision): Promise<JournaledFence | null>
  /** Calls `listener` after each change of any record, and once a claim's gateway is gone. */
  onChange(listener: () => void): () => void
  /** True while this gateway's lease is provably alive and its view current: the last check before a strike. */
  mayStrike(): boolean
  /** Whether the gateway that holds a claim may still be running attempts. */
  isLive(incarnation: IncarnationId): boolean
  /**
   * Resolves once every gateway has reported all seals of this session, with the revision that they all have reached.
   * A proof about calls counts only if its observation began after that.
   */
  sealedEverywhere(session: string, signal: AbortSignal): Promise<Revision>
}
