// The record of a fence as the gateway that runs it sees and writes it: never behind what it wrote itself, and never over
// what somebody else has written since.

import { isDeepStrictEqual } from 'node:util'
import type { FenceRecord } from '../core/fence-record.ts'
import { claimed } from '../core/fence-sequence.ts'
import type { Clock } from '../spi/clock.ts'
import type { FenceJournal, JournaledFence } from '../spi/fence-journal.ts'
import { StoreUnavailable } from '../spi/store.ts'
import { pause } from './attempt.ts'

const WRITE_RETRY_MS = 200

export interface ClaimedRecordOptions {
  readonly id: string
  readonly journal: FenceJournal
  readonly clock: Clock
  /** Aborted where nothing more is to be written. */
  readonly signal: AbortSignal
}

export class ClaimedRecord {
  readonly #options: ClaimedRecordOptions
  #newest: JournaledFence | null = null
  /** What is being written: it may land although its answer is lost. */
  #wanted: FenceRecord | null = null

  constructor(options: ClaimedRecordOptions) {
    this.#options = options
  }

  /** Whether it was had at all. */
  get wasClaimed(): boolean {
    return this.#newest !== null
  }

  /** The view may be behind what this gateway has just written itself. */
  current(): JournaledFence | null {
    const viewed = this.#options.journal.get(this.#options.id)
    const own = this.#newest
    if (viewed === null || own === null) return viewed
    return viewed.modRevision >= own.modRevision ? viewed : own
  }

  /** Whether the view holds what this gateway wrote last, and so all that others had written before. */
  get isSeen(): boolean {
    const viewed = this.#options.journal.get(this.#options.id)
    return this.#newest === null || viewed === null || viewed.modRevision >= this.#newest.modRevision
  }

  holds({ progress }: FenceRecord): boolean {
    return progress.state === 'running' && progress.claim.incarnation === this.#options.journal.incarnation
  }

  /** Somebody else has written since: an operator's word, or another gateway's claim. */
  isOverruledBy(viewed: JournaledFence): boolean {
    const isNewer = this.#newest !== null && viewed.modRevision > this.#newest.modRevision
    return isNewer && !this.holds(viewed.record) && !isDeepStrictEqual(viewed.record, this.#wanted)
  }

  /** One try, at exactly this revision: whoever is first has it. Once: after an operator's retry another run begins anew. */
  async claim(current: JournaledFence, level: number): Promise<boolean> {
    const { journal } = this.#options
    if (this.#newest !== null) return false
    const claim = { incarnation: journal.incarnation, lease: journal.lease }
    const taken = await journal.replace(claimed(current.record, level, claim), current.modRevision)
    if (taken === null) return false
    this.#newest = taken
    return true
  }

  /**
   * Writes a change over whatever the record is now, as long as the claim in it is this gateway's; null where it is not.
   * Where the answer was lost, the record shows what became of the write, and every change may be made twice.
   */
  async write(change: (record: FenceRecord) => FenceRecord): Promise<JournaledFence | null> {
    const { clock, journal, signal } = this.#options
    this.#wanted = null
    while (!signal.aborted) {
      const base = this.current()
      if (base === null) return null
      if (isDeepStrictEqual(base.record, this.#wanted)) {
        this.#newest = base
        return base
      }
      if (!this.holds(base.record)) return null
      const next = change(base.record)
      this.#wanted = next
      try {
        const written = await journal.replace(next, base.modRevision)
        if (written !== null) {
          this.#newest = written
          return written
        }
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
      }
      await pause(clock, WRITE_RETRY_MS, signal)
    }
    return null
  }
}
