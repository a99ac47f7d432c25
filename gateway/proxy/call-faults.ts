// Why a call broke off between its admission and its end, and what is said of it: to the ledger, and to the client.

import type { Refusal } from '../core/verdict.ts'

/** The client took its connection away, or broke its framing, before the body was whole. */
export class RequestCutOff extends Error {
  override readonly name = 'RequestCutOff'
  readonly code = 'FENCEGATE_REQUEST_CUT_OFF'
}

/** A body of unknown length turned out longer than is taken. */
export class BodyTooLong extends Error {
  override readonly name = 'BodyTooLong'
  readonly code = 'FENCEGATE_BODY_TOO_LONG'
  readonly bytesMax: number
  constructor(bytesMax: number) {
    super(`the body of the request is longer than ${bytesMax} bytes`)
    this.bytesMax = bytesMax
  }
}

/** Behind the body came fields that may stand in a head alone. */
export class TrailersOfOurs extends Error {
  override readonly name = 'TrailersOfOurs'
  readonly code = 'FENCEGATE_TRAILERS'
  constructor() {
    super('Fencing-Token and Fencing-Session may not be trailers')
  }
}

const OURS: ReadonlySet<string> = new Set(['fencing-token', 'fencing-session'])

/** Trailers end here; who sends ours as such means something else by them than was checked. Names and values in turn. */
export function trailerFault(trailers: readonly string[]): Error | null {
  for (let i = 0; i < trailers.length; i += 2)
    if (OURS.has((trailers[i] ?? '').toLowerCase())) return new TrailersOfOurs()
  return null
}

/** Others may take this gateway for gone: what of the request has not been sent must not be sent any more. */
export class LeaseOver extends Error {
  override readonly name = 'LeaseOver'
  readonly code = 'FENCEGATE_LEASE_OVER'
}

/** The gateway itself ended the call at the backend, as far as it could. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff'
  readonly code = 'FENCEGATE_BROKEN_OFF'
}

/** The backend closed its connection, was late, or said what cannot be understood. */
export class AnswerFault extends Error {
  override readonly name = 'AnswerFault'
  readonly code: 'CONNECTION_CLOSED' | 'ANSWER_TIMEOUT' | 'ANSWER_MALFORMED'
  constructor(code: AnswerFault['code'], message: string) {
    super(message)
    this.code = code
  }
}

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ANSWER_TIMEOUT',
])

/** Whether the backend has nothing to do with it. */
export function isOurs(error: Error): boolean {
  return [RequestCutOff, BodyTooLong, TrailersOfOurs, LeaseOver, BrokenOff].some(
    (kind) => error instanceof kind,
  )
}

/** For the ledger: why nobody knows what became of a call. */
export function unknownReason(error: Error): string {
  if (isOurs(error)) return error.message
  return `the answer was lost (${told(error)})`
}

/** For the client. `sent`: whether a byte of the call may have reached the backend. */
export function backendDown(error: Error, sent: boolean): Refusal {
  if (error instanceof BodyTooLong)
    return {
      code: 'too-large',
      detail: `${error.message} (limits.bodyBytes); ${sent ? 'the call may or may not have happened' : 'nothing of the call was sent'}`,
    }
  if (error instanceof TrailersOfOurs)
    return {
      code: 'bad-request',
      detail: `${error.message}; ${sent ? 'the call may or may not have happened' : 'nothing of the call was sent'}`,
    }
  if (!sent)
    return {
      code: 'backend-down',
      status: 503,
      detail: `the backend could not be reached and nothing of the call was sent (${told(error)})`,
    }
  const timedOut = TIMEOUTS.has(errorCode(error))
  return {
    code: 'backend-down',
    status: timedOut ? 504 : 502,
    detail: `${timedOut ? 'the backend did not answer in time' : 'the connection to the backend broke'}; the call may or may not have happened (${told(error)})`,
  }
}

export function errorCode(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function told(error: Error): string {
  return `${errorCode(error)}: ${error.message.slice(0, 200)}`
}
