// The head of a backend's answer: what of it the client gets. Everything but hop-by-hop fields goes through untouched,
// in the order and spelling of the backend; only a verdict is ours alone to give.

import type { AnswerFields } from '../spi/policy.ts'
import { stripNamed } from './request-head.ts'

export interface AnswerHead {
  /** Names and values in turn. */
  readonly list: string[]
  /** -1 where there is none. */
  readonly contentLength: number
  readonly encoded: boolean
}

/** Fields that end at this hop, and the one that is ours alone to send. */
export const DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'upgrade',
  'http2-settings',
  'fencing-verdict',
])

const SPECIAL_LENGTHS = new Uint8Array(32)
for (const name of [...DROPPED, 'content-length', 'content-encoding']) SPECIAL_LENGTHS[name.length] = 1

/** Fields that say how a message is framed or routed; none may come as a trailer. */
export const NO_TRAILERS: ReadonlySet<string> = new Set([
  ...DROPPED,
  'content-length',
  'host',
  'trailer',
  'content-encoding',
  'content-type',
  'content-range',
  'fencing-token',
  'fencing-session',
  'set-cookie',
])

/** Of all interim answers to one call, so that they have an end. */
export const INTERIM_BYTES_MAX = 1024 * 1024

type RawFields = readonly (Buffer | string)[]

export function readAnswerHead(raw: RawFields, status: number): AnswerHead {
  const list: string[] = []
  let contentLength = -1
  let encoded = false
  let connection = ''
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = text(raw[i])
    const value = text(raw[i + 1])
    if (SPECIAL_LENGTHS[name.length] !== 1) {
      list.push(name, value)
      continue
    }
    const lower = name.toLowerCase()
    if (lower === 'connection') connection += connection === '' ? value : `,${value}`
    if (DROPPED.has(lower)) continue
    if (lower === 'content-length') {
      // RFC 9110 §8.6: a client that believed it would wait for a body.
      if (status === 204) continue
      contentLength = Number(value)
    } else if (lower === 'content-encoding') encoded = value.toLowerCase() !== 'identity'
    list.push(name, value)
  }
  if (connection !== '') stripNamed(list, connection)
  return { list, contentLength, encoded }
}

/** Of names and values in turn. */
export function answerFields(list: readonly string[]): AnswerFields {
  return {
    all: (name) => list.filter((_, i) => i % 2 === 1 && (list[i - 1] ?? '').toLowerCase() === name),
  }
}

/** Trailers that may go on to the client, as pairs; null where there are none. */
export function readTrailers(raw: RawFields): [string, string][] | null {
  let pairs: [string, string][] | null = null
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = text(raw[i])
    if (NO_TRAILERS.has(name.toLowerCase())) continue
    pairs ??= []
    pairs.push([name, text(raw[i + 1])])
  }
  return pairs
}

function text(field: Buffer | string | undefined): string {
  if (field === undefined) return ''
  return typeof field === 'string' ? field : field.toString('latin1')
}
