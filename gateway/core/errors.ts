// One table of the control side's error kinds; edges throw GatewayError and nothing else.

export type ErrorCode =
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'session-unknown'
  | 'fence-unknown'
  | 'binding-taken'
  | 'fence-due'
  | 'fence-state'
  | 'fence-info'
  | 'plan-unknown'
  | 'lock-held'
  | 'token-mismatch'
  | 'mode-held'
  | 'mode-pending'
  | 'nothing-unknown'
  | 'too-large'
  | 'store-unavailable'
  | 'internal'

export const ERRORS: Readonly<Record<ErrorCode, { readonly status: number; readonly title: string }>> = {
  'bad-request': { status: 400, title: 'The request is malformed' },
  unauthorized: { status: 401, title: 'Credentials are needed' },
  forbidden: { status: 403, title: 'These credentials do not allow this' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'method-not-allowed': { status: 405, title: 'This is not offered with this method' },
  'session-unknown': { status: 404, title: 'The session does not exist or is over' },
  'fence-unknown': { status: 404, title: 'There is no such fence' },
  'binding-taken': { status: 409, title: 'This is bound to another session' },
  'fence-due': { status: 409, title: 'This holder is being fenced' },
  'fence-state': { status: 409, title: 'The fence is not in a state that allows this' },
  'fence-info': { status: 422, title: 'fenceInfo does not satisfy the fence plan' },
  'plan-unknown': { status: 422, title: 'There is no such fence plan' },
  'lock-held': { status: 409, title: 'The lock is held' },
  'token-mismatch': { status: 409, title: 'The token is not the one that this session holds' },
  'mode-held': { status: 409, title: 'Others stand against this mode' },
  'mode-pending': { status: 409, title: 'The mode of this grant is being changed' },
  'nothing-unknown': { status: 409, title: 'Nothing here needs an operator’s word' },
  'too-large': { status: 413, title: 'The request is too large' },
  'store-unavailable': { status: 503, title: 'The store does not answer' },
  internal: { status: 500, title: 'The gateway failed' },
}

/** An operating error with a stable code; `details` goes into the answer as it is. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}
