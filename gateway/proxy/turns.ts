// Serves what comes in crowds some at a time, and lets everything else of this process go on between.

export class Turns<Item> {
  readonly #aTurn: number
  readonly #serve: (item: Item) => void
  readonly #waiting: Item[] = []
  #isTaken = false

  /** `aTurn`: how many are served in one turn of the event loop. */
  constructor(aTurn: number, serve: (item: Item) => void) {
    this.#aTurn = aTurn
    this.#serve = serve
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  add(item: Item): void {
    this.#waiting.push(item)
    if (this.#isTaken) return
    this.#isTaken = true
    this.#take()
  }

  #take(): void {
    for (const item of this.#waiting.splice(0, this.#aTurn)) this.#serve(item)
    // The turn is over only then, also where nobody waits: whoever comes in this one belongs to the next.
    setImmediate(() => {
      if (this.#waiting.length > 0) this.#take()
      else this.#isTaken = false
    })
  }
}
