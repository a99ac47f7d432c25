// The answer to a refused call: its status, its fields, and a body in the backend's dialect (dialects.ts).

import { STATUS_CODES } from 'node:http'
import { REFUSALS, type Refusal } from '../core/verdict.ts'
import type { GatewayEvent } from '../spi/events.ts'
import type { Dialect } from '../spi/policy.ts'
import { dialectStatus, renderBody } from './dialects.ts'
import type { ConnectionLimit } from './shedding.ts'

export class RefusalAnswer {
  readonly status: number
  /** Names and values in turn; Content-Length is among them. */
  readonly headers: readonly string[]
  /** The status line and the fields of HTTP/1.1, each line ended; what depends on time and connection is missing. */
  readonly lines: string
  /** The body a character a byte, for those who write it with the head. */
  readonly bytes: string

  constructor(status: number, headers: readonly string[], lines: string, bytes: string) {
    this.status = status
    this.headers = headers
    this.lines = lines
    this.bytes = bytes
  }

  get body(): Buffer {
    return Buffer.from(this.bytes, 'latin1')
  }

  /** The same with each text in one piece: writing one that was put together goes through its parts each time. */
  inOnePiece(): RefusalAnswer {
    const [lines, bytes] = [this.lines, this.bytes].map((text) =>
      Buffer.from(text, 'latin1').toString('latin1'),
    )
    return new RefusalAnswer(this.status, this.headers, lines ?? '', bytes ?? '')
  }
}

export const GOING_AWAY: Refusal = {
  code: 'view-not-current',
  detail: 'nothing of the call was sent: this gateway is shutting down',
  isLasting: true,
}

export const TOO_MANY: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: too many calls are in flight to this backend',
  isLasting: true,
}

export const TOO_MANY_BODIES: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: the bodies of other calls fill the room that there is for them',
  isLasting: true,
}

export const TOO_MANY_OF_SESSION: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: too many calls of this session are in flight to this backend',
  isLasting: true,
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

/** What was made of a refusal that is given again and again: at the backend, in the dialect, that were asked for last. */
interface Made {
  dialect: Dialect | null
  answer: RefusalAnswer | null
  event: GatewayEvent | null
}

const lasting = new WeakMap<Refusal, Made>()

function madeOf(refusal: Refusal): Made {
  let made = lasting.get(refusal)
  if (made === undefined) {
    made = { dialect: null, answer: null, event: null }
    lasting.set(refusal, made)
  }
  return made
}

/** `callId` is what the policy read of the ids of JSON-RPC calls, as JSON text. */
export function renderRefusal(refusal: Refusal, dialect: Dialect, callId?: string): RefusalAnswer {
  if (refusal.isLasting !== true || callId !== undefined) return render(refusal, dialect, callId ?? 'null')
  const made = madeOf(refusal)
  if (made.answer === null || made.dialect !== dialect) {
    made.answer = render(refusal, dialect, 'null').inOnePiece()
    made.dialect = dialect
  }
  return made.answer
}

/** What is told of a call that was refused: to the log, the metrics, and whoever listens. */
export function refusedEvent(backend: string, refusal: Refusal): GatewayEvent {
  if (refusal.isLasting !== true) return eventOf(backend, refusal)
  const made = madeOf(refusal)
  if (made.event?.backend !== backend) made.event = eventOf(backend, refusal)
  return made.event
}

function eventOf(backend: string, { code, detail, lock, token }: Refusal): GatewayEvent {
  return {
    type: 'call.refused',
    backend,
    verdict: code,
    detail,
    ...(lock === undefined ? {} : { lock }),
    ...(token === undefined ? {} : { token }),
  }
}

function render(refusal: Refusal, dialect: Dialect, callId: string): RefusalAnswer {
  const terms = REFUSALS[refusal.code]
  const status = dialectStatus(refusal, dialect)
  const retryAfterSeconds = refusal.retryAfterSeconds ?? terms.retryAfterSeconds
  const { type, text } = renderBody({ refusal, status, callId }, dialect)
  const length = Buffer.byteLength(text, 'utf8')
  const headers = ['Content-Type', type, 'Content-Length', String(length), 'Fencing-Verdict', refusal.code]
  if (retryAfterSeconds !== null)
    headers.push('Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds))))
  if (refusal.challenge !== undefined) headers.push('WWW-Authenticate', refusal.challenge)
  headers.push('Cache-Control', 'no-store')
  let lines = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
  for (let i = 0; i + 1 < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\r\n`
  const isAscii = length === text.length
  return new RefusalAnswer(status, headers, lines, isAscii ? text : Buffer.from(text).toString('latin1'))
}
