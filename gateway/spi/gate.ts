// Between the data plane and the locks: the one question "may this call go on", and what became of it.
// Implemented by gateway/locking; gateway/proxy asks it for every call that changes something.

import type { LockName, SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { CallerClaims } from './callers.ts'
import type { JobProbe, RequiredLock } from './policy.ts'

/** One member of a Fencing-Token header. `lock` is null for the short form. */
export interface PresentedToken {
  readonly lock: LockName | null
  readonly token: number
  /** The signature of the form `812;s=:BASE64:`, as bytes, or null. */
  readonly signature: Uint8Array | null
  /** Filled in by the gate for a known caller: nobody has to prove that he has it. */
  readonly implicit?: true
}

export interface AdmissionRequest {
  readonly backend: string
  readonly method: string
  /** Canonical target; for listings of what is in flight. */
  readonly target: string
  readonly rule: string
  /** Never empty. */
  readonly locks: readonly RequiredLock[]
  /** Empty where the call carries none. */
  readonly tokens: readonly PresentedToken[]
  /** How long the call may be parked; 0 refuses at once. */
  readonly waitMs: number
  /** Of the policy: after this an unknown call can do no more harm. Null: nothing is known. */
  readonly quietMs: number | null
  /** The marks of who sends it, where the backend asks for them. */
  readonly caller?: CallerClaims | null
  /** Filled in by the gate: whose call it is. His tokens are the only ones that count. */
  readonly session?: SessionId
}

export type AdmissionResult =
  | { readonly kind: 'admitted'; readonly entry: LedgerEntry }
  | { readonly kind: 'refused'; readonly refusal: Refusal }

/**
 * A call in the ledger. From admission on it counts as forwarded; it must be brought to exactly one of `ended`,
 * `unknown` or, after `job`, again one of those two. Until then the handover of its locks waits for it.
 */
export interface LedgerEntry {
  /** Whose grant the call was admitted under; of several grants the first one's. */
  readonly session: string
  /**
   * To be asked after every await between admission and the first byte to the backend: null where the call may still
   * go out, else why not; the caller then calls `ended` and refuses.
   */
  recheck(): Refusal | null
  /**
   * Whether the lease under which the call was admitted still stands. Once it does not, others may take this gateway for
   * gone and count the quiet time: to be asked before each further piece of a request that is on its way, of which no
   * more may then be sent.
   */
  readonly leaseStands: boolean
  /** The whole answer has come back and names no job; or not one byte of the call went to the backend. */
  ended(): void
  /** The answer named a job; the entry stays open until the job is over. */
  job(id: string, probe: JobProbe): void
  /** What became of the call at the backend cannot be known: answer lost, connection broken, gave up waiting. */
  unknown(reason: string): void
  /** True once one of the call's locks was sealed: the holder is gone, do not let a slow client hold up the drain. */
  readonly sealed: boolean
  /** Called once, when `sealed` becomes true (at once where it is). At most one listener. */
  onSealed(listener: () => void): void
  /**
   * Called once, when the drain limit is over: break the connection to the backend and report `unknown`. At most one
   * listener.
   */
  onAbandoned(listener: () => void): void
}

export interface Gate {
  /**
   * Decides on a mutating call, and enters it in the ledger in the same tick as the check. Answers without a promise
   * unless the call is parked. `gone` is aborted where the client hangs up while parked; `heldBytes` is what the call
   * keeps in memory until then, which counts against what may be parked.
   */
  admit(
    request: AdmissionRequest,
    gone: AbortSignal | null,
    heldBytes?: number,
  ): AdmissionResult | Promise<AdmissionResult>
  /** The decision alone: enters nothing, parks nothing. For shadow mode's log, `/v1/check`, `explain`. */
  preview(request: AdmissionRequest): {
    readonly verdict: Refusal | null
    readonly locks: readonly LockPreview[]
  }
}

export interface LockPreview {
  readonly name: LockName
  readonly mode: 'exclusive' | 'shared'
  readonly token: string | null
  readonly verdict: string
}
