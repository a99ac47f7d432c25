// What is turned away because there is too much of it: counted by its cause, and said at most once a second. A flood must
// not become a flood of events.

import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'

/** Which bound was met: of calls of the backend, calls of one session, their bodies, connections, connections of one address. */
export type ShedCause = 'calls' | 'session' | 'bodies' | ConnectionLimit
export type ConnectionLimit = 'connections' | 'address'

const TOLD_EVERY_MS = 1_000

export class Shedding {
  readonly #backend: string
  readonly #clock: Clock
  readonly #events: EventSink
  readonly #counts = new Map<ShedCause, number>()
  readonly #untold = new Map<ShedCause, number>()
  #timer: Timer | null = null

  constructor(backend: string, clock: Clock, events: EventSink) {
    this.#backend = backend
    this.#clock = clock
    this.#events = events
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  count(cause: ShedCause): void {
    this.#counts.set(cause, (this.#counts.get(cause) ?? 0) + 1)
    this.#untold.set(cause, (this.#untold.get(cause) ?? 0) + 1)
    this.#timer ??= this.#clock.after(TOLD_EVERY_MS, () => this.#tell())
  }

  close(): void {
    if (this.#timer !== null) this.#tell()
  }

  #tell(): void {
    this.#timer?.cancel()
    this.#timer = null
    const parts = [...this.#untold].map(([cause, count]) => `${count} by the limit of ${LIMITS[cause]}`)
    this.#untold.clear()
    this.#events({ type: 'calls.shed', backend: this.#backend, detail: parts.join(', ') })
  }
}

const LIMITS: Readonly<Record<ShedCause, string>> = {
  calls: 'calls in flight (limits.calls)',
  session: 'calls in flight of one session (limits.callsPerSession)',
  bodies: 'bodies held in memory (limits.bodiesBytes)',
  connections: 'connections (limits.connections)',
  address: 'connections of one address (limits.connectionsPerAddress)',
}
