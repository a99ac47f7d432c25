// One client's connection: lets its calls begin one after the other, also where they were sent all at once, since calls
// that change something must reach the backend in the order in which they were sent.

import type { Duplex } from 'node:stream'
import { Sender } from './callers.ts'
import type { ClientConnection, Exchange } from './exchange.ts'
import type { BodyBegun, ReadSoFar } from './paced-reading.ts'

/** Calls sent ahead of their turn, beyond which the client is not read: what waits here counts nowhere else. */
const WAITING_MAX = 64
/** Calls that begin one after the other before everybody else has a turn, the control API among them. */
const BEGUN_IN_A_ROW_MAX = 4

export class OrderedConnection implements ClientConnection, ReadSoFar {
  readonly #socket: Duplex
  #active: Exchange | null = null
  /** The one that came last. */
  #latest: Exchange | null = null
  #waiting: Exchange[] | null = null
  #gone: AbortController | null = null
  #sender: Sender | null = null
  #begunInARow = 0

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  /** No call is under way on it. */
  get isIdle(): boolean {
    return this.#active === null
  }

  /** Of the request that came last more is to come. */
  get inBody(): BodyBegun | null {
    return this.#latest?.isReading === true ? this.#latest : null
  }

  enter(exchange: Exchange): void {
    this.#latest = exchange
    if (this.#active === null) {
      this.#active = exchange
      exchange.start()
      return
    }
    this.#waiting ??= []
    this.#waiting.push(exchange)
  }

  /** No more may wait. */
  get isFull(): boolean {
    return this.#waiting !== null && this.#waiting.length >= WAITING_MAX
  }

  /** The exchange's answer is through, or its client is gone. */
  left(exchange: Exchange): void {
    if (this.#active !== exchange) return
    const wasFull = this.isFull
    const next = this.#waiting?.shift() ?? null
    this.#active = next
    if (this.#latest === exchange) this.#latest = null
    if (wasFull && !this.isFull) this.#socket.resume()
    if (next === null) return
    if (++this.#begunInARow < BEGUN_IN_A_ROW_MAX) {
      next.start()
      return
    }
    this.#begunInARow = 0
    setImmediate(() => {
      if (this.#active === next) next.start()
    })
  }

  get sender(): Sender {
    this.#sender ??= new Sender(this.#socket)
    return this.#sender
  }

  /** One signal for the connection: a client hangs up by closing it, and most calls never wait. */
  goneSignal(): AbortSignal {
    this.#gone ??= new AbortController()
    return this.#gone.signal
  }

  closed(): void {
    this.#gone?.abort()
  }

  /** True where an answer is still to come that must go out before anything else is said. */
  framingBroken(): boolean {
    return this.#active?.framingBroken() ?? false
  }
}
