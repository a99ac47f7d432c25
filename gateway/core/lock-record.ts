// The lock record: which grants of a lock are open, which are sealed, and why. The durable half of a handover.

import type { LockMode, LockName, Revision, SessionId } from './names.ts'

/**
 * Why a grant ended. `released`: given back, or its key deleted by a third hand while the lease lived. `expired`: the
 * lease ended, or it cannot be told. `revoked`: an operator had the session fenced. `upgraded`: the same session's changing
 * grant took its place, and answers for how it ends. Decided once, in the transaction of the seal, and never read again.
 */
export type SealCause = 'released' | 'expired' | 'revoked' | 'upgraded'

interface GrantBase {
  /** The waiter key that is the grant, and its create revision. The revision names it; the key may come again. */
  readonly key: string
  readonly createRevision: Revision
  readonly session: SessionId
  readonly mode: LockMode
  /** Wall clock of the opening, RFC 3339; for people. */
  readonly openedAt: string
  /** Of an upgrade: the shared grant that it replaced. A retry that still names that one is answered with this. */
  readonly replaced?: Revision
  /**
   * Of a downgrade: calls that need the lock exclusively may still be open under this grant, so that it still keeps out
   * everybody whom an exclusive one keeps out.
   */
  readonly formerMode?: 'exclusive'
  /** Ids of the fences that had to be closed before it was opened; for people. Absent: it came after a clean release. */
  readonly afterFences?: readonly string[]
}

/** The second half of an upgrade: nobody else gets the lock any more, but what it replaces has not drained yet. */
export interface ChangingGrant extends GrantBase {
  readonly state: 'changing'
}

export interface OpenGrant extends GrantBase {
  readonly state: 'open'
}

export interface SealedGrant extends GrantBase {
  readonly state: 'sealed'
  readonly cause: SealCause
  readonly sealedAt: string
  /** Id of the fence record written in the same transaction; null after a release. */
  readonly fence: string | null
}

export type LivingGrant = OpenGrant | ChangingGrant
export type Grant = LivingGrant | SealedGrant

/**
 * `grants` holds at most one exclusive grant, or any number of shared ones, among those that are open; sealed ones stay
 * until they are drained and fenced. No grant that conflicts with one in the list is ever opened; one that is changing stands
 * beside the sealed one that it replaces.
 */
export interface LockRecord {
  readonly lock: LockName
  readonly grants: readonly Grant[]
  /** The largest create revision that was ever opened. 0: none. */
  readonly highWater: number
  /** Fences of grants that are closed, for the next grant to name. */
  readonly closedFences?: readonly string[]
}

/** The mode in which a grant keeps others out. */
export function excludingMode(grant: Pick<Grant, 'mode' | 'formerMode'>): LockMode {
  return grant.formerMode ?? grant.mode
}

export function conflicts(a: LockMode, b: LockMode): boolean {
  return a === 'exclusive' || b === 'exclusive'
}
