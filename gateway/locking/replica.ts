// Keeps the view fed: a linearizable snapshot, then a watch from its revision, and both again when the watch fails. It
// never guesses over a gap.

import type { Revision } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { type Store, StoreUnavailable, type Watch } from '../spi/store.ts'
import type { View } from './view.ts'

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 2_000

export interface ReplicaOptions {
  readonly store: Store
  readonly prefixes: readonly string[]
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  /** The store has gone back behind what the view holds: nothing is loaded any more, and nothing may be served. */
  readonly onRegressed: (revision: Revision) => void
}

interface Waiting {
  readonly revision: number
  readonly resolve: (reached: boolean) => void
  readonly timer: Timer
}

export class Replica {
  readonly #options: ReplicaOptions
  readonly #waiting = new Set<Waiting>()
  #watch: Watch | null = null
  #retry: Timer | null = null
  #live = false
  #stopped = false
  /** Only the latest start goes on: two watches would apply each revision twice. */
  #attempt = 0

  constructor(options: ReplicaOptions) {
    this.#options = options
  }

  /** True while an unbroken watch feeds the view. */
  get live(): boolean {
    return this.#live
  }

  /** Loads the first snapshot and begins to watch. Rejects with StoreUnavailable. */
  start(): Promise<void> {
    return this.#load(++this.#attempt)
  }

  async #load(attempt: number): Promise<void> {
    const { store, prefixes, view, events } = this.#options
    const snapshot = await store.read(prefixes)
    if (this.#stopped || attempt !== this.#attempt) return
    if (snapshot.revision < view.applied) {
      this.#options.onRegressed(snapshot.revision)
      return
    }
    // Before it is applied, as what it brings is to be driven on; the watch follows in the same tick.
    this.#live = true
    view.load(snapshot)
    this.#settle()
    this.#watch = store.watch(prefixes, snapshot.revision, {
      revision: (revision, changes) => {
        view.apply(revision, changes)
        this.#settle()
      },
      progress: (revision) => {
        view.progress(revision)
        this.#settle()
      },
      failed: (failure) => {
        this.#live = false
        this.#watch = null
        events({ type: 'view.lost', detail: `the watch is ${failure.kind}: ${failure.message}` })
        this.#restart(RETRY_MS_MIN)
      },
    })
    events({ type: 'view.current', detail: `applied up to revision ${view.applied}, format ${view.format}` })
  }

  /** True once everything up to `revision` is applied; false after `waitMs`. */
  reached(revision: Revision, waitMs: number): Promise<boolean> {
    if (this.#options.view.applied >= revision) return Promise.resolve(true)
    this.#watch?.requestProgress()
    return new Promise((resolve) => {
      const waiting: Waiting = {
        revision,
        resolve,
        timer: this.#options.clock.after(waitMs, () => {
          this.#waiting.delete(waiting)
          resolve(false)
        }),
      }
      this.#waiting.add(waiting)
    })
  }

  /** Drops the watch and begins again with a new snapshot: what joining anew needs. Rejects with StoreUnavailable. */
  async reload(): Promise<void> {
    this.#live = false
    this.#watch?.close()
    this.#watch = null
    this.#retry?.cancel()
    await this.start()
  }

  stop(): void {
    this.#stopped = true
    this.#live = false
    this.#watch?.close()
    this.#retry?.cancel()
    for (const waiting of this.#waiting) {
      waiting.timer.cancel()
      waiting.resolve(false)
    }
    this.#waiting.clear()
  }

  #restart(delayMs: number): void {
    if (this.#stopped) return
    this.#retry = this.#options.clock.after(delayMs, () => {
      const attempt = ++this.#attempt
      this.#load(attempt).catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error
        // Somebody may have begun anew meanwhile, and have a watch by now.
        if (attempt === this.#attempt) this.#restart(Math.min(delayMs * 2, RETRY_MS_MAX))
      })
    })
  }

  #settle(): void {
    const applied = this.#options.view.applied
    for (const waiting of this.#waiting) {
      if (waiting.revision > applied) continue
      this.#waiting.delete(waiting)
      waiting.timer.cancel()
      waiting.resolve(true)
    }
  }
}
