// Cuts the bytes that come from a backend into one answer: its head, the pieces of its body, its end. One object serves all
// calls of a client's connection, one after the other.

import { INTERIM_BYTES_MAX } from '../answer-head.ts'
import { AnswerReader } from './answer-reader.ts'
import { ChunkedReader } from './chunked-reader.ts'

/** Whoever wants the answer. The bytes of a piece are there for the length of the call alone. */
export interface AnswerTaker {
  /** A head with a status below 200; another follows. */
  interim(reader: AnswerReader): void
  head(reader: AnswerReader): void
  /** In place of `head` and `piece`: a small answer that came at once. One character of the body is one of its bytes. */
  whole(reader: AnswerReader, body: string): void
  piece(bytes: Buffer): void
  /** `trailer`: its lines, each ended. `clean`: nothing came behind the answer. */
  end(trailer: string, clean: boolean): void
  malformed(reason: string): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
/** What comes at once up to this is read as text, which needs no views of the bytes. */
const WHOLE_BYTES_MAX = 16 * 1024

export class AnswerStream {
  readonly reader = new AnswerReader()
  readonly #chunks = new ChunkedReader()
  #method = ''
  #headBytesMax = 0
  #partial: Buffer | null = null
  #interimBytes = 0
  #left = 0
  #inBody = false

  /** Forgets the answer before. */
  begin(method: string, headBytesMax: number): void {
    this.#method = method
    this.#headBytesMax = headBytesMax
    this.#partial = null
    this.#interimBytes = 0
    this.#inBody = false
  }

  /** Lets go of the last answer's text: a connection may lie idle for long. */
  clear(): void {
    this.reader.fields.clear()
  }

  /** Whether the head has been handed out. */
  get inBody(): boolean {
    return this.#inBody
  }

  /** Reads the first `length` of the bytes. */
  read(bytes: Buffer, length: number, taker: AnswerTaker): void {
    if (
      !this.#inBody &&
      this.#partial === null &&
      length <= WHOLE_BYTES_MAX &&
      this.#isWhole(bytes, length, taker)
    )
      return
    const read = length === bytes.length ? bytes : bytes.subarray(0, length)
    if (this.#inBody) this.#readBody(read, taker)
    else this.#readHead(read, taker)
  }

  /** The common answer: its head and all of its body in one piece. False where it is another, of which nothing was told. */
  #isWhole(bytes: Buffer, length: number, taker: AnswerTaker): boolean {
    const { reader } = this
    const text = bytes.toString('latin1', 0, length)
    if (reader.read(text, bytes, this.#method) !== null || reader.status < 200) return false
    const bodyAt = reader.headEnd
    const bodyEnd = bodyAt + (reader.framing === 'length' ? reader.contentLength : 0)
    if ((reader.framing !== 'length' && reader.framing !== 'none') || bodyEnd > length) return false
    this.#inBody = true
    taker.whole(reader, text.slice(bodyAt, bodyEnd))
    taker.end('', bodyEnd === length)
    return true
  }

  #readHead(bytes: Buffer, taker: AnswerTaker): void {
    let rest = this.#partial === null ? bytes : Buffer.concat([this.#partial, bytes])
    this.#partial = null
    for (;;) {
      const end = rest.indexOf(HEAD_END)
      if (end === -1) {
        if (rest.length > this.#headBytesMax) taker.malformed('its head is larger than is taken here')
        else if (rest.length > 0) this.#partial = Buffer.from(rest)
        return
      }
      const bodyAt = end + HEAD_END.length
      const fault = this.reader.read(rest.toString('latin1', 0, bodyAt), rest, this.#method)
      if (fault !== null) {
        taker.malformed(fault)
        return
      }
      rest = rest.subarray(bodyAt)
      if (this.reader.status >= 200) break
      this.#interimBytes += end + HEAD_END.length
      if (this.#interimBytes > INTERIM_BYTES_MAX) {
        taker.malformed('there is no end of interim answers')
        return
      }
      taker.interim(this.reader)
    }
    this.#inBody = true
    const { framing, contentLength } = this.reader
    if (framing === 'length') this.#left = contentLength
    else if (framing === 'chunked') this.#chunks.reset()
    taker.head(this.reader)
    if (framing === 'none' || (framing === 'length' && contentLength === 0)) taker.end('', rest.length === 0)
    else if (rest.length > 0) this.#readBody(rest, taker)
  }

  #readBody(bytes: Buffer, taker: AnswerTaker): void {
    switch (this.reader.framing) {
      case 'none':
        return
      case 'length': {
        const piece = bytes.length <= this.#left ? bytes : bytes.subarray(0, this.#left)
        this.#left -= piece.length
        taker.piece(piece)
        if (this.#left === 0) taker.end('', piece.length === bytes.length)
        return
      }
      case 'chunked': {
        const chunks = this.#chunks
        const end = chunks.read(bytes, 0, (from, to) => taker.piece(bytes.subarray(from, to)))
        if (chunks.fault !== null) taker.malformed(chunks.fault)
        else if (chunks.over) taker.end(chunks.trailer, end === bytes.length)
        return
      }
      case 'close':
        taker.piece(bytes)
    }
  }
}
