// Sees to it that gateways with different `sources:` never serve beside each other: each would queue the same lock in
// another order. Which sources count is written in the store; whoever has others neither admits nor drives, and writes
// down its own once no living gateway has any but those.

import { agreedText, type LockSource } from '../core/lock-source.ts'
import type { IncarnationId, Revision } from '../core/names.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { Layout } from './layout.ts'
import type { View } from './view.ts'

export interface SourceAgreementOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly sources: readonly LockSource[]
  readonly self: () => IncarnationId
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  /** Has `settle` called again soon. */
  readonly again: () => void
}

export class SourceAgreement {
  readonly #options: SourceAgreementOptions
  readonly text: string
  #writing = false

  constructor(options: SourceAgreementOptions) {
    this.#options = options
    this.text = agreedText(options.sources)
  }

  /** Why this gateway must not serve, or null. On the hot path. */
  get dissent(): string | null {
    if (this.#options.view.sources.text === this.text) return null
    return 'other gateways serve with other sources; give all of them the same `sources:`'
  }

  /** To be called once the view is loaded, and whenever gateways came or went. */
  async settle(): Promise<void> {
    const { store, layout, view, caughtUp, again } = this.#options
    if (this.#writing || this.dissent === null || this.#others().some((text) => text !== this.text)) return
    this.#writing = true
    try {
      const { succeeded, revision } = await store.transact({
        compare: [{ key: layout.sources, modRevision: view.sources.since }],
        writes: [{ put: layout.sources, value: this.text }],
      })
      if (succeeded) await caughtUp(revision)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // Nothing else may bring the next try: with one gateway there are no watermarks.
      again()
    } finally {
      this.#writing = false
    }
  }

  /** What the other living gateways go by. One without a watermark has lost its lease, and seals itself. */
  #others(): string[] {
    const { view, self } = this.#options
    return [...view.gateways.values()]
      .filter(
        ({ incarnation, record }) =>
          incarnation !== self() && record.state === 'serving' && view.watermarks.has(incarnation),
      )
      .map(({ record }) => record.sources ?? '')
  }
}
