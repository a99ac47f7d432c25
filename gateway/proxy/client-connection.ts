// One client's connection: lets its calls begin one after the other, also where they were sent all at once, since calls
// that change something must reach the backend in the order in which they were sent.

import type { ClientConnection, Exchange } from './exchange.ts'

export class OrderedConnection implements ClientConnection {
  #active: Exchange | null = null
  #waiting: Exchange[] | null = null
  #gone: AbortController | null = null

  enter(exchange: Exchange): void {
    if (this.#active === null) {
      this.#active = exchange
      exchange.start()
      return
    }
    this.#waiting ??= []
    this.#waiting.push(exchange)
  }

  /** The exchange's answer is through, or its client is gone. */
  left(exchange: Exchange): void {
    if (this.#active !== exchange) return
    this.#active = this.#waiting?.shift() ?? null
    this.#active?.start()
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
