// How much of their bodies the calls of one backend keep in memory together, from the first byte that is taken for the check to
// the end of the call. Anybody can send a body, before it is known whether his call would be let through.

export class HeldBodies {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False where there is no room for so many more; then none are taken. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false
    this.#bytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}
