// One admitted call as the data plane sees it: brings its ledger entry to exactly one end, whoever reports first, and
// hands the entry's single listeners on to whoever is responsible for the call at the time.

import type { Refusal } from '../core/verdict.ts'
import type { LedgerEntry } from '../spi/gate.ts'
import type { JobProbe } from '../spi/policy.ts'

export class OpenCall {
  readonly #entry: LedgerEntry
  #settled = false
  #abandoned = false
  #abandonedListener: (() => void) | null = null
  #sealedListener: (() => void) | null = null
  #sealedAsked = false

  constructor(entry: LedgerEntry) {
    this.#entry = entry
    entry.onAbandoned(() => {
      this.#abandoned = true
      this.#abandonedListener?.()
    })
  }

  get settled(): boolean {
    return this.#settled
  }

  get sealed(): boolean {
    return this.#entry.sealed
  }

  get leaseStands(): boolean {
    return this.#entry.leaseStands
  }

  recheck(): Refusal | null {
    return this.#entry.recheck()
  }

  ended(): void {
    if (this.#settled) return
    this.#settled = true
    this.#entry.ended()
  }

  unknown(reason: string): void {
    if (this.#settled) return
    this.#settled = true
    this.#entry.unknown(reason)
  }

  /** The call stays open: its job has to end by `ended` or `unknown`. */
  job(id: string, probe: JobProbe): void {
    if (!this.#settled) this.#entry.job(id, probe)
  }

  /** Replaces the listener; runs it at once where the call was abandoned already. */
  whenAbandoned(listener: () => void): void {
    this.#abandonedListener = listener
    if (this.#abandoned) listener()
  }

  /** Replaces the listener; runs it at once where a lock was sealed already. Asks the entry only where needed. */
  whenSealed(listener: () => void): void {
    this.#sealedListener = listener
    if (this.#sealedAsked) {
      if (this.#entry.sealed) listener()
      return
    }
    this.#sealedAsked = true
    this.#entry.onSealed(() => this.#sealedListener?.())
  }
}
