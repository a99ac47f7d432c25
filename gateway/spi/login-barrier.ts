// Between the data plane and the locks: whether a call that opens a session at the backend comes from a holder who is being
// fenced. Implemented by gateway/locking.

import type { Refusal } from '../core/verdict.ts'
import type { CallerClaims } from './callers.ts'
import type { PresentedToken } from './gate.ts'
import type { Login } from './policy.ts'

export interface LoginAttempt extends Login {
  /** `Fencing-Session`: who the caller says that he is; null where he does not. */
  readonly session: string | null
  /** What else the call and its connection bear, where the backend asks for that. */
  readonly caller?: CallerClaims | null
  /** Tokens that he presents though he need not. */
  readonly tokens: readonly PresentedToken[]
  /** Of the policy: under which keys of fenceInfo a holder's login name stands. */
  readonly keys: readonly string[]
}

export interface LoginBarrier {
  /** Null where it may go on. Bounded time, however many sessions there are. */
  refusal(attempt: LoginAttempt): Refusal | null
}
