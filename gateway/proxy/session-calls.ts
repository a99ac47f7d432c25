// How many calls each gateway session has in flight at one backend, so that one holder cannot take the room of all.

export class SessionCalls {
  readonly #max: number
  readonly #calls = new Map<string, number>()

  /** `max`: 0 for no bound. */
  constructor(max: number) {
    this.#max = max
  }

  /** False where the session has too many already; then it has not entered. */
  enter(session: string): boolean {
    if (this.#max === 0) return true
    const calls = this.#calls.get(session) ?? 0
    if (calls >= this.#max) return false
    this.#calls.set(session, calls + 1)
    return true
  }

  leave(session: string): void {
    if (this.#max === 0) return
    const calls = this.#calls.get(session) ?? 0
    if (calls > 1) this.#calls.set(session, calls - 1)
    else this.#calls.delete(session)
  }

  /** Sessions that have any. */
  get size(): number {
    return this.#calls.size
  }
}
