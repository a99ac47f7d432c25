// A clock that stands still until a test moves it.

import type { Clock, Timer } from '../../gateway/spi/clock.ts'

interface Pending {
  readonly dueMs: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #nowMs: number
  readonly #wallOffsetMs: number
  readonly #pending = new Set<Pending>()

  constructor(start: { readonly monotonicMs?: number; readonly wallMs?: number } = {}) {
    this.#nowMs = start.monotonicMs ?? 0
    this.#wallOffsetMs = (start.wallMs ?? Date.UTC(2030, 0, 1)) - this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs
  }

  after(delayMs: number, callback: () => void): Timer {
    const pending: Pending = { dueMs: this.#nowMs + Math.max(0, delayMs), callback }
    this.#pending.add(pending)
    return { cancel: () => this.#pending.delete(pending) }
  }

  get pendingTimers(): number {
    return this.#pending.size
  }

  /**
   * Moves the time on by `ms`. Every timer that comes due runs at its own instant, in order of its due time, those
   * armed meanwhile too; after each one, promises and I/O callbacks that are ready get their turn.
   */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#nowMs + ms
    await settled()
    for (;;) {
      const next = this.#earliest()
      if (next === null || next.dueMs > targetMs) break
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      this.#run(next)
      await settled()
    }
    this.#nowMs = targetMs
  }

  /** The process was stopped for `ms`: the time is later at once, and what came due runs late, in order. */
  async stall(ms: number): Promise<void> {
    this.#nowMs += ms
    await this.advance(0)
  }

  /** Of those due at the same instant the one armed first: a Set keeps the order of insertion. */
  #earliest(): Pending | null {
    let earliest: Pending | null = null
    for (const pending of this.#pending) {
      if (earliest === null || pending.dueMs < earliest.dueMs) earliest = pending
    }
    return earliest
  }

  #run(pending: Pending): void {
    this.#pending.delete(pending)
    pending.callback()
  }
}

/** One turn of the event loop, which drains the microtasks first. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
