// The largest revision that this gateway has seen, kept outside the store.

export interface HighWaterMark {
  readonly revision: number
  /** Resolves once it is durable; rejects where it cannot be written. Never lowers it. */
  raise(to: number): Promise<void>
}
