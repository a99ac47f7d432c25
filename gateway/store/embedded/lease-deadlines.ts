// Which lease ends when, on the monotonic clock. An outage of this process is nobody's expiry: the time in which it
// did not run is given back to every lease before any is called expired.

import { invariant } from '../../core/invariant.ts'
import type { LeaseId } from '../../core/names.ts'
import type { Clock, Timer } from '../../spi/clock.ts'

/**
 * The timer wakes at least this often while there are leases. Not to look for expired ones, there is a deadline for
 * that, but because only a timer that is late tells that the process was stopped, and a stop shorter than the wait for
 * the next deadline would go unseen.
 */
const WAKE_MS_MAX = 1_000

/** A timer that is later than this says that the process did not run. */
const STALL_MS = 1_000

/** How long a lease whose expiry could not be written lives on before the next attempt. */
const RETRY_MS = 1_000

interface Deadline {
  readonly ttlMs: number
  dueMs: number
}

export interface LeaseDeadlinesOptions {
  readonly clock: Clock
  /** Ends these leases durably; false where that did not succeed. It calls `remove` for those it ended. */
  readonly expire: (leases: readonly LeaseId[]) => boolean
}

export class LeaseDeadlines {
  readonly #clock: Clock
  readonly #expire: LeaseDeadlinesOptions['expire']
  readonly #deadlines = new Map<LeaseId, Deadline>()
  #wake: { readonly timer: Timer; readonly armedMs: number; readonly dueMs: number } | null = null

  constructor({ clock, expire }: LeaseDeadlinesOptions) {
    this.#clock = clock
    this.#expire = expire
  }

  /** Counts from now. */
  add(lease: LeaseId, ttlMs: number): void {
    invariant(!this.#deadlines.has(lease), `lease ${lease} is there already`)
    this.#giveBackStall()
    this.#deadlines.set(lease, { ttlMs, dueMs: this.#clock.monotonicMs() + ttlMs })
    this.#arm()
  }

  has(lease: LeaseId): boolean {
    return this.#deadlines.has(lease)
  }

  /** Gives the lease its whole TTL again, and says which; null where it is gone. */
  renew(lease: LeaseId): number | null {
    this.#giveBackStall()
    const deadline = this.#deadlines.get(lease)
    if (deadline === undefined) return null
    deadline.dueMs = this.#clock.monotonicMs() + deadline.ttlMs
    return deadline.ttlMs
  }

  remove(lease: LeaseId): void {
    this.#deadlines.delete(lease)
    if (this.#deadlines.size === 0) this.stop()
  }

  stop(): void {
    this.#wake?.timer.cancel()
    this.#wake = null
  }

  #giveBackStall(): void {
    if (this.#wake === null) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#wake.dueMs <= STALL_MS) return
    // When within the wait the process stopped nobody knows: all of it is given back.
    const gapMs = nowMs - this.#wake.armedMs
    for (const deadline of this.#deadlines.values()) deadline.dueMs += gapMs
    this.stop()
    this.#arm()
  }

  #arm(): void {
    if (this.#deadlines.size === 0) return
    let nextMs = Number.POSITIVE_INFINITY
    for (const { dueMs } of this.#deadlines.values()) nextMs = Math.min(nextMs, dueMs)
    if (this.#wake !== null && this.#wake.dueMs <= nextMs) return
    this.stop()
    const nowMs = this.#clock.monotonicMs()
    const delayMs = Math.min(WAKE_MS_MAX, Math.max(0, nextMs - nowMs))
    this.#wake = {
      timer: this.#clock.after(delayMs, () => this.#woken()),
      armedMs: nowMs,
      dueMs: nowMs + delayMs,
    }
  }

  #woken(): void {
    this.#giveBackStall()
    const nowMs = this.#clock.monotonicMs()
    const due = [...this.#deadlines].filter(([, { dueMs }]) => dueMs <= nowMs)
    if (due.length > 0 && !this.#expire(due.map(([lease]) => lease)))
      for (const [, deadline] of due) deadline.dueMs = nowMs + RETRY_MS
    this.stop()
    this.#arm()
  }
}
