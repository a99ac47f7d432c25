// HTTP/2 in front of a backend: takes the connections whose TLS handshake agreed on it, and makes of each stream a call
// like any other (exchange.ts), sent on in HTTP/1.1. What one connection may ask of this process is bounded here.

import type { Server } from 'node:http'
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Timer } from '../../spi/clock.ts'
import type { Backend } from '../backend.ts'
import { Sender } from '../callers.ts'
import { type ClientConnection, Exchange } from '../exchange.ts'
import { Turns } from '../turns.ts'
import { readRequestFields } from './request-fields.ts'
import { StreamAnswer, StreamRequest } from './stream-message.ts'

export const HTTP2_PROTOCOL = 'h2'

const SWEEP_MS_MAX = 1_000
/** Calls that begin in one turn of the loop. */
const BEGUN_IN_A_TURN = 4
/** Streams that a client may take back at once, and a second on top; beyond that its connection ends. */
const RESETS_AT_ONCE = 200
const RESETS_A_SECOND = 33
/** Frames that are not understood, empty, or on streams that were refused. */
const BAD_FRAMES_MAX = 100
/** Pings and changes of settings between two looks. */
const IDLE_FRAMES_MAX = 200
/** Frames with next to nothing of a body, between two looks: each costs as much as a large one. */
const TINY_PIECES_MAX = 10_000
const TINY_PIECE_BYTES = 32
/** What clients may send on one connection before it is read on; each stream has 64 KiB of its own. */
const WINDOW_BYTES = 1024 * 1024
/** What the library keeps for one connection: heads that are being read, answers that wait. */
const CONNECTION_MEGABYTES_MAX = 16
const ANSWER_HEAD_BYTES_MAX = 1024 * 1024

/** How many connections an address has; a call that begins beside another on its connection counts as one. */
export interface AddressCount {
  enterAddress(address: string): boolean
  leaveAddress(address: string): void
}

export class Http2Plane {
  readonly #backend: Backend
  readonly #addresses: AddressCount
  readonly #connections = new Set<Http2Connection>()
  #timer: Timer | null = null
  #closed = false

  constructor(backend: Backend, addresses: AddressCount) {
    this.#backend = backend
    this.#addresses = addresses
  }

  /** Before those who count connections, and after those who serve the other protocol. */
  attach(server: Server): void {
    const listeners = server.listeners('secureConnection')
    server.removeAllListeners('secureConnection')
    server.on('secureConnection', (socket: TLSSocket) => {
      if (socket.alpnProtocol === HTTP2_PROTOCOL && !socket.destroyed) this.#open(socket)
      else for (const listener of listeners) listener.call(server, socket)
    })
    this.#sweepLater()
  }

  #open(socket: TLSSocket): void {
    const onClosed = () => this.#connections.delete(connection)
    const connection = new Http2Connection(this.#backend, this.#addresses, socket, onClosed)
    this.#connections.add(connection)
    if (this.#backend.closing) connection.leave()
  }

  /** Tells every client that nothing more begins on its connection; what is under way goes on to its end. */
  leave(): void {
    for (const connection of this.#connections) connection.leave()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const connection of this.#connections) connection.destroy()
  }

  #sweepLater(): void {
    const { clock, limits } = this.#backend
    const { clientIdleMs, clientStallMs, headMs } = limits
    const everyMs = Math.max(20, Math.min(SWEEP_MS_MAX, headMs / 4, clientIdleMs / 4, clientStallMs / 4))
    this.#timer = clock.after(everyMs, () => {
      const nowMs = clock.monotonicMs()
      for (const connection of this.#connections) connection.look(nowMs)
      if (!this.#closed) this.#sweepLater()
    })
  }
}

class Http2Connection {
  readonly #backend: Backend
  readonly #addresses: AddressCount
  readonly #address: string
  readonly #socket: TLSSocket
  readonly #session: ServerHttp2Session
  readonly #sender: Sender
  readonly #answers = new Set<StreamAnswer>()
  readonly #starting = new Turns<() => void>(BEGUN_IN_A_TURN, (start) => start())
  #isFresh = true
  #idleFrames = 0
  #tinyPieces = 0
  /** Since when no stream is open. */
  #quietSinceMs: number
  /** Since when nothing more begins here; 0 where it may. */
  #leavingSinceMs = 0

