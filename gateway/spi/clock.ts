// Time as an argument: nothing in the protocol reads a clock that was not handed to it.

export interface Timer {
  /** Idempotent. After it returns the callback does not run. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds on a clock that never goes back or jumps. Deadlines are counted on it. */
  monotonicMs(): number
  /** Milliseconds since the Unix epoch. For logs and records only, never for a decision. */
  wallMs(): number
  /** Runs `callback` once, not before `delayMs` have passed on the monotonic clock. */
  after(delayMs: number, callback: () => void): Timer
}
