// The verdicts of the data plane: one table, held equal to the published contract by a test.

export type VerdictCode =
  | 'admitted'
  | 'missing-token'
  | 'stale-token'
  | 'wrong-lock'
  | 'bad-token'
  | 'caller-conflict'
  | 'handover'
  | 'fence-blocked'
  | 'fence-due'
  | 'view-not-current'
  | 'denied'
  | 'backend-down'
  | 'too-large'
  | 'bad-request'

export type RefusalCode = Exclude<VerdictCode, 'admitted'>

interface RefusalTerms {
  /** HTTP status of the refusal where the backend's dialect does not ask for another. */
  readonly status: number
  /** Whether the same call may succeed later: the answer carries `Retry-After`. */
  readonly retryAfterSeconds: number | null
  readonly title: string
  /** What the client can do; ends the message of every such answer. */
  readonly remedy: string
}

export const REFUSALS: Readonly<Record<RefusalCode, RefusalTerms>> = {
  'missing-token': {
    status: 428,
    retryAfterSeconds: null,
    title: 'This call needs a fencing token',
    remedy: 'take the lock and send its token in Fencing-Token',
  },
  'stale-token': {
    status: 412,
    retryAfterSeconds: null,
    title: 'The fencing token is stale',
    remedy: 'stop: the lock is lost; take it again before going on',
  },
  'wrong-lock': {
    status: 412,
    retryAfterSeconds: null,
    title: 'The fencing tokens do not cover what this call changes',
    remedy: 'take the lock named here, in the mode named here',
  },
  'bad-token': {
    status: 400,
    retryAfterSeconds: null,
    title: 'The fencing token is malformed',
    remedy: 'send the token exactly as the grant gave it',
  },
  'caller-conflict': {
    status: 403,
    retryAfterSeconds: null,
    title: 'This call says in two ways who sends it, and they disagree',
    remedy: 'send it as one holder: with his own token, and on a backend session that he opened',
  },
  handover: {
    status: 503,
    retryAfterSeconds: 1,
    title: 'The lock is still being handed over',
    remedy: 'retry: the previous owner is still being sealed, drained or fenced',
  },
  'fence-blocked': {
    status: 503,
    retryAfterSeconds: 30,
    title: 'The previous holder could not be fenced',
    remedy: 'alert an operator: the fence needs a retry or a confirmation',
  },
  'fence-due': {
    status: 409,
    retryAfterSeconds: 1,
    title: 'This holder is being fenced',
    remedy: 'stop what you do under the lost session; log in again once the fence is closed',
  },
  'view-not-current': {
    status: 503,
    retryAfterSeconds: 1,
    title: 'This gateway cannot prove that its view is current',
    remedy: 'retry, on another gateway where there is one',
  },
  denied: {
    status: 403,
    retryAfterSeconds: null,
    title: 'The policy forbids this call',
    remedy: 'ask whoever keeps the policy',
  },
  'backend-down': {
    status: 502,
    retryAfterSeconds: 1,
    title: 'The backend did not answer',
    remedy: 'repeat it where nothing of it was sent; else find out first what became of it',
  },
  'too-large': {
    status: 413,
    retryAfterSeconds: null,
    title: 'The call is larger than the gateway takes',
    remedy: 'send less, or raise the limit in the configuration',
  },
  'bad-request': {
    status: 400,
    retryAfterSeconds: null,
    title: 'The call cannot be read in exactly one way',
    remedy: 'send well-formed HTTP and a well-formed body',
  },
}

/** Why a call was refused, with everything an answer in any dialect may say of it. */
export interface Refusal {
  readonly code: RefusalCode
  /** One sentence of this very case. */
  readonly detail: string
  /** Status where it differs from the table's (`backend-down`: 502, 503 or 504). */
  readonly status?: number
  readonly retryAfterSeconds?: number
  /** Nothing says who sends the call, and he would, if he were asked in this way (the value of WWW-Authenticate). */
  readonly challenge?: string
  readonly lock?: string
  /** The token that was presented, decimal. */
  readonly token?: string
  /** Who owns the lock now, since when. */
  readonly owner?: { readonly token: string; readonly holder: string | null; readonly since: string | null }
  /** This very object is given again and again: what is made of it is worth keeping. */
  readonly isLasting?: true
}
