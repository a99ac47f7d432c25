// The last revisions' events in memory, and the watches that read them: each in order, from its own place, none left
// out. Only what is committed comes here.

import { invariant } from '../../core/invariant.ts'
import type { Revision } from '../../core/names.ts'
import type { StoreEvent, Watch, WatchListener } from '../../spi/store.ts'

export interface HistoryLimits {
  readonly revisionsMax: number
  readonly bytesMax: number
}

interface Entry {
  readonly events: readonly StoreEvent[]
  readonly bytes: number
}

interface Watcher {
  readonly prefixes: readonly string[]
  readonly listener: WatchListener
  /** Everything up to here was delivered. */
  position: number
  progressWanted: boolean
}

export class EventHistory {
  readonly #limits: HistoryLimits
  readonly #entries = new Map<number, Entry>()
  readonly #watchers = new Set<Watcher>()
  #bytes = 0
  /** The history holds each revision after this one. */
  #compacted: number
  #current: Revision
  #delivering = false
  #deliverAgain = false

  constructor(current: Revision, limits: HistoryLimits) {
    this.#current = current
    this.#compacted = current
    this.#limits = limits
  }

  /** Takes the events of the next revision. Nothing is delivered before `deliver`. */
  append(revision: Revision, events: readonly StoreEvent[]): void {
    invariant(revision === this.#current + 1, `revision ${revision} does not follow ${this.#current}`)
    const bytes = events.reduce((sum, event) => sum + eventBytes(event), 0)
    this.#entries.set(revision, { events, bytes })
    this.#bytes += bytes
    this.#current = revision
    while (this.#entries.size > this.#limits.revisionsMax || this.#bytes > this.#limits.bytesMax) {
      const oldest = this.#compacted + 1
      // A watch that has this one still to come must not lose it: listeners are called at the end of each commit, so
      // only a single commit larger than the whole history gets here.
      this.#bytes -= this.#entries.get(oldest)?.bytes ?? 0
      this.#entries.delete(oldest)
      this.#compacted = oldest
    }
  }

  watch(prefixes: readonly string[], after: Revision, listener: WatchListener): Watch {
    const watcher: Watcher = { prefixes, listener, position: after, progressWanted: false }
    this.#watchers.add(watcher)
    this.#deliverSoon()
    return {
      requestProgress: () => {
        watcher.progressWanted = true
        this.#deliverSoon()
      },
      close: () => {
        this.#watchers.delete(watcher)
      },
    }
  }

  /** Calls the listeners for everything that they have not seen. Out of a listener's call it goes on after that. */
  deliver(): void {
    this.#deliverAgain = true
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (this.#deliverAgain) {
        this.#deliverAgain = false
        for (const watcher of this.#watchers) this.#catchUp(watcher)
      }
    } finally {
      this.#delivering = false
    }
  }

  /** Ends all watches, with a word to each where something went wrong. */
  end(failure: string | null): void {
    const watchers = [...this.#watchers]
    this.#watchers.clear()
    if (failure === null) return
    for (const { listener } of watchers) listener.failed({ kind: 'lost', message: failure })
  }

  #deliverSoon(): void {
    queueMicrotask(() => this.deliver())
  }

  #catchUp(watcher: Watcher): void {
    const { prefixes, listener } = watcher
    while (watcher.position < this.#current && this.#watchers.has(watcher)) {
      if (watcher.position < this.#compacted) {
        this.#watchers.delete(watcher)
        listener.failed({
          kind: 'compacted',
          message: `the events after revision ${watcher.position} are gone: the history begins after ${this.#compacted}`,
        })
        return
      }
      watcher.position += 1
      const events =
        this.#entries.get(watcher.position)?.events.filter((event) => isUnder(prefixes, event)) ?? []
      if (events.length > 0) listener.revision(watcher.position as Revision, events)
    }
    if (watcher.progressWanted && this.#watchers.has(watcher)) {
      watcher.progressWanted = false
      listener.progress(this.#current)
    }
  }
}

function isUnder(prefixes: readonly string[], event: StoreEvent): boolean {
  const key = event.type === 'put' ? event.kv.key : event.key
  return prefixes.some((prefix) => key.startsWith(prefix))
}

/** An estimate: strings take one or two bytes a unit. */
function eventBytes(event: StoreEvent): number {
  return 200 + 2 * (event.type === 'put' ? event.kv.key.length + event.kv.value.length : event.key.length)
}