  constructor(backend: Backend, addresses: AddressCount, socket: TLSSocket, onClosed: () => void) {
    const { limits } = backend
    this.#backend = backend
    this.#addresses = addresses
    this.#address = socket.remoteAddress ?? ''
    this.#socket = socket
    this.#sender = new Sender(socket)
    this.#quietSinceMs = backend.clock.monotonicMs()
    socket.setNoDelay(true)
    this.#session = performServerHandshake(socket, {
      settings: {
        maxConcurrentStreams: limits.streamsMax,
        maxHeaderListSize: limits.headerBytesMax,
        enablePush: false,
        enableConnectProtocol: false,
      },
      // Beyond the limit of fields by so much that it can be told who asked; the stream of one far beyond is reset.
      maxHeaderListPairs: 2 * limits.headerFieldsMax + 8,
      maxSendHeaderBlockLength: ANSWER_HEAD_BYTES_MAX,
      maxSessionInvalidFrames: BAD_FRAMES_MAX,
      maxSessionRejectedStreams: BAD_FRAMES_MAX,
      maxSessionMemory: CONNECTION_MEGABYTES_MAX,
      streamResetBurst: RESETS_AT_ONCE,
      streamResetRate: RESETS_A_SECOND,
      // Not left out by the library: refused (request-fields.ts).
      strictFieldWhitespaceValidation: false,
      // What the backend sends twice goes on twice.
      strictSingleValueFields: false,
    })
    this.#session.setLocalWindowSize(WINDOW_BYTES)
    this.#session.on('stream', (stream, _headers, _flags, raw) => this.#begin(stream, raw))
    this.#session.on('ping', () => this.#idleFrame())
    this.#session.on('remoteSettings', () => this.#idleFrame())
    // Its streams are told, and the socket is closed.
    this.#session.on('error', ignoreTold)
    socket.once('close', onClosed)
  }

  #begin(stream: ServerHttp2Stream, raw: string[]): void {
    const backend = this.#backend
    // More than a client may have at a time wait only where it takes them back at once. The library's own bound for that
    // holds from one read of the connection to the next, in which there may be thousands.
    if (this.#starting.waiting > 2 * backend.limits.streamsMax) {
      this.#calmDown()
      return
    }
    this.#isFresh = false
    this.#idleFrames = 0
    stream.on('error', ignoreTold)
    if (this.#answers.size > 0 && !this.#addresses.enterAddress(this.#address)) {
      backend.shedding.count('address')
      stream.close(constants.NGHTTP2_REFUSED_STREAM)
      return
    }
    const head = readRequestFields(raw, !stream.endAfterHeaders)
    const request = new StreamRequest(stream, head, { address: this.#address, isTls: true }, (bytes) => {
      if (bytes <= TINY_PIECE_BYTES && ++this.#tinyPieces > TINY_PIECES_MAX) this.#calmDown()
    })
    const answer = new StreamAnswer(stream, request)
    const connection = new StreamConnection(this.#sender)
    const awaitsContinue = request.joined['expect']?.toLowerCase() === '100-continue'
    const exchange = new Exchange(backend, connection, { request, answer }, { awaitsContinue })
    let isStarted = false
    const gone = () => {
      if (answer.isOver) return
      connection.gone()
      if (isStarted) exchange.clientGone()
    }
    this.#answers.add(answer)
    stream.on('aborted', gone)
    stream.on('close', () => {
      this.#answers.delete(answer)
      if (this.#answers.size > 0) this.#addresses.leaveAddress(this.#address)
      else this.#quietSinceMs = backend.clock.monotonicMs()
      gone()
    })
    this.#starting.add(() => {
      // Taken back before its turn: it was no call.
      if (stream.closed || stream.destroyed) return
      isStarted = true
      exchange.start()
    })
  }

  #idleFrame(): void {
    if (++this.#idleFrames > IDLE_FRAMES_MAX) this.#calmDown()
  }

  #calmDown(): void {
    this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  leave(): void {
    if (this.#leavingSinceMs !== 0) return
    this.#leavingSinceMs = this.#backend.clock.monotonicMs()
    if (!this.#session.destroyed) this.#session.close()
  }

  destroy(): void {
    this.#session.destroy()
    this.#socket.destroy()
  }

  look(nowMs: number): void {
    const { clientIdleMs, clientStallMs, headMs, lingerMs } = this.#backend.limits
    this.#idleFrames = 0
    this.#tinyPieces = 0
    for (const answer of this.#answers)
      if (!answer.endStalled(nowMs, clientStallMs)) {
        this.destroy()
        return
      }
    if (this.#answers.size > 0) return
    if (this.#leavingSinceMs === 0) {
      if (nowMs - this.#quietSinceMs > (this.#isFresh ? headMs : clientIdleMs)) this.leave()
    } else if (nowMs - Math.max(this.#leavingSinceMs, this.#quietSinceMs) > lingerMs) this.destroy()
  }
}

/** What a call needs of its client: here a stream, which is given up by itself. */
class StreamConnection implements ClientConnection {
  readonly sender: Sender
  #isGone = false
  #gone: AbortController | null = null

  constructor(sender: Sender) {
    this.sender = sender
  }

  goneSignal(): AbortSignal {
    this.#gone ??= new AbortController()
    if (this.#isGone) this.#gone.abort()
    return this.#gone.signal
  }

  gone(): void {
    this.#isGone = true
    this.#gone?.abort()
  }
}

function ignoreTold(_error: Error): void {
  return
}
