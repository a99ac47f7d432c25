// Cuts the bytes that come from a backend into one answer: its head, the pieces of its body, its end. One object serves all
// calls of a client's connection, one after the other.

import { AnswerReader } from './answer-reader.ts'
import { ChunkedReader } from './chunked-reader.ts'

/** Whoever wants the answer. The bytes of a piece are there for the length of the call alone. */
export interface AnswerTaker {
  /** A head with a status below 200; another follows. */
  interim(reader: AnswerReader): void
  /** `whole` is the whole body, where it came with the head and frames itself by its length, or where there is none. */
  head(reader: AnswerReader, whole: Buffer | null): void
  piece(bytes: Buffer): void
  /** `trailer`: its lines, each ended. `clean`: nothing came behind the answer. */
  end(trailer: string, clean: boolean): void
  malformed(reason: string): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)

export class AnswerStream {
  readonly reader = new AnswerReader()
  readonly #chunks = new ChunkedReader()
  #method = ''
  #headBytesMax = 0
  #partial: Buffer | null = null
  #left = 0
  #inBody = false

  /** Forgets the answer before. */
  begin(method: string, headBytesMax: number): void {
    this.#method = method
    this.#headBytesMax = headBytesMax
    this.#partial = null
    this.#inBody = false
  }

  /** Whether the head has been handed out. */
  get inBody(): boolean {
    return this.#inBody
  }

  read(bytes: Buffer, taker: AnswerTaker): void {
    if (this.#inBody) {
      this.#readBody(bytes, taker)
      return
    }
    let rest = this.#partial === null ? bytes : Buffer.concat([this.#partial, bytes])
    this.#partial = null
    for (;;) {
      const end = rest.indexOf(HEAD_END)
      if (end === -1) {
        if (rest.length > this.#headBytesMax) taker.malformed('its head is larger than is taken here')
        else if (rest.length > 0) this.#partial = Buffer.from(rest)
        return
      }
      const fault = this.reader.read(rest.toString('latin1', 0, end + 2), this.#method)
      if (fault !== null) {
        taker.malformed(fault)
        return
      }
      rest = rest.subarray(end + 4)
      if (this.reader.status >= 200) break
      taker.interim(this.reader)
    }
    this.#inBody = true
    this.#begin(rest, taker)
  }

  #begin(rest: Buffer, taker: AnswerTaker): void {
    const { framing, contentLength } = this.reader
    if (framing === 'none') {
      taker.head(this.reader, NOTHING)
      taker.end('', rest.length === 0)
      return
    }
    if (framing === 'length' && rest.length >= contentLength) {
      taker.head(this.reader, rest.subarray(0, contentLength))
      taker.end('', rest.length === contentLength)
      return
    }
    if (framing === 'length') this.#left = contentLength
    else if (framing === 'chunked') this.#chunks.reset()
    taker.head(this.reader, null)
    if (rest.length > 0) this.#readBody(rest, taker)
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
