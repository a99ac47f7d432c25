// Raw connections to one backend, each used for one call at a time. Which waiting call gets a connection is decided by
// arrival; nothing is sent, repeated or read here that a call has not asked for.

import type { Socket, SocketConstructorOpts } from 'node:net'
import type { Clock, Timer } from '../../spi/clock.ts'
import type { ProxyLimits } from '../limits.ts'
import type { Dialler } from './dial.ts'

/** A call that wants a connection, or has one. */
export interface UpstreamUser {
  /** From `nowMs` on the connection is this call's, until it gives it back or the connection is lost. */
  connected(connection: UpstreamConnection, nowMs: number): void
  /** No connection could be made: nothing of the call was sent. */
  unreachable(error: Error): void
  /** Part of the answer: the first `length` of the bytes, which are there for the length of this call alone. */
  received(bytes: Buffer, length: number): void
  /** The backend took the connection away. Null: it ended it in order. */
  lost(error: Error | null): void
}

const READ_BYTES = 32 * 1024
/** Off a server's own hint: the way there takes time. */
const HINT_MARGIN_MS = 1_000
const HINT_MS_MAX = 60_000

export class UpstreamConnection {
  readonly socket: Socket
  readonly #pool: UpstreamPool
  user: UpstreamUser | null = null
  idleUntilMs = 0
  /** From then on it is not used for another call: its name may lead elsewhere by now. */
  oldFromMs = Number.POSITIVE_INFINITY
  #lost = false

  constructor(pool: UpstreamPool, open: (options: SocketConstructorOpts) => Socket) {
    this.#pool = pool
    // One buffer for all that this connection ever reads: whoever wants to keep a byte copies it.
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    this.socket = open({
      onread: {
        buffer,
        callback: (length: number) => {
          if (this.user === null) this.destroy()
          else this.user.received(buffer, length)
          return true
        },
      },
    } as SocketConstructorOpts)
    this.socket.setNoDelay(true)
    this.socket.setKeepAlive(true, 60_000)
    this.socket.on('error', (error) => this.#close(error))
    this.socket.on('end', () => this.#close(null))
    this.socket.on('close', () => this.#close(null))
  }

  get isLost(): boolean {
    return this.#lost
  }

  /** Nothing will come of it any more: its user is not told. */
  destroy(): void {
    this.user = null
    this.#close(null)
  }

  #close(error: Error | null): void {
    if (this.#lost) return
    this.#lost = true
    const { user } = this
    this.user = null
    this.socket.destroy()
    this.#pool.lost(this)
    user?.lost(error)
  }
}

export class UpstreamPool {
  readonly #dialler: Dialler
  readonly #limits: ProxyLimits
  readonly #clock: Clock
  readonly #onUnreachable: (error: Error) => void
  /** The one used last is taken first. */
  readonly #idle: UpstreamConnection[] = []
  readonly #waiting: UpstreamUser[] = []
  #open = 0
  #connecting = 0
  #sweep: Timer | null = null
  #closed = false

  /** `onUnreachable`: to be told of each connection that could not be made, before its call is. */
  constructor(
    dialler: Dialler,
    limits: ProxyLimits,
    clock: Clock,
    onUnreachable: (error: Error) => void = () => undefined,
  ) {
    this.#dialler = dialler
    this.#limits = limits
    this.#clock = clock
    this.#onUnreachable = onUnreachable
  }

  /** Calls on its connections, and those that wait for one. */
  get load(): number {
    return this.#open - this.#connecting - this.#idle.length + this.#waiting.length
  }

  /** Calls `connected` in this very tick where a connection lies idle. */
  acquire(user: UpstreamUser): void {
    const now = this.#clock.monotonicMs()
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.isLost && connection.idleUntilMs > now) {
        connection.user = user
        user.connected(connection, now)
        return
      }
      connection.destroy()
    }
    this.#waiting.push(user)
    this.#openForWaiting()
  }

  /** The user does not want a connection any more. */
  forget(user: UpstreamUser): void {
    const at = this.#waiting.indexOf(user)
    if (at !== -1) this.#waiting.splice(at, 1)
  }

  /** The answer has been read to its end, at `now`. `idleMs`: what the backend said of idle connections; -1: nothing. */
  release(connection: UpstreamConnection, idleMs: number, now: number): void {
    connection.user = null
    const usableMs =
      idleMs === -1 ? this.#limits.upstreamIdleMs : Math.min(HINT_MS_MAX, idleMs - HINT_MARGIN_MS)
    if (this.#closed || usableMs <= 0 || now >= connection.oldFromMs) {
      connection.destroy()
      return
    }
    connection.idleUntilMs = Math.min(now + usableMs, connection.oldFromMs)
    this.#offer(connection, now)
  }

  lost(connection: UpstreamConnection): void {
    this.#open--
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    if (this.#waiting.length > 0) setImmediate(() => this.#openForWaiting())
  }

  close(): void {
    this.#closed = true
    this.#sweep?.cancel()
    for (const connection of this.#idle.splice(0)) connection.destroy()
    for (const user of this.#waiting.splice(0)) user.unreachable(new Error('the gateway is shutting down'))
  }

  #offer(connection: UpstreamConnection, now: number): void {
    const user = this.#waiting.shift()
    if (user !== undefined) {
      connection.user = user
      user.connected(connection, now)
      return
    }
    this.#idle.push(connection)
    this.#sweep ??= this.#clock.after(this.#limits.upstreamIdleMs, () => this.#sweepIdle())
  }

  #sweepIdle(): void {
    this.#sweep = null
    const now = this.#clock.monotonicMs()
    for (const connection of [...this.#idle]) if (connection.idleUntilMs <= now) connection.destroy()
    if (this.#idle.length > 0)
      this.#sweep = this.#clock.after(this.#limits.upstreamIdleMs, () => this.#sweepIdle())
  }

  #openForWaiting(): void {
    while (
      !this.#closed &&
      this.#connecting < this.#waiting.length &&
      this.#open < this.#limits.upstreamConnectionsMax
    )
      this.#connect()
  }

  #connect(): void {
    this.#open++
    this.#connecting++
    const connection = new UpstreamConnection(this, (options) => this.#dialler.dial(options))
    const { socket } = connection
    let settled = false
    const settle = (): boolean => {
      if (settled) return false
      settled = true
      timer.cancel()
      this.#connecting--
      return true
    }
    const failed = (error: Error): void => {
      if (!settle()) return
      connection.destroy()
      this.#onUnreachable(error)
      this.#waiting.shift()?.unreachable(error)
    }
    const timer = this.#clock.after(this.#limits.connectMs, () => failed(new ConnectTimeout()))
    socket.once('error', failed)
    socket.once('close', () => failed(new Error('the connection closed before it was open')))
    socket.once(this.#dialler.openEvent, () => {
      if (!settle()) return
      if (this.#closed) connection.destroy()
      else {
        const now = this.#clock.monotonicMs()
        connection.idleUntilMs = now + this.#limits.upstreamIdleMs
        if (this.#limits.upstreamAgeMs > 0) connection.oldFromMs = now + this.#limits.upstreamAgeMs
        this.#offer(connection, now)
      }
    })
  }
}

export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout'
  readonly code = 'CONNECT_TIMEOUT'
  constructor() {
    super('the connection was not open in time')
  }
}
