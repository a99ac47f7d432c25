// The fast way through one backend's listener: puts itself in front of the HTTP server's own connection handling, serves
// what is plain on raw connections, and gives the rest to the HTTP server, byte for byte.

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Timer } from '../../spi/clock.ts'
import type { Backend } from '../backend.ts'
import { WireConnection, type WirePlane } from './wire-connection.ts'

/** A body that is not whole by then is no plain call any more. */
const BODY_MS_MAX = 1_000
const SWEEP_MS_MAX = 1_000

export class FastPlane implements WirePlane {
  readonly backend: Backend
  readonly #server: Server
  readonly #connections = new Set<WireConnection>()
  /** What the HTTP server does with a connection of its own. */
  #serve: (socket: Socket) => void = () => undefined
  #timer: Timer | null = null
  #closed = false

  constructor(backend: Backend, server: Server) {
    this.backend = backend
    this.#server = server
  }

  /** `event`: the server's for a connection that can be read, `connection` or `secureConnection`. */
  attach(event: 'connection' | 'secureConnection'): void {
    const listeners = this.#server.listeners(event)
    this.#server.removeAllListeners(event)
    this.#serve = (socket) => {
      for (const listener of listeners) listener.call(this.#server, socket)
    }
    this.#server.on(event, (socket: Socket) => {
      socket.setNoDelay(true)
      this.#connections.add(new WireConnection(this, socket))
    })
    this.#sweepLater()
  }

  get size(): number {
    return this.#connections.size
  }

  handOver(socket: Socket, unread: Buffer | null): void {
    socket.pause()
    if (unread !== null) socket.unshift(unread)
    this.#serve(socket)
    process.nextTick(() => {
      if (!socket.destroyed) socket.resume()
    })
  }

  closed(connection: WireConnection): void {
    this.#connections.delete(connection)
  }

  /** Ends the connections on which nothing is under way. */
  closeIdle(): void {
    for (const connection of this.#connections) if (connection.isIdle) connection.end()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const connection of this.#connections) connection.destroy()
  }

  #sweepLater(): void {
    const { limits } = this.backend
    const everyMs = Math.max(
      20,
      Math.min(
        SWEEP_MS_MAX,
        limits.headMs / 4,
        limits.clientIdleMs / 4,
        limits.answerHeadMs / 4,
        limits.answerIdleMs / 4,
      ),
    )
    this.#timer = this.backend.clock.after(everyMs, () => {
      this.#sweep()
      if (!this.#closed) this.#sweepLater()
    })
  }

  #sweep(): void {
    const { clock, limits } = this.backend
    const nowMs = clock.monotonicMs()
    for (const connection of this.#connections) {
      const quietMs = nowMs - connection.quietSinceMs
      if (connection.call !== null) connection.call.endLateAnswer(nowMs)
      else if (connection.isAwaitingBody) {
        if (quietMs > BODY_MS_MAX) connection.handOver()
      } else if (quietMs > (connection.isFresh ? limits.headMs : limits.clientIdleMs)) connection.end()
    }
  }
}
