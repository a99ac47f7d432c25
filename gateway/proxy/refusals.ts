// The answer to a refused call: its status, its fields, and a body in the backend's dialect (dialects.ts).

import { REFUSALS, type Refusal } from '../core/verdict.ts'
import type { Dialect } from '../spi/policy.ts'
import { dialectStatus, renderBody } from './dialects.ts'
import type { ConnectionLimit } from './shedding.ts'

export interface RefusalAnswer {
  readonly status: number
  /** Names and values in turn; Content-Length is among them. */
  readonly headers: string[]
  readonly body: Buffer
}

export const GOING_AWAY: Refusal = {
  code: 'view-not-current',
  detail: 'nothing of the call was sent: this gateway is shutting down',
}

export const TOO_MANY: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: too many calls are in flight to this backend',
}

export const TOO_MANY_OF_SESSION: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: too many calls of this session are in flight to this backend',
}

export function tooManyConnections(of: ConnectionLimit): Refusal {
  return {
    code: 'backend-down',
    status: 503,
    detail: `nothing was read: there are too many connections${of === 'address' ? ' from this address' : ''}`,
  }
}

export const TOO_MANY_COPIES: Refusal = {
  code: 'backend-down',
  status: 503,
  detail:
    'nothing of this copy was sent: the same call is under way, and too many copies wait for its answer already',
}

export const JOINED_TOO_LATE: Refusal = {
  code: 'backend-down',
  detail:
    'this gateway is shutting down while the first copy of this call is under way; it may or may not have happened',
}

export function tooManyFields(max: number): Refusal {
  return { code: 'too-large', detail: `more than ${max} header fields are not taken (limits.headers)` }
}

export function bodyTooLarge(max: number): Refusal {
  return { code: 'too-large', detail: `a body of more than ${max} bytes is not taken (limits.bodyBytes)` }
}

/** For a copy of a call whose first copy was answered with more than is kept. */
export function tooLargeForTwo(status: number): Refusal {
  return {
    code: 'backend-down',
    detail: `the first copy of this call was answered with status ${status}, and that answer is too large to be given twice`,
  }
}

/** `callId` is what the policy read of the ids of JSON-RPC calls, as JSON text. */
export function renderRefusal(refusal: Refusal, dialect: Dialect, callId = 'null'): RefusalAnswer {
  const terms = REFUSALS[refusal.code]
  const status = dialectStatus(refusal, dialect)
  const retryAfterSeconds = refusal.retryAfterSeconds ?? terms.retryAfterSeconds
  const { type, text } = renderBody({ refusal, status, callId }, dialect)
  const body = Buffer.from(text, 'utf8')
  const headers = [
    'Content-Type',
    type,
    'Content-Length',
    String(body.length),
    'Fencing-Verdict',
    refusal.code,
  ]
  if (retryAfterSeconds !== null)
    headers.push('Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds))))
  if (refusal.challenge !== undefined) headers.push('WWW-Authenticate', refusal.challenge)
  headers.push('Cache-Control', 'no-store')
  return { status, headers, body }
}
