// The connections of clients of one backend listener: how many there may be, in all and of one address, and how long one may
// take nothing of what waits for it. Stands before both ways through the data plane, and before TLS.

import type { Server, Socket } from 'node:net'
import type { Timer } from '../spi/clock.ts'
import type { Backend } from './backend.ts'
import { sayAndClose } from './last-words.ts'
import { tooManyConnections } from './refusals.ts'
import type { ConnectionLimit } from './shedding.ts'
import { Turns } from './turns.ts'

/** Connections beyond the limit that are told so at a time; what comes on top of them is closed without a word. */
const TOLD_MAX = 256
/** Handshakes that begin in one turn of the loop: each takes a millisecond or more of it. */
const HANDSHAKES_A_TURN = 32

interface Watched {
  /** Bytes that were taken when it was looked at last, and since when there were no more. */
  taken: number
  sinceMs: number
}

export class ClientConnections {
  readonly #backend: Backend
  #open = 0
  /** Those on which HTTP is spoken. */
  readonly #watched = new Map<Socket, Watched>()
  readonly #byAddress = new Map<string, number>()
  #timer: Timer | null = null

  constructor(backend: Backend) {
    this.#backend = backend
  }

  get size(): number {
    return this.#open
  }

  /** To be called when all who serve connections listen. `isTls`: what comes is not HTTP yet. */
  attach(server: Server, isTls: boolean): void {
    const { limits } = this.#backend
    server.maxConnections = limits.connectionsMax + TOLD_MAX
    server.on('drop', () => this.#backend.shedding.count('connections'))
    if (isTls) server.prependListener('secureConnection', (socket: Socket) => this.#watch(socket))
    const listeners = server.listeners('connection')
    server.removeAllListeners('connection')
    const serve = (socket: Socket) => {
      for (const listener of listeners) listener.call(server, socket)
    }
    const handshakes = new Turns<Socket>(HANDSHAKES_A_TURN, (socket) => {
      if (!socket.destroyed) serve(socket)
    })
    server.on('connection', (socket: Socket) => {
      const cause = this.#enter(socket)
      if (cause !== null) this.#turnAway(socket, cause, isTls)
      else if (isTls) handshakes.add(socket)
      else {
        this.#watch(socket)
        serve(socket)
      }
    })
    this.#sweepLater()
  }

  close(): void {
    this.#timer?.cancel()
  }

  #enter(socket: Socket): ConnectionLimit | null {
    const address = socket.remoteAddress ?? ''
    if (this.#open >= this.#backend.limits.connectionsMax) return 'connections'
    if (!this.enterAddress(address)) return 'address'
    this.#open++
    socket.once('close', () => {
      this.#open--
      this.leaveAddress(address)
    })
    return null
  }

  /** Counts a connection, or what stands for one; false where its address has as many as it may. */
  enterAddress(address: string): boolean {
    const { connectionsPerAddressMax } = this.#backend.limits
    const ofAddress = this.#byAddress.get(address) ?? 0
    if (connectionsPerAddressMax > 0 && ofAddress >= connectionsPerAddressMax) return false
    this.#byAddress.set(address, ofAddress + 1)
    return true
  }

  leaveAddress(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
  }

  #turnAway(socket: Socket, cause: ConnectionLimit, isTls: boolean): void {
    this.#backend.shedding.count(cause)
    if (isTls) socket.destroy()
    else sayAndClose(socket, this.#backend, tooManyConnections(cause))
  }

  #watch(socket: Socket): void {
    this.#watched.set(socket, { taken: 0, sinceMs: this.#backend.clock.monotonicMs() })
    socket.once('close', () => this.#watched.delete(socket))
  }

  /** One timer for all connections: ends those whose clients take nothing of what waits for them. */
  #sweepLater(): void {
    const { clock, limits } = this.#backend
    this.#timer = clock.after(limits.clientStallMs / 4, () => {
      const nowMs = clock.monotonicMs()
      for (const [socket, watched] of this.#watched) {
        const waiting = socket.writableLength
        const taken = socket.bytesWritten - waiting
        if (waiting === 0 || taken !== watched.taken) {
          watched.taken = taken
          watched.sinceMs = nowMs
        } else if (nowMs - watched.sinceMs >= limits.clientStallMs) socket.destroy()
      }
      this.#sweepLater()
    })
  }
}
