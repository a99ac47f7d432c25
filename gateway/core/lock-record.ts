// The lock record: which grants of a lock are open, which are sealed, and why. The durable half of a handover.

import type { IncarnationId, LockMode, LockName, Revision, SessionId } from './names.ts'

/**
 * Why a grant ended. `released`: given back, or its key deleted by a third hand while the lease lived. `expired`: the
 * lease ended, or it cannot be told. `revoked`: an operator had the session fenced. `upgraded`: the same session's changing
 * grant took its place, and answers for how it ends. Decided once, in the transaction of the seal, and never read again.
 */
export type SealCause = 'released' | 'expired' | 'revoked' | 'upgraded'

/**
 * An operator's word about calls of which nobody knows what became of them: none of these will act at the backend any more.
 * It holds for what these incarnations had open when it was given; none of them can have admitted anything since.
 */
export interface Vouch {
  /** Of which calls: all under a sealed grant, or those that needed a downgraded one exclusively. */
  readonly scope: 'sealed' | 'narrowed'
  readonly incarnations: readonly IncarnationId[]
  readonly by: string
  readonly reason: string
  /** Wall clock, RFC 3339; for people. */
  readonly at: string
}

/** A job that was not over when the drain limit was, so that people see it also when the gateway that watched it is gone. */
export interface OverdueJob {
  /** As of a vouch. */
  readonly scope: Vouch['scope']
  /** The gateway that watches it. Nothing but such jobs, and calls of unknown fate, was open there any more. */
  readonly incarnation: IncarnationId
  readonly backend: string
  readonly job: string
  /** Wall clock of the call that started it, RFC 3339; for people. */
  readonly since: string
}

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
  /** Oldest first. */
  readonly vouched?: readonly Vouch[]
  readonly jobs?: readonly OverdueJob[]
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
  /**
   * Gateways that wrote the seal and had nothing open under the grant by then, and admitted nothing under it any more. Nobody
   * waits for another word of theirs about it.
   */
  readonly drainedAt?: readonly IncarnationId[]
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

const NOBODY: ReadonlySet<IncarnationId> = new Set()

/** The mode in which a grant keeps others out. */
export function excludingMode(grant: Pick<Grant, 'mode' | 'formerMode'>): LockMode {
  return grant.formerMode ?? grant.mode
}

export function conflicts(a: LockMode, b: LockMode): boolean {
  return a === 'exclusive' || b === 'exclusive'
}

/** Which calls of a grant others wait for; null where they wait for none. */
export function drainScope(grant: Grant): Vouch['scope'] | null {
  if (grant.state === 'sealed') return 'sealed'
  return grant.state === 'open' && grant.formerMode !== undefined ? 'narrowed' : null
}

/** The jobs of one gateway that hold up the lock past the drain limit, as far as they are recorded. */
export function overdueJobs(grant: Grant, incarnation: IncarnationId): readonly OverdueJob[] {
  const scope = drainScope(grant)
  return grant.jobs?.filter((job) => job.scope === scope && job.incarnation === incarnation) ?? []
}

/** Incarnations for whose unknown calls an operator vouched. */
export function vouchedFor(grant: Grant): ReadonlySet<IncarnationId> {
  if (grant.vouched === undefined) return NOBODY
  const scope = drainScope(grant)
  return new Set(
    grant.vouched.filter((vouch) => vouch.scope === scope).flatMap(({ incarnations }) => incarnations),
  )
}
