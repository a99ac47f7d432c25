// Whether one address of a backend is well, by what calls met there and by what looks at it found. Decides nothing about
// calls: who is not well is asked last, not never.

import type { Clock } from '../spi/clock.ts'

export interface HealthTerms {
  readonly clock: Clock
  /** How long an address stands aside after calls failed there. */
  readonly asideMs: number
  /** Told of each change, with the reason. */
  readonly onChange: (isWell: boolean, reason: string) => void
}

/** Answers lost in a row before an address stands aside. A connection that cannot be made is enough by itself. */
const LOST_MAX = 3

export class UpstreamHealth {
  readonly #terms: HealthTerms
  #lost = 0
  #asideUntilMs = 0
  /** What looks have found: in a row, of one kind. */
  #looksFailed = 0
  #looksPassed = 0
  #isDownByLooks = false
  #wasWell = true
  #reason: string | null = null
  #sinceWallMs: number

  constructor(terms: HealthTerms) {
    this.#terms = terms
    this.#sinceWallMs = terms.clock.wallMs()
  }

  get isWell(): boolean {
    const isWell = !this.#isDownByLooks && !this.#isAside
    // Its time aside is over: nobody is told so but by asking.
    if (isWell && !this.#wasWell) this.#changed(true, 'it is tried again')
    return isWell
  }

  get #isAside(): boolean {
    return this.#asideUntilMs !== 0 && this.#terms.clock.monotonicMs() < this.#asideUntilMs
  }

  /** Why it is not well, or was not last. */
  get reason(): string | null {
    return this.#reason
  }

  get sinceWallMs(): number {
    return this.#sinceWallMs
  }

  /** No connection could be made. */
  unreachable(reason: string): void {
    this.#putAside(`no connection: ${reason}`)
  }

  answered(): void {
    this.#lost = 0
  }

  /** A call was sent, and its answer never came. */
  answerLost(reason: string): void {
    if (++this.#lost >= LOST_MAX) this.#putAside(`${this.#lost} answers lost in a row: ${reason}`)
  }

  /** A look at it went well. `needed`: how many in a row make it well again. */
  lookPassed(needed: number): void {
    this.#looksFailed = 0
    if (!this.#isDownByLooks && this.#wasWell) return
    if (++this.#looksPassed < needed) return
    this.#looksPassed = 0
    this.#lost = 0
    this.#isDownByLooks = false
    this.#asideUntilMs = 0
    this.#changed(true, 'it answers again')
  }

  lookFailed(needed: number, reason: string): void {
    this.#looksPassed = 0
    if (++this.#looksFailed < needed || this.#isDownByLooks) return
    this.#isDownByLooks = true
    this.#changed(false, reason)
  }

  #putAside(reason: string): void {
    this.#lost = 0
    this.#looksPassed = 0
    this.#asideUntilMs = this.#terms.clock.monotonicMs() + this.#terms.asideMs
    this.#changed(false, reason)
  }

  #changed(isWell: boolean, reason: string): void {
    if (!isWell) this.#reason = reason
    if (isWell === this.#wasWell) return
    this.#wasWell = isWell
    this.#sinceWallMs = this.#terms.clock.wallMs()
    this.#terms.onChange(isWell, reason)
  }
}
