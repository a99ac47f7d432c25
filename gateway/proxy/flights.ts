// The calls in flight of one backend. A dense array and not a Set: the tables that a Set leaves behind point to one
// another, and once one of them is in the old generation all calls they ever held outlive every young collection.

/** A call that the listener can count, look after and break off. */
export interface Flight {
  /** Where it stands among the flights; -1 where it does not. Only `Flights` writes it. */
  slot: number
  breakOff(reason: string): void
  /** The listener goes: what would not end by itself is ended in order. */
  hurry(): void
  /** Gives up a body that has not moved since before `sinceMs`. */
  endIdleBody(sinceMs: number): void
}

export class Flights {
  readonly #members: Flight[] = []

  get size(): number {
    return this.#members.length
  }

  add(flight: Flight): void {
    flight.slot = this.#members.push(flight) - 1
  }

  /** Does nothing where it is not, or no longer, among them. */
  delete(flight: Flight): void {
    const slot = flight.slot
    if (slot === -1) return
    flight.slot = -1
    const last = this.#members.pop()
    if (last === undefined || last === flight) return
    this.#members[slot] = last
    last.slot = slot
  }

  /** As they are now; members may leave while the list is gone through. */
  list(): readonly Flight[] {
    return this.#members.slice()
  }
}
