// What the control API asks of the locks. Implemented by gateway/locking; gateway/control turns it into HTTP.
// Methods reject with GatewayError; StoreUnavailable passes through and means that the outcome may be unknown.

import type { BindingWay } from '../core/caller.ts'
import type { FenceRecord, FenceStateWord } from '../core/fence-record.ts'
import type { OverdueJob, SealCause, Vouch } from '../core/lock-record.ts'
import type { LockMode, LockName, SessionId } from '../core/names.ts'
import type { Neighbour } from './fence-journal.ts'

export interface HolderIdentity {
  readonly id: string
  readonly [key: string]: unknown
}

export interface SessionInfo {
  readonly session: SessionId
  readonly ttlMs: number
  /** Wall clock, from the last renewal that this gateway has seen; null where it has seen none. */
  readonly expiresAtMs: number | null
  readonly holder: HolderIdentity | null
  readonly fenceInfo: Readonly<Record<string, unknown>>
  readonly plan: string | null
  readonly openedAt: string | null
  /** What its calls are known by. `value` is absent where it is a secret. */
  readonly bindings: readonly { readonly backend: string; readonly by: BindingWay; readonly value?: string }[]
  readonly holds: readonly { readonly lock: LockName; readonly mode: LockMode; readonly token: string }[]
  readonly waitsFor: readonly { readonly lock: LockName; readonly mode: LockMode }[]
}

export interface GrantInfo {
  readonly lock: LockName
  readonly mode: LockMode
  readonly token: string
  readonly signed?: string
  readonly acquiredAt: string
  /** Ids of the fences that were closed before it was given; absent after a clean release. */
  readonly afterFences?: readonly string[]
}

export interface OwnerInfo {
  readonly session: SessionId
  readonly holder: HolderIdentity | null
  readonly mode: LockMode
  readonly token: string
  readonly since: string
  /** `changing`: to be exclusive once its session's shared calls are over. */
  readonly state: 'open' | 'changing' | 'sealed'
  readonly cause?: SealCause
  readonly fence?: string
  /** As of a grant. */
  readonly afterFences?: readonly string[]
  readonly inFlight: number
  readonly unknown: number
  /** Jobs that hold up its handover past the drain limit, as recorded; also of a gateway that is gone. */
  readonly jobs?: readonly Pick<OverdueJob, 'backend' | 'job' | 'since' | 'incarnation'>[]
  /** Operators' words about its unknown calls, oldest first. */
  readonly vouched?: readonly Pick<Vouch, 'by' | 'reason' | 'at' | 'incarnations'>[]
}

/** Calls under a grant that ended, of which nobody knows what became of them: an operator may vouch for them. */
export interface UnknownInfo {
  readonly token: string
  /** The gateway's name, and which of its registrations it is. */
  readonly gateway: string
  readonly incarnation: string
  /** Null where only that gateway could have counted them. */
  readonly calls: number | null
}

export interface VouchRequest {
  readonly lock: LockName
  readonly by: string
  readonly reason: string
  /** Those whose calls are vouched for; null: whatever is unknown now. */
  readonly incarnations: readonly string[] | null
  /** Only calls under this token; null: under any. */
  readonly token: string | null
}

export interface VouchedInfo {
  readonly lock: LockName
  readonly by: string
  readonly reason: string
  readonly at: string
  readonly vouched: readonly UnknownInfo[]
}

export interface WaiterInfo {
  readonly session: SessionId
  readonly holder: HolderIdentity | null
  readonly mode: LockMode
  readonly token: string
  /** Null where the waiter was there before this gateway. */
  readonly waitedSeconds: number | null
  readonly note?: string
}

export type LockPhase = 'free' | 'open' | 'handover' | 'blocked'

