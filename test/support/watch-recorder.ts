// A watch's listener that writes down what it is told, in order, and lets a test wait for it.

import type { Revision } from '../../gateway/core/names.ts'
import type { StoreEvent, WatchListener } from '../../gateway/spi/store.ts'

export type WatchCall =
  | { readonly type: 'revision'; readonly revision: Revision; readonly events: readonly StoreEvent[] }
  | { readonly type: 'progress'; readonly revision: Revision }
  | { readonly type: 'failed'; readonly kind: 'compacted' | 'lost'; readonly message: string }

type Call<Type> = Extract<WatchCall, { readonly type: Type }>

export class WatchRecorder implements WatchListener {
  readonly calls: WatchCall[] = []
  readonly #waiting = new Set<() => void>()

  revision(revision: Revision, events: readonly StoreEvent[]): void {
    this.#record({ type: 'revision', revision, events })
  }

  progress(revision: Revision): void {
    this.#record({ type: 'progress', revision })
  }

  failed(failure: { readonly kind: 'compacted' | 'lost'; readonly message: string }): void {
    this.#record({ type: 'failed', ...failure })
  }

  get revisions(): readonly Call<'revision'>[] {
    return this.calls.filter((call) => call.type === 'revision')
  }

  get failures(): readonly Call<'failed'>[] {
    return this.calls.filter((call) => call.type === 'failed')
  }

  get events(): readonly StoreEvent[] {
    return this.revisions.flatMap(({ events }) => events)
  }

  /** Resolves once `condition` holds after a call; rejects after `waitMs` with what was recorded last. */
  async until(condition: (recorder: WatchRecorder) => boolean, waitMs = 15_000): Promise<void> {
    if (condition(this)) return
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!condition(this)) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        const last = JSON.stringify(this.calls.slice(-3))
        reject(
          new Error(
            `not within ${waitMs} ms: ${String(condition)}; ${this.calls.length} calls, the last: ${last}`,
          ),
        )
      }, waitMs)
      this.#waiting.add(look)
    })
  }

  untilRevision(revision: Revision): Promise<void> {
    return this.until(({ revisions }) => (revisions.at(-1)?.revision ?? 0) >= revision)
  }

  #record(call: WatchCall): void {
    this.calls.push(call)
    for (const look of this.#waiting) look()
  }
}
