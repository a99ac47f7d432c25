// One client's connection as long as everything on it is plain: finds whole requests in its bytes, has one called after
// the other, and gives the connection to node:http at the first that is not.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Backend } from '../backend.ts'
import { Sender } from '../callers.ts'
import type { Peer } from '../forwarded-fields.ts'
import { AnswerStream } from './answer-stream.ts'
import { PLAIN_HEAD_BYTES_MAX, RequestReader } from './request-reader.ts'
import { WireCall, type WireClient } from './wire-call.ts'

/** So much is looked at first: what waits behind a small request is not read again and again. */
const GLANCE_BYTES = 2 * 1024
/** A body up to this goes out as text, in one write with its head. */
const BODY_TEXT_BYTES_MAX = 16 * 1024
/** What may wait behind a call that is under way before the client is not read any more. */
const AHEAD_BYTES_MAX = 64 * 1024
/** Calls that begin in one turn of the loop where they are answered in that turn. */
const BEGUN_IN_A_ROW_MAX = 4
/** Answers that the client has not taken, beyond which no further call of his begins. */
const UNTAKEN_BYTES_MAX = 256 * 1024

export interface WirePlane {
  readonly backend: Backend
  /** Gives the connection to node:http, from its first unread byte on. */
  handOver(socket: Socket, unread: Buffer | null): void
  closed(connection: WireConnection): void
}

export class WireConnection implements WireClient {
  readonly reader: RequestReader
  readonly answers = new AnswerStream()
  readonly #plane: WirePlane
  readonly #socket: Socket
  #unread: Buffer | null = null
  #call: WireCall | null = null
  /** Bytes that the request has whose head was read already; 0 where none waits for its body. */
  #awaited = 0
  #bodyAt = 0
  #ended = false
  /** The last answer is through: what still comes is dropped. */
  #isLast = false
  #gone: AbortController | null = null
  #sender: Sender | null = null
  #starting = false
  #isYielding = false
  #isFresh = true
  /** Since when nothing has happened on it, or a body is awaited. */
  quietSinceMs: number

