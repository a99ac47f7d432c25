// The first lines of an answer as the client gets them: those of the backend, and what this hop adds.

import type { AnswerFields } from '../../spi/policy.ts'
import { NO_TRAILERS } from '../answer-head.ts'
import type { RefusalAnswer } from '../refusals.ts'
import type { AnswerReader } from './answer-reader.ts'

const CLOSE = 'Connection: close\r\n\r\n'

const keepAliveLines = new Map<number, string>()
let dateLine = ''
let last = { dated: '', idleMs: -1, lines: '' }
/** On the monotonic clock, whose reading is at hand. */
let dateFromMs = 0
let dateUntilMs = 0

/** The head of an answer of the backend. `idleMs`: how long the connection may lie idle then; 0: it ends. `nowMs`: monotonic. */
export function answerLines(reader: AnswerReader, idleMs: number, nowMs: number): string {
  const isChunked = reader.framing === 'chunked' || reader.framing === 'close'
  if (!reader.dated && !isChunked) return reader.forwarded() + lastLines(idleMs, nowMs)
  let head = reader.forwarded()
  if (!reader.dated) head += date(nowMs)
  if (isChunked) head += 'Transfer-Encoding: chunked\r\n'
  return head + connectionLines(idleMs)
}

/** The head of an answer that the gateway gives itself. */
export function refusalHead(answer: RefusalAnswer, idleMs: number, nowMs: number): string {
  return answer.lines + lastLines(idleMs, nowMs)
}

/** The date, and what is said of the connection. */
function lastLines(idleMs: number, nowMs: number): string {
  const dated = date(nowMs)
  if (dated !== last.dated || idleMs !== last.idleMs) {
    // In one piece: writing what was put together goes through its parts each time.
    const lines = Buffer.from(dated + connectionLines(idleMs), 'latin1').toString('latin1')
    last = { dated, idleMs, lines }
  }
  return last.lines
}

/** The last lines of a head. Backends differ in `idleMs` at most by a few values. */
function connectionLines(idleMs: number): string {
  if (idleMs === 0) return CLOSE
  let lines = keepAliveLines.get(idleMs)
  if (lines === undefined) {
    lines = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.max(1, Math.floor(idleMs / 1000))}\r\n\r\n`
    keepAliveLines.set(idleMs, lines)
  }
  return lines
}

/** The fields of the answer as they are now: the reader's next answer has others. */
export function answerFields({ fields }: AnswerReader): AnswerFields {
  const values = new Map<string, string[]>()
  for (let index = 0; index < fields.count; index++) {
    const name = fields.name(index).toLowerCase()
    values.set(name, [...(values.get(name) ?? []), fields.value(index)])
  }
  return { all: (name) => values.get(name) ?? [] }
}

const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*$/

/** The lines of a trailer that the client gets. */
export function trailerLines(trailer: string): string {
  if (trailer === '') return ''
  let lines = ''
  for (const line of trailer.split('\r\n')) {
    const name = FIELD_LINE.exec(line)?.[1]
    if (name !== undefined && !NO_TRAILERS.has(name.toLowerCase())) lines += `${line}\r\n`
  }
  return lines
}

/** Made once a second. The wall clock is for people here: nothing is decided by it. */
function date(nowMs: number): string {
  if (nowMs >= dateUntilMs || nowMs < dateFromMs) {
    const wallMs = Date.now()
    dateFromMs = nowMs
    dateUntilMs = nowMs + 1000 - (wallMs % 1000)
    dateLine = dateOf(wallMs)
  }
  return dateLine
}

function dateOf(wallMs: number): string {
  return `Date: ${new Date(wallMs).toUTCString()}\r\n`
}