export interface LockInfo {
  readonly lock: LockName
  readonly phase: LockPhase
  readonly owners: readonly OwnerInfo[]
  readonly waiters: readonly WaiterInfo[]
  readonly highWater: string
  /** What the handover waits for, for people: one line each; empty where nothing is waited for. */
  readonly waitingOn: readonly string[]
  readonly inFlight: readonly {
    readonly token: string
    readonly backend: string
    readonly method: string
    readonly target: string
    readonly state: 'forwarded' | 'job' | 'unknown'
    readonly seconds: number
    readonly job?: string
    readonly reason?: string
  }[]
  readonly unknown: readonly UnknownInfo[]
  readonly lastFences: readonly string[]
}

export type AcquireResult =
  | { readonly kind: 'granted'; readonly grant: GrantInfo; readonly already: boolean }
  | {
      readonly kind: 'held'
      readonly owner: OwnerInfo | null
      /** Of other sessions. */
      readonly waiters: number
      /** The session itself holds it, in this other mode. */
      readonly own?: LockMode
    }

export interface Page {
  readonly limit: number
  readonly after: string | null
}

export interface Paged<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}

export interface ControlPlane {
  openSession(request: {
    readonly ttlMs: number
    readonly holder: HolderIdentity
    readonly fenceInfo: Readonly<Record<string, unknown>>
    readonly plan: string | null
  }): Promise<SessionInfo>
  /** Null once the session is gone: the holder must stop. */
  keepAlive(session: SessionId): Promise<SessionInfo | null>
  closeSession(session: SessionId): Promise<void>
  /** Calls that bear this are the session's, until it is over. Idempotent; rejects where another session has it. */
  bind(request: {
    readonly session: SessionId
    /** The backend under whose name it counts. */
    readonly realm: string
    readonly by: BindingWay
    /** In the spelling of `callerValue`. */
    readonly value: string
  }): Promise<void>
  session(session: SessionId): SessionInfo | null
  sessions(page: Page): Paged<SessionInfo>

  /** `gone` aborts when the caller hangs up: a waiter then leaves the queue. */
  acquire(
    request: {
      readonly lock: LockName
      readonly session: SessionId
      readonly mode: LockMode
      readonly waitMs: number
      readonly note: string | null
    },
    gone: AbortSignal,
  ): Promise<AcquireResult>
  /** `token` names the grant that is held, or the one that it replaced: a retry gets the same answer. */
  changeMode(
    request: {
      readonly lock: LockName
      readonly session: SessionId
      readonly token: string
      readonly mode: LockMode
      readonly waitMs: number
    },
    gone: AbortSignal,
  ): Promise<GrantInfo>
  /**
   * Never fails for a lock that is not held; rejects only where the store does not answer. `token`: only that grant, and what
   * an upgrade made of it; null: whatever the session has by now, as far as can be told.
   */
  release(lock: LockName, session: SessionId, token?: string | null): Promise<void>
  /** An operator's word that none of the unknown calls will act any more; rejects where there is none. */
  vouch(request: VouchRequest): Promise<VouchedInfo>
  lock(name: LockName): LockInfo
  locks(prefix: string, page: Page): Paged<LockInfo>

  fence(id: string): FenceRecord | null
  /** The record that an order to fence the session would write now; nothing is written. Absent: cannot be told. */
  previewFence?(session: SessionId, plan: string | null): FenceRecord
  /** Who else lives on the machine of the holder. Absent: nobody can tell. */
  neighbours?(record: FenceRecord): readonly Neighbour[]
  /** Without `state`: all of them. */
  fences(page: Page, state?: FenceStateWord | 'open' | null): Paged<FenceRecord>
  retryFence(id: string): Promise<FenceRecord>
  confirmFence(id: string, word: { readonly by: string; readonly reason: string }): Promise<FenceRecord>
  fenceSession(
    session: SessionId,
    order: { readonly by: string; readonly reason: string; readonly plan: string | null },
  ): Promise<FenceRecord>

  /** Whether mutating calls are admitted at all, and if not, why. For `/readyz`. */
  readiness(): { readonly ready: boolean; readonly reason: string | null }
}
