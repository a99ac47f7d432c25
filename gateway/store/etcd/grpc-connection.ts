// gRPC to one member over a connection of our own: messages in bytes, as PROTOCOL-HTTP2 of gRPC has them
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). It repeats nothing and bounds no call; it only notices a peer that is gone.
// A general client costs a transaction more than all the rest of it together.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Clock, Timer } from '../../spi/clock.ts'
import { framed, GrpcFailure, GrpcMessages } from './grpc-messages.ts'

const OK = 0
/**
 * A connection has numbers for 2^30 streams. Then Node fails each further call and keeps the connection, and whoever asks a
 * thousand times a second is there within two weeks.
 */
const CALLS_MAX = 2 ** 29
/** To a ping; then the peer is gone. */
const PING_ANSWER_MS = 5_000
/** After a connection could not be made the next is not tried sooner: many callers ask again and again. */
const RECONNECT_MS_MIN = 100
/** A snapshot is tens of megabytes, and the default of 64 KiB would cost it a round trip each. */
const WINDOW_BYTES = 4 * 1024 * 1024
/** Node refuses streams where a session takes more than 10 MB of memory, or where the peer named no limit and 100 are open. */
const NO_LIMIT = { maxSessionMemory: 2 ** 20, peerMaxConcurrentStreams: 2 ** 31 - 1 } as const

export interface GrpcConnectionOptions {
  /** `http://…` or `https://…`. */
  readonly url: string
  /** Asked whenever a connection is made. */
  readonly tls: () => TlsOptions
  /** How often a connection with an open call is asked whether it lives. */
  readonly pingMs: number
  readonly clock: Clock
  /** So many calls go over one connection; as many as there can be where not given. */
  readonly callsMax?: number
}

export interface GrpcListener {
  message(bytes: Buffer): void
  /** Once, and nothing after it. Null where the peer has ended it as it should. */
  over(failure: GrpcFailure | null): void
}

export interface GrpcCall {
  /** Not after `end`. */
  send(message: Buffer): void
  end(): void
  /** Takes it back; the listener hears nothing more. */
  cancel(): void
}

/** One connection at a time; calls that are under way when it is made anew go on to their own end. */
interface Carrier {
  readonly session: ClientHttp2Session
  calls: number
  /** All that it has ever carried. */
  opened: number
  /** No further call is to go over it. */
  isLeft: boolean
  /** Until the next ping; null where no call is open. */
  ping: Timer | null
  /** Since a ping that was not answered yet. */
  silence: Timer | null
}

function heard(carrier: Carrier): void {
  carrier.silence?.cancel()
  carrier.silence = null
}

export class GrpcConnection {
  readonly #options: GrpcConnectionOptions
  #carrier: Carrier | null = null
  #refused: { readonly untilMs: number; readonly failure: GrpcFailure } | null = null
  #closed = false

  constructor(options: GrpcConnectionOptions) {
    this.#options = options
  }

