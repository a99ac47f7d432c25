// Every error of the control API as application/problem+json, with a type for each kind.
// Never shows a caller the inside of a failure: that goes to the log, under an id that the caller can quote.

import type { FastifyError } from 'fastify'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'
import { InvariantViolation } from '../core/invariant.ts'
import { StoreUnavailable, TransactionTooLarge } from '../spi/store.ts'

export const PROBLEM_TYPE = 'application/problem+json'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly [member: string]: unknown
}

export function problemOf(
  code: ErrorCode,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): Problem {
  const { status, title } = ERRORS[code]
  return { ...members, type: `urn:fencegate:error:${code}`, title, status, detail }
}

export interface Failure {
  readonly problem: Problem
  /** Worth a line in the log: nobody but us is to blame. */
  readonly ours: boolean
}

/** `incident` names this one failure in the answer and in the log. */
export function failureOf(error: unknown, incident: () => string): Failure {
  if (error instanceof GatewayError && error.code !== 'internal')
    return { problem: problemOf(error.code, error.message, error.details), ours: false }
  if (error instanceof TransactionTooLarge)
    return {
      problem: problemOf('too-large', `this does not fit into the store: ${error.message}`),
      ours: false,
    }
  if (error instanceof StoreUnavailable)
    return {
      problem: problemOf(
        'store-unavailable',
        'the store did not answer in time: what was asked may have happened',
      ),
      ours: false,
    }
  const known = frameworkProblem(error)
  if (known !== null) return { problem: known, ours: false }
  const id = incident()
  return {
    problem: problemOf('internal', `the gateway's log has more, under ${id}`, { incident: id }),
    ours: true,
  }
}

export function isProgrammerFault(error: unknown): boolean {
  return error instanceof InvariantViolation
}

function frameworkProblem(error: unknown): Problem | null {
  if (!isFastifyError(error)) return null
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return problemOf('too-large', 'the body is larger than the control API takes')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return problemOf('bad-request', 'send the body as application/json')
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return problemOf('bad-request', 'the body is empty, yet its content type is application/json')
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return problemOf(
        'bad-request',
        'the body is not JSON, or has a key that is not taken, such as __proto__',
      )
    case 'FST_ERR_BAD_URL':
      return problemOf('bad-request', 'the path is not percent-encoded UTF-8')
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return problemOf('bad-request', 'the path has a part that is too long')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return problemOf('bad-request', 'the body is not as long as Content-Length says')
    default:
      // A framework's complaint about the request, such as JSON with a forbidden key.
      return error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
        ? problemOf('bad-request', error.message)
        : null
  }
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'statusCode' in error
}
