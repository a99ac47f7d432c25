// In which order fences began to run, and came to the levels at which they run, by the store's revisions, which all gateways see
// alike: of two that reach for the last place under a limit, the same one is first everywhere. It decides nothing by itself.

import type { FenceRecord } from '../core/fence-record.ts'
import type { Revision } from '../core/names.ts'
import type { JournaledFence } from '../spi/fence-journal.ts'

/** 0: it was there before this gateway looked, and so before all that came since. */
type Since = Revision | 0

interface Entry {
  readonly level: number
  readonly claimer: string
  /** Of the claim by the gateway that has it now. */
  readonly claim: Since
  /** Since when that gateway has it at this level. */
  readonly turn: Since
  /** Since when it is at this level, whoever had it: it may have struck for a gateway that is gone. */
  readonly arrival: Since
  readonly record: FenceRecord
}

export class RunningOrder {
  readonly #entries = new Map<string, Entry>()
  #hasLooked = false

  /** To be called with all fences there are, whenever they have changed. */
  look(fences: readonly JournaledFence[]): void {
    const ids = new Set<string>()
    for (const { record, modRevision } of fences) {
      if (record.progress.state !== 'running') continue
      const { level, claim } = record.progress
      const claimer = claim.incarnation
      const now = this.#hasLooked ? modRevision : 0
      const known = this.#entries.get(record.id)
      const same = known?.claimer === claimer ? known : undefined
      this.#entries.set(record.id, {
        level,
        claimer,
        claim: same?.claim ?? now,
        turn: same?.level === level ? same.turn : now,
        arrival: known?.level === level ? known.arrival : now,
        record,
      })
      ids.add(record.id)
    }
    this.#hasLooked = true
    for (const id of this.#entries.keys()) if (!ids.has(id)) this.#entries.delete(id)
  }

  /** Running fences that come before this one in one of these orders; none where it does not run. */
  before(id: string, by: 'claim' | 'turn' | 'arrival'): readonly FenceRecord[] {
    const own = this.#entries.get(id)
    if (own === undefined) return []
    return [...this.#entries.values()].flatMap((entry) =>
      entry.record.id !== id && entry[by] < own[by] ? [entry.record] : [],
    )
  }

  /** Fences that run, whosever they are. */
  get running(): readonly FenceRecord[] {
    return [...this.#entries.values()].map(({ record }) => record)
  }
}
