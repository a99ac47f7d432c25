// The events of all workers in one order, kept for workers that start later: so a reader may come back to any of them.

import type { GatewayEvent } from '../spi/events.ts'
import type { RecordedEvent } from '../telemetry/index.ts'

/** As many as a worker keeps for its readers. */
const KEPT = 4_096

export class EventOrder {
  readonly #run: string
  readonly #kept: RecordedEvent[] = []
  #last = 0

  constructor(run: string) {
    this.#run = run
  }

  get kept(): readonly RecordedEvent[] {
    return this.#kept
  }

  number(events: readonly { readonly at: string; readonly event: GatewayEvent }[]): readonly RecordedEvent[] {
    const recorded = events.map(({ at, event }) => {
      const number = ++this.#last
      return { id: `${this.#run}-${number}`, number, at, event }
    })
    this.#kept.push(...recorded)
    this.#kept.splice(0, this.#kept.length - KEPT)
    return recorded
  }
}