  constructor(plane: WirePlane, socket: Socket) {
    this.#plane = plane
    this.#socket = socket
    this.reader = new RequestReader(plane.backend.repeats.names)
    this.quietSinceMs = plane.backend.clock.monotonicMs()
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get isIdle(): boolean {
    return this.#call === null && this.#awaited === 0
  }

  get call(): WireCall | null {
    return this.#call
  }

  /** Nothing was ever asked on it. */
  get isFresh(): boolean {
    return this.#isFresh
  }

  get isAwaitingBody(): boolean {
    return this.#awaited > 0
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#isLast) return
    this.#unread = this.#unread === null ? bytes : Buffer.concat([this.#unread, bytes])
    if (this.#call === null && !this.#isYielding) this.#next()
    else if (this.#unread.length > AHEAD_BYTES_MAX) this.#socket.pause()
  }

  readonly #onEnd = (): void => {
    this.#ended = true
    // As node:http has it: whoever ends his side has hung up.
    this.#socket.end()
  }

  readonly #onError = (): void => {
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#plane.closed(this)
    this.#gone?.abort()
    const call = this.#call
    this.#call = null
    call?.clientGone()
  }

  /** Begins with the next whole request. A loop and no recursion: a client may send thousands at once. */
  #next(): void {
    if (this.#starting || this.#isYielding) return
    this.#starting = true
    let begun = 0
    while (this.#call === null && this.#unread !== null && !this.#socket.destroyed) {
      if (this.#socket.writableLength > UNTAKEN_BYTES_MAX) {
        this.#socket.pause()
        this.#socket.once('drain', () => {
          this.#socket.resume()
          if (this.#call === null) this.#next()
        })
        break
      }
      if (++begun > BEGUN_IN_A_ROW_MAX) {
        this.#yield()
        break
      }
      if (!this.#begin(this.#unread)) break
    }
    this.#starting = false
  }

  /** Everybody else has a turn, the control API among them, before a client that sends ahead goes on. */
  #yield(): void {
    this.#isYielding = true
    setImmediate(() => {
      this.#isYielding = false
      if (this.#socket.destroyed) return
      if (this.#call === null) this.#next()
      this.#readOn()
    })
  }

  /** Not while much is left: what is read then would be put together again and again. */
  #readOn(): void {
    if (this.#socket.isPaused() && (this.#unread?.length ?? 0) <= AHEAD_BYTES_MAX) this.#socket.resume()
  }

  #begin(unread: Buffer): boolean {
    let text = ''
    if (this.#awaited === 0) {
      text = unread.toString('latin1', 0, Math.min(unread.length, GLANCE_BYTES))
      let end = this.reader.read(text, unread)
      if (end === 0 && unread.length > GLANCE_BYTES) {
        text = unread.toString('latin1', 0, Math.min(unread.length, PLAIN_HEAD_BYTES_MAX))
        end = this.reader.read(text, unread)
      }
      if (end === 0) {
        this.handOver()
        return false
      }
      const length = Math.max(0, this.reader.contentLength)
      const { bodyBytesMax, headerFieldsMax, smallBodyBytesMax } = this.#plane.backend.limits
      if (
        length > smallBodyBytesMax ||
        (bodyBytesMax > 0 && length > bodyBytesMax) ||
        this.reader.fields.count > headerFieldsMax
      ) {
        this.handOver()
        return false
      }
      this.#bodyAt = end
      this.#awaited = this.#bodyAt + length
    }
    if (unread.length < this.#awaited) {
      this.quietSinceMs = this.#plane.backend.clock.monotonicMs()
      return false
    }
    const start = this.#bodyAt
    const end = this.#awaited
    let body: Buffer | null = null
    let bodyText: string | null = null
    if (end > start) {
      body = unread.subarray(start, end)
      if (end <= text.length) bodyText = text.slice(start, end)
      else if (end - start <= BODY_TEXT_BYTES_MAX) bodyText = unread.toString('latin1', start, end)
    }
    this.#unread = unread.length === end ? null : unread.subarray(end)
    this.#awaited = 0
    this.#isFresh = false
    const call = new WireCall(this.#plane.backend, this, body, bodyText)
    this.#call = call
    call.start()
    return true
  }

  /** Whatever comes next on this connection is read by node:http. */
  handOver(): void {
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    this.#plane.closed(this)
    const unread = this.#unread
    this.#unread = null
    if (this.#ended) socket.destroy()
    else this.#plane.handOver(socket, unread)
  }

  get peer(): Peer {
    return { address: this.#socket.remoteAddress ?? '', isTls: this.#socket instanceof TLSSocket }
  }

  get sender(): Sender {
    this.#sender ??= new Sender(this.#socket)
    return this.#sender
  }

  goneSignal(): AbortSignal {
    this.#gone ??= new AbortController()
    return this.#gone.signal
  }

  write(bytes: string | Buffer): boolean {
    return typeof bytes === 'string' ? this.#socket.write(bytes, 'latin1') : this.#socket.write(bytes)
  }

  whenDrained(listener: () => void): void {
    this.#socket.once('drain', listener)
  }

  answered(keepAlive: boolean, nowMs: number): void {
    this.#call = null
    this.reader.clear()
    this.answers.clear()
    if (!keepAlive || this.#ended) {
      this.#unread = null
      this.#isLast = true
      this.#socket.end()
      // Reads on and drops it: closing with bytes unread would reset the connection under the answer.
      this.#socket.resume()
      return
    }
    this.quietSinceMs = nowMs
    if (this.#unread !== null) this.#next()
    this.#readOn()
  }

  abort(): void {
    this.#call = null
    this.#socket.destroy()
  }

  /** Nothing is under way: the connection ends in order; by force where that was tried before, and its client does not. */
  end(): void {
    if (this.#socket.writableFinished) this.#socket.destroy()
    else this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
