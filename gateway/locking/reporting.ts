// When this gateway writes a watermark: at once where another waits for what it would say, and not at all where the seal says it
// already, or where it is going to take the next step itself.

import type { Clock, Timer } from '../spi/clock.ts'
import type { Barrier } from './barrier.ts'
import type { LockState } from './lock-state.ts'
import type { Precedence } from './precedence.ts'

/** Less than others leave the step to this gateway: should they take it, they find its word. */
const OWN_STEP_MS = 100

export interface ReportingOptions {
  readonly clock: Clock
  readonly barrier: Barrier
  readonly precedence: Precedence
  /** Locks whose calls others wait for. */
  readonly handovers: () => ReadonlySet<LockState>
  /** What the latest watermark, perhaps still under way, says to be applied. */
  readonly said: () => number
  readonly report: () => void
}

export class Reporting {
  readonly #options: ReportingOptions
  #timer: Timer | null = null

  constructor(options: ReportingOptions) {
    this.#options = options
  }

  /** To be called with the locks that a revision changed, once they were looked at. */
  changed(locks: ReadonlySet<LockState>): void {
    const { handovers, said, report } = this.#options
    const open = handovers()
    if (open.size === 0) return
    const reported = said()
    let isOwnStep = false
    for (const lock of locks) {
      if (lock.recordRevision <= reported || !open.has(lock)) continue
      const need = this.#need(lock)
      if (need === 'now') {
        report()
        return
      }
      if (need === 'own-step') isOwnStep = true
    }
    if (isOwnStep) this.#reportLater()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #need(lock: LockState): 'now' | 'own-step' | 'none' {
    const { barrier, precedence } = this.#options
    // What cannot be read may be a seal. Whoever runs a fence goes by the watermark alone.
    if (lock.damage !== null || lock.record === null) return 'now'
    let isSaid = true
    for (const grant of lock.record.grants) {
      if (grant.state !== 'sealed' && grant.formerMode === undefined) continue
      if (grant.state !== 'sealed' || grant.fence !== null) return 'now'
      const live = lock.grantOf(grant.createRevision)
      if (barrier.saidInSeal(live)) continue
      if (barrier.ownWord(live).length === 0) return 'now'
      isSaid = false
    }
    if (isSaid) return 'none'
    return precedence.goesFirst(lock, null) ? 'own-step' : 'now'
  }

  #reportLater(): void {
    const { clock, handovers, said, report } = this.#options
    this.#timer ??= clock.after(OWN_STEP_MS, () => {
      this.#timer = null
      const reported = said()
      for (const lock of handovers())
        if (lock.recordRevision > reported) {
          report()
          return
        }
    })
  }
}
