// How many calls each gateway session has in flight at one backend, so that one holder cannot take the room of all.

/** What one session has in flight; only `SessionCalls` writes it. */
export interface SessionCount {
  calls: number
}

const UNCOUNTED: SessionCount = { calls: 0 }

/** Sessions without a call that are remembered: whoever has called will mostly call again. */
const AT_REST_MAX = 1_024

export class SessionCalls {
  readonly #max: number
  readonly #counts = new Map<string, SessionCount>()
  #atRest = 0

  /** `max`: 0 for no bound. */
  constructor(max: number) {
    this.#max = max
  }

  /** To be given to `leave` when the call is over; null where the session has too many already, and this one has not entered. */
  enter(session: string): SessionCount | null {
    if (this.#max === 0) return UNCOUNTED
    let count = this.#counts.get(session)
    if (count === undefined) {
      count = { calls: 0 }
      this.#counts.set(session, count)
    } else if (count.calls === 0) this.#atRest--
    else if (count.calls >= this.#max) return null
    count.calls++
    return count
  }

  /** Once for each call that has entered. */
  leave(count: SessionCount): void {
    if (count === UNCOUNTED) return
    if (--count.calls === 0 && ++this.#atRest > AT_REST_MAX) this.#forget()
  }

  /** Sessions that have any. */
  get size(): number {
    return this.#counts.size - this.#atRest
  }

  #forget(): void {
    for (const [session, { calls }] of this.#counts) if (calls === 0) this.#counts.delete(session)
    this.#atRest = 0
  }
}
