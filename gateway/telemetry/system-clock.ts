// The real clock. The composition root hands it out; nothing else of the gateway reads time by itself.

import type { Clock, Timer } from '../spi/clock.ts'

/** Node runs a timer with a longer delay at once, so longer waits are made of several. */
const TIMER_MS_MAX = 2_147_483_647

/** The process's own clocks. Its timers keep the process alive until they have run or are cancelled. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => {
    const dueMs = performance.now() + Math.max(0, delayMs)
    let handle: NodeJS.Timeout | null = null
    const arm = (): void => {
      // Node counts in whole milliseconds and may run a timer a fraction early: the rest is waited for as well.
      const waitMs = Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(dueMs - performance.now())))
      handle = setTimeout(() => {
        if (performance.now() < dueMs) arm()
        else callback()
      }, waitMs)
    }
    arm()
    const timer: Timer = {
      cancel: () => {
        if (handle !== null) clearTimeout(handle)
        handle = null
      },
    }
    return timer
  },
}
