// The wish to hear of one lock's changes; while it stands, the lock's state is not forgotten.

import type { Clock } from '../spi/clock.ts'
import type { LockState } from './lock-state.ts'

/** Wakes one request at each change of its lock, and keeps the lock's state from being forgotten meanwhile. */
export class Interest {
  readonly #lock: LockState
  #wake: (() => void) | null = null

  constructor(lock: LockState) {
    this.#lock = lock
    lock.listeners.add(this.#notify)
  }

  readonly #notify = () => {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  changed(clock: Clock, waitMs: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(waitMs, this.#notify)
      gone.addEventListener('abort', this.#notify, { once: true })
      this.#wake = () => {
        timer.cancel()
        gone.removeEventListener('abort', this.#notify)
        resolve()
      }
    })
  }

  end(): void {
    this.#lock.listeners.delete(this.#notify)
  }
}
