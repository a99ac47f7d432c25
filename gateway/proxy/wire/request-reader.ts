// Reads the head of a plain request: a strict subset of HTTP/1.1. Of everything else it says "unusual", and whoever asked
// gives the connection, with every byte of it, to the parser of node:http. So this one never has to explain a fault, and
// whatever it accepts, that parser reads in the same way (test/unit/proxy/wire holds the two against each other).

import { METHODS } from 'node:http'
import type { CallHead } from '../../spi/policy.ts'
import { decimalAt, targetEnd } from './field-bytes.ts'
import { Fields } from './fields.ts'
import { LineCuts } from './line-cuts.ts'

/** A head larger than this is unusual. */
export const PLAIN_HEAD_BYTES_MAX = 16 * 1024
const METHOD_LENGTH_MAX = 24
/** Those of the other parser. CONNECT has another kind of target. */
const METHODS_KNOWN: ReadonlySet<string> = new Set(METHODS.filter((method) => method !== 'CONNECT'))
const VERSION = ' HTTP/1.1\r\n'
const LAST_LINES = 'Via: 1.1 fencegate\r\n\r\n'

/** Fields that make a request unusual: what they ask for is between the parser of node:http and the client. */
const UNUSUAL = [
  'transfer-encoding',
  'expect',
  'upgrade',
  'trailer',
  'te',
  'http2-settings',
  'proxy-connection',
  'proxy-authorization',
  // Its values are joined in another way than those of other fields.
  'set-cookie',
]

/** What is done with a field, by the length of its name: most lengths have no field of interest. */
const UNUSUAL_BY_LENGTH = Array.from({ length: 64 }, (_, length) =>
  UNUSUAL.filter((name) => name.length === length),
)
const INTERESTING = new Uint8Array(64)
for (const name of [
  ...UNUSUAL,
  'host',
  'content-length',
  'connection',
  'keep-alive',
  'fencing-token',
  'fencing-session',
])
  INTERESTING[name.length] = 1

export class RequestReader implements CallHead {
  method = ''
  target = ''
  /** -1 where there is none. */
  contentLength = -1
  /** Whether the client wants to send more on this connection. */
  keepAlive = true
  token: string | null = null
  readonly fields = new Fields()
  readonly #cuts = new LineCuts()
  readonly #unusual: readonly string[]
  #linesStart = 0

  /** `unusual`: names of further fields, in lower case, with which a request is not plain. */
  constructor(unusual: readonly string[] = []) {
    this.#unusual = unusual
  }

  /**
   * Answers where the head, with its empty line, ends; 0 where the request is not plain, or has no end in the text. `text`: the
   * first of the bytes.
   */
  read(text: string, bytes: Uint8Array): number {
    const start = this.#readMethod(text)
    if (start === 0) return 0
    if (text.charCodeAt(start) !== 0x2f) return 0
    const end = targetEnd(bytes, start, text.length)
    if (!text.startsWith(VERSION, end)) return 0
    this.target = text.slice(start, end)
    this.#linesStart = end + VERSION.length
    const headEnd = this.fields.read(text, bytes, this.#linesStart)
    return headEnd > 0 && this.#readFields() ? headEnd : 0
  }

  /** Answers where the target begins; 0 where there is no method. On one connection it is mostly that of the call before. */
  #readMethod(text: string): number {
    const { length } = this.method
    if (length > 0 && text.charCodeAt(length) === 0x20 && text.startsWith(this.method)) return length + 1
    let at = 0
    while (text.charCodeAt(at) >= 0x41 && text.charCodeAt(at) <= 0x5a) at++
    if (at === 0 || at > METHOD_LENGTH_MAX || text.charCodeAt(at) !== 0x20) return 0
    const method = text.slice(0, at)
    if (!METHODS_KNOWN.has(method)) return 0
    this.method = method
    return at + 1
  }

  #readFields(): boolean {
    const { fields } = this
    this.contentLength = -1
    this.keepAlive = true
    this.token = null
    this.#cuts.clear()
    let hosts = 0
    let connections = 0
    for (let index = 0; index < fields.count; index++) {
      const length = fields.nameLength(index)
      if (INTERESTING[length] !== 1) continue
      switch (length) {
        case 4:
          if (fields.isNamed(index, 'host')) {
            hosts++
            if (!this.#isBare(index)) return false
          }
          break
        case 14:
          if (fields.isNamed(index, 'content-length')) {
            if (this.contentLength !== -1 || !this.#isBare(index)) return false
            this.contentLength = decimalAt(fields.text, fields.valueStart(index), fields.valueEnd(index))
            if (this.contentLength === -1) return false
          }
          break
        case 13:
          if (fields.isNamed(index, 'fencing-token')) {
            if (this.token !== null) return false
            this.token = fields.value(index)
            this.#cut(index)
          }
          break
        case 15:
          if (fields.isNamed(index, 'fencing-session')) this.#cut(index)
          break
        default:
          if (length === 10 && fields.isNamed(index, 'connection')) {
            if (++connections > 1 || !this.#readConnection(index)) return false
            this.#cut(index)
          } else if (length === 10 && fields.isNamed(index, 'keep-alive')) this.#cut(index)
      }
      const unusual = UNUSUAL_BY_LENGTH[length]
      if (unusual !== undefined) for (const name of unusual) if (fields.isNamed(index, name)) return false
    }
    for (const name of this.#unusual) if (fields.has(name)) return false
    return hosts === 1
  }

  /** Exactly one space before the value and nothing behind it: what frames or routes a message is passed on as it came. */
  #isBare(index: number): boolean {
    const { fields } = this
    return (
      fields.valueStart(index) === fields.lineStart(index) + fields.nameLength(index) + 2 &&
      fields.text.charCodeAt(fields.valueStart(index) - 1) === 0x20 &&
      fields.valueEnd(index) + 2 === fields.lineStart(index + 1)
    )
  }

  #readConnection(index: number): boolean {
    const value = this.fields.value(index)
    if (value === 'close' || value === 'Close') this.keepAlive = false
    else if (value !== 'keep-alive' && value !== 'Keep-Alive') return false
    return true
  }

  #cut(index: number): void {
    this.#cuts.add(this.fields.lineStart(index), this.fields.lineStart(index + 1))
  }

  header(name: string): string | undefined {
    return this.fields.joined(name, name === 'cookie' ? '; ' : ', ')
  }

  /** The head that the backend gets, with the empty line. */
  forwarded(target: string, without: readonly string[], added = ''): string {
    const { fields } = this
    for (const name of without)
      for (let index = 0; index < fields.count; index++)
        if (fields.nameLength(index) === name.length && fields.isNamed(index, name)) this.#cut(index)
    // Pieces as few and as large as may be: each costs once here, and once more when the whole is written.
    const isSame = target === this.target
    const lines = this.#cuts.rest(fields.text, isSame ? 0 : this.#linesStart, fields.end)
    return `${isSame ? lines : `${this.method} ${target}${VERSION}${lines}`}${added}${LAST_LINES}`
  }

  /** Lets go of the text: a connection may lie idle for long. */
  clear(): void {
    this.target = ''
    this.token = null
    this.fields.clear()
  }

  /** Names and values in turn, as the backend gets them. */
  list(): string[] {
    const list: string[] = []
    for (let index = 0; index < this.fields.count; index++) {
      const start = this.fields.lineStart(index)
      if (!this.#cuts.startsAt(start)) list.push(this.fields.name(index), this.fields.value(index))
    }
    return list
  }
}