  /** Begins a call. Where no connection can be had the listener hears of it, later. */
  open(path: string, headers: Readonly<Record<string, string>>, listener: GrpcListener): GrpcCall {
    const refusal = this.#refusal()
    if (refusal !== null) {
      let isWanted = true
      queueMicrotask(() => isWanted && listener.over(refusal))
      return {
        send: () => undefined,
        end: () => undefined,
        cancel: () => {
          isWanted = false
        },
      }
    }
    const carrier = this.#carrier ?? this.#connect()
    carrier.calls++
    if (++carrier.opened >= (this.#options.callsMax ?? CALLS_MAX)) this.renew()
    this.#pingLater(carrier)
    const stream = carrier.session.request({
      ':method': 'POST',
      ':path': path,
      te: 'trailers',
      'content-type': 'application/grpc',
      ...headers,
    })
    return new StreamedCall(stream, listener, () => {
      carrier.calls--
      if (carrier.isLeft && carrier.calls === 0) carrier.session.destroy()
    })
  }

  /** The next call gets a new connection: a dead one looks like one that is quiet. */
  renew(): void {
    const carrier = this.#carrier
    this.#carrier = null
    if (carrier === null) return
    carrier.isLeft = true
    if (carrier.calls === 0) carrier.session.destroy()
  }

  /** What is under way goes on to its own end. */
  close(): void {
    this.#closed = true
    this.renew()
  }

  #refusal(): GrpcFailure | null {
    if (this.#closed) return new GrpcFailure('the connection is closed')
    const refused = this.#refused
    if (refused === null || this.#carrier !== null) return null
    return this.#options.clock.monotonicMs() < refused.untilMs ? refused.failure : null
  }

  #connect(): Carrier {
    const { url, tls, clock } = this.#options
    const session = connect(url, {
      ...NO_LIMIT,
      ...(url.startsWith('https:') ? tls() : {}),
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    })
    const carrier: Carrier = { session, calls: 0, opened: 0, isLeft: false, ping: null, silence: null }
    this.#carrier = carrier
    let isMade = false
    const gone = () => {
      carrier.isLeft = true
      if (this.#carrier === carrier) this.#carrier = null
    }
    session.on('connect', () => {
      isMade = true
      this.#refused = null
      // It may have been given up in the tick in which it came about.
      if (!session.destroyed) session.setLocalWindowSize(WINDOW_BYTES)
    })
    session.on('error', (error) => {
      gone()
      if (!isMade)
        this.#refused = {
          untilMs: clock.monotonicMs() + RECONNECT_MS_MIN,
          failure: new GrpcFailure(error.message),
        }
    })
    session.on('goaway', gone)
    session.on('close', () => {
      carrier.ping?.cancel()
      heard(carrier)
      gone()
    })
    return carrier
  }

  /** Only while a call is open: etcd takes pings on a connection that carries none for an attack. */
  #pingLater(carrier: Carrier): void {
    const { clock, pingMs } = this.#options
    carrier.ping ??= clock.after(pingMs, () => {
      carrier.ping = null
      const { session } = carrier
      if (carrier.calls === 0 || session.destroyed || session.connecting) return
      carrier.silence ??= clock.after(PING_ANSWER_MS, () =>
        session.destroy(new Error(`the connection is dead: no answer to a ping within ${PING_ANSWER_MS} ms`)),
      )
      // An error is no answer: Node gives one at once where ten pings wait for theirs.
      session.ping((error) => error === null && heard(carrier))
      this.#pingLater(carrier)
    })
  }
}

class StreamedCall implements GrpcCall {
  readonly #stream: ClientHttp2Stream
  readonly #listener: GrpcListener
  readonly #messages = new GrpcMessages()
  #cause: string | null = null
  #isOver = false

  constructor(stream: ClientHttp2Stream, listener: GrpcListener, closed: () => void) {
    this.#stream = stream
    this.#listener = listener
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200)
        this.#over(new GrpcFailure(`HTTP ${headers[':status'] ?? 'without a status'}`))
      else if (headers['grpc-status'] !== undefined) this.#status(headers)
    })
    stream.on('data', (chunk: Buffer) => this.#received(chunk))
    stream.on('trailers', (headers) => this.#status(headers))
    stream.on('error', (error) => {
      // Of a connection that could not be made Node says first that the stream has come to nothing.
      this.#cause ??= error.cause instanceof Error ? error.cause.message : error.message
    })
    stream.on('close', () => {
      closed()
      this.#over(new GrpcFailure(this.#cause ?? 'the connection has ended'))
    })
  }

  send(message: Buffer): void {
    if (!this.#stream.closed) this.#stream.write(framed(message))
  }

  end(): void {
    this.#stream.end()
  }

  cancel(): void {
    this.#isOver = true
    // While the connection is being made, one that is only closed would be sent as a whole, and then taken back.
    if (this.#stream.pending) this.#stream.destroy()
    else this.#stream.close(constants.NGHTTP2_CANCEL)
  }

  #received(chunk: Buffer): void {
    this.#messages.push(chunk)
    try {
      while (!this.#isOver) {
        const message = this.#messages.next()
        if (message === null) return
        this.#listener.message(message)
      }
    } catch (error) {
      if (!(error instanceof GrpcFailure)) throw error
      this.#over(error)
      this.#stream.close(constants.NGHTTP2_CANCEL)
    }
  }

  #status(headers: IncomingHttpHeaders): void {
    const code = Number(headers['grpc-status'])
    const details = decoded(String(headers['grpc-message'] ?? `status ${code}`))
    this.#over(code === OK ? null : new GrpcFailure(details))
  }

  #over(failure: GrpcFailure | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#listener.over(failure)
  }
}

/** A server percent-encodes what is not plain; where it did that wrong, as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
