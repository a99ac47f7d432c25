// Reads the head of a backend's answer. Whatever it does not accept is an answer that cannot be understood: the call has
// happened, and what became of it is unknown. Strict about framing, where two readings would be two different answers.

import { DROPPED } from '../answer-head.ts'
import { decimalAt, isNameAt } from './field-bytes.ts'
import { Fields } from './fields.ts'
import { LineCuts } from './line-cuts.ts'

/** How the end of a body is found. */
export type AnswerFraming = 'none' | 'length' | 'chunked' | 'close'

const DROPPED_BY_LENGTH = Array.from({ length: 64 }, (_, length) =>
  [...DROPPED].filter((name) => name.length === length),
)
const NOTHING: readonly string[] = []
const INTERESTING = new Uint8Array(64)
for (const name of [...DROPPED, 'content-length', 'content-encoding', 'date']) INTERESTING[name.length] = 1

export class AnswerReader {
  status = 0
  /** With the space before it; empty where the backend gave none, or one that is not plain text. */
  reason = ''
  framing: AnswerFraming = 'none'
  /** -1 where there is none. */
  contentLength = -1
  encoded = false
  dated = false
  /** Whether the connection can be used again, and for how long it says that it can lie idle; -1: it does not say. */
  keepAlive = true
  keepAliveMs = -1
  readonly fields = new Fields()
  readonly #cuts = new LineCuts()
  /** The first line, where it is one that goes on as it is; else empty. */
  #line = ''
  #minor = 1
  #linesStart = 0
  /** Behind the empty line. */
  headEnd = 0

  /**
   * Null where the head was understood, which ends at `headEnd` then; else why not. It may have no end in the text, which is
   * the first of the bytes.
   */
  read(text: string, bytes: Uint8Array, method: string): string | null {
    const { length } = this.#line
    if (length === 0 || !text.startsWith(this.#line)) {
      const fault = this.#readLine(text)
      if (fault !== null) return fault
    } else this.#linesStart = length
    this.headEnd = this.fields.read(text, bytes, this.#linesStart)
    if (this.headEnd === 0) return 'its fields are malformed'
    this.keepAlive = this.#minor === 1
    return this.#readFields() ?? this.#frame(method)
  }

  /** The first line. That of the answer before is not read again where it comes again. */
  #readLine(text: string): string | null {
    this.#line = ''
    this.reason = ''
    const minor = text.charCodeAt(7) - 0x30
    if (!text.startsWith('HTTP/1.') || (minor !== 0 && minor !== 1) || text.charCodeAt(8) !== 0x20)
      return 'it does not begin like an answer of HTTP/1.1'
    this.#minor = minor
    this.status = decimalAt(text, 9, 12)
    if (this.status < 100 || this.status > 599) return 'it has no status'
    const end = text.indexOf('\r\n')
    if (end < 12 || (end > 12 && text.charCodeAt(12) !== 0x20)) return 'its first line is malformed'
    const reason = text.slice(12, end)
    if (/[\r\n\0]/.test(reason)) return 'its first line is malformed'
    this.#linesStart = end + 2
    if (/[^\t\x20-\x7e]/.test(reason)) return null
    this.reason = reason
    if (reason !== '' && minor === 1) this.#line = text.slice(0, end + 2)
    return null
  }

  #readFields(): string | null {
    const { fields } = this
    this.contentLength = -1
    this.keepAliveMs = -1
    this.encoded = false
    this.dated = false
    this.#cuts.clear()
    let chunked = false
    let named = ''
    for (let index = 0; index < fields.count; index++) {
      const length = fields.nameLength(index)
      if (INTERESTING[length] !== 1) continue
      if (length === 14 && fields.isNamed(index, 'content-length')) {
        const value = decimalAt(fields.text, fields.valueStart(index), fields.valueEnd(index))
        if (value === -1 || this.contentLength !== -1) return 'its Content-Length cannot be meant'
        this.contentLength = value
      } else if (length === 16 && fields.isNamed(index, 'content-encoding')) {
        this.encoded = fields.value(index).toLowerCase() !== 'identity'
      } else if (length === 4 && fields.isNamed(index, 'date')) {
        this.dated = true
      }
      const dropped = DROPPED_BY_LENGTH[length] ?? NOTHING
      for (const name of dropped) {
        if (!fields.isNamed(index, name)) continue
        this.#cuts.add(fields.lineStart(index), fields.lineStart(index + 1))
        if (name === 'transfer-encoding') {
          // Some parsers do not take white space behind the coding for white space: they would read until the close.
          if (chunked || fields.value(index).toLowerCase() !== 'chunked' || fields.isPadded(index))
            return 'its Transfer-Encoding is not chunked'
          chunked = true
        } else if (name === 'connection') named += `,${fields.value(index).toLowerCase()}`
        else if (name === 'keep-alive') this.keepAliveMs = timeoutOf(fields.value(index))
      }
    }
    if (chunked && this.contentLength !== -1) return 'it has both Content-Length and Transfer-Encoding'
    this.framing = chunked ? 'chunked' : this.contentLength === -1 ? 'close' : 'length'
    return named === '' ? null : this.#readConnection(named)
  }

  #readConnection(named: string): string | null {
    for (const part of named.split(',')) {
      const name = part.trim()
      if (name === '') continue
      if (name === 'close') this.keepAlive = false
      else if (name === 'keep-alive') this.keepAlive = true
      else if (name === 'content-length') return 'it names Content-Length in Connection'
      else this.#cutNamed(name)
    }
    return null
  }

  #cutNamed(lower: string): void {
    const { fields } = this
    for (let index = 0; index < fields.count; index++) {
      if (fields.nameLength(index) !== lower.length || !isNameAt(fields.text, fields.lineStart(index), lower))
        continue
      this.#cuts.add(fields.lineStart(index), fields.lineStart(index + 1))
    }
  }

  #frame(method: string): string | null {
    if (this.status === 101) return 'it changes the protocol, which nobody had asked for'
    // RFC 9110 §8.6: a client that believed it would wait for a body.
    if (this.status === 204 && this.contentLength !== -1) this.#cutNamed('content-length')
    if (this.status < 200 || this.status === 204 || this.status === 304 || method === 'HEAD')
      this.framing = 'none'
    else if (this.framing === 'close') this.keepAlive = false
    return null
  }

  /** The first line and the fields that the client gets, each line ended. */
  forwarded(): string {
    const isWhole = this.#line !== ''
    const lines = this.#cuts.rest(this.fields.text, isWhole ? 0 : this.#linesStart, this.fields.end)
    return isWhole ? lines : `HTTP/1.1 ${this.status}${this.reason === '' ? ' ' : this.reason}\r\n${lines}`
  }
}

/** Of `timeout=5, max=100`. */
function timeoutOf(value: string): number {
  const found = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(value)
  return found === null ? -1 : Number(found[1]) * 1000
}
