// A request and its answer on one stream of HTTP/2. A body ends only where the client has ended it, and an answer that is
// broken off never looks like a whole one.

import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import type { ClientAnswer, ClientRequest } from '../client-message.ts'
import type { Peer } from '../forwarded-fields.ts'
import { joinFields, type RequestFields } from './request-fields.ts'

/** Answers to which no body belongs; of the first two a length says nothing, and would make them malformed. */
const EMPTY: ReadonlySet<number> = new Set([204, 205])
const BODILESS: ReadonlySet<number> = new Set([...EMPTY, 304])

export class StreamRequest implements ClientRequest {
  readonly version = '2'
  readonly method: string
  readonly target: string
  readonly fields: readonly string[]
  readonly joined: Readonly<Record<string, string>>
  readonly fault: string | null
  readonly peer: Peer
  readonly body: Readable
  trailers: readonly string[] = []
  readonly #source: BodySource | null

  /** `onPiece`: told how many bytes of the body each frame has. */
  constructor(stream: ServerHttp2Stream, head: RequestFields, peer: Peer, onPiece: (bytes: number) => void) {
    this.method = head.method
    this.target = head.target
    this.fields = head.fields
    this.joined = joinFields(head.fields)
    this.fault = head.fault
    this.peer = peer
    this.#source = stream.endAfterHeaders ? null : new BodySource(stream, onPiece)
    this.body = this.#source ?? stream
    stream.on('trailers', (_joined, _flags, raw) => {
      this.trailers = raw
    })
  }

  get isComplete(): boolean {
    return this.#source?.isComplete ?? true
  }
}

/** node ends the readable side of a stream that was cut off as well; this one then never ends. */
class BodySource extends Readable {
  readonly #stream: ServerHttp2Stream
  isComplete = false

  constructor(stream: ServerHttp2Stream, onPiece: (bytes: number) => void) {
    super({ highWaterMark: 64 * 1024 })
    this.#stream = stream
    stream.on('data', (piece: Buffer) => {
      onPiece(piece.length)
      if (!this.push(piece)) stream.pause()
    })
    stream.pause()
    stream.on('end', () => {
      if (stream.closed) return
      this.isComplete = true
      this.push(null)
    })
  }

  override _read(): void {
    this.#stream.resume()
  }
}

export class StreamAnswer implements ClientAnswer {
  readonly #stream: ServerHttp2Stream
  readonly #request: ClientRequest
  #isBodiless = false
  #isEnded = false
  #trailers: readonly [string, string][] = []
  /** Bytes of the answer, how many of them were taken when it was looked at last, and since when there were no more; 0 before. */
  #bytes = 0
  #taken = 0
  #sinceMs = 0
  /** Because its client took nothing of it. */
  #isBrokenOff = false

  constructor(stream: ServerHttp2Stream, request: ClientRequest) {
    this.#stream = stream
    this.#request = request
  }

  get headSent(): boolean {
    return this.#stream.headersSent
  }

  get isOver(): boolean {
    return this.#isEnded && this.#stream.writableFinished
  }

  /** One bad request is no matter of the other streams. */
  endConnection(): void {
    return
  }

  continue(): void {
    this.#interim({ ':status': 100 })
  }

  processing(): void {
    this.#interim({ ':status': 102 })
  }

  earlyHints(link: string | string[]): void {
    this.#interim({ ':status': 103, link })
  }

  #interim(fields: OutgoingHttpHeaders): void {
    const stream = this.#stream
    if (stream.closed || stream.destroyed || stream.headersSent) return
    try {
      stream.additionalHeaders(fields)
    } catch {
      // What node will not write is not worth the call.
      return
    }
  }

  head(status: number, _reason: string | null, fields: readonly string[]): void {
    const stream = this.#stream
    if (stream.closed || stream.destroyed) return
    // Without a prototype: a backend's field may be named like one of its members.
    const head: OutgoingHttpHeaders = Object.create(null)
    head[':status'] = status
    let hasLength = false
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = (fields[i] ?? '').toLowerCase()
      const value = fields[i + 1] ?? ''
      const earlier = head[name]
      if (name === 'content-length') {
        if (EMPTY.has(status)) continue
        hasLength = true
      }
      head[name] =
        earlier === undefined ? value : [...(Array.isArray(earlier) ? earlier : [String(earlier)]), value]
    }
    this.#isBodiless = this.#request.method === 'HEAD' || BODILESS.has(status)
    const waitForTrailers = !this.#isBodiless && !hasLength
    if (waitForTrailers) stream.once('wantTrailers', () => this.#sendTrailers())
    stream.respond(head, { endStream: this.#isBodiless, waitForTrailers })
  }

  #sendTrailers(): void {
    const stream = this.#stream
    const trailers: OutgoingHttpHeaders = Object.create(null)
    for (const [name, value] of this.#trailers) trailers[name.toLowerCase()] = value
    if (stream.closed || stream.destroyed || !this.#isEnded) return
    try {
      stream.sendTrailers(trailers)
    } catch {
      // What node will not write must not pass for an answer that had none. Nobody else would catch it.
      this.abort()
    }
  }

  /** A head goes out in the turn in which it was written. */
  flush(): void {
    return
  }

  write(piece: Buffer): boolean {
    const stream = this.#stream
    if (this.#isBodiless || stream.closed || stream.destroyed) return true
    this.#bytes += piece.length
    return stream.write(piece)
  }

  whenDrained(listener: () => void): void {
    this.#stream.once('drain', listener)
  }

  end(last: Buffer | null, trailers: readonly [string, string][] | null): void {
    const stream = this.#stream
    this.#isEnded = true
    this.#trailers = trailers ?? []
    if (stream.closed || stream.destroyed) return
    // RFC 9113 §8.1: what is still to come of the request is not wanted.
    if (!this.#request.isComplete) {
      if (stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR)
      else stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR))
    }
    if (this.#isBodiless) return
    if (last === null) stream.end()
    else {
      this.#bytes += last.length
      stream.end(last)
    }
  }

  abort(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  /**
   * To be asked now and then: breaks off what its client takes nothing of. False where it does not take that it was broken
   * off either: then it takes nothing of its connection.
   */
  endStalled(nowMs: number, stallMs: number): boolean {
    const stream = this.#stream
    const waiting = stream.writableLength
    const taken = this.#bytes - waiting
    // An answer without a body waits, too, until it has gone out and its stream is closed with it.
    if (this.#sinceMs === 0 || (waiting === 0 && !this.#isEnded) || taken !== this.#taken) {
      this.#taken = taken
      this.#sinceMs = nowMs
    } else if (nowMs - this.#sinceMs >= stallMs) {
      if (this.#isBrokenOff) return false
      this.#isBrokenOff = true
      this.#sinceMs = nowMs - stallMs / 2
      stream.close(constants.NGHTTP2_CANCEL)
    }
    return true
  }
}
