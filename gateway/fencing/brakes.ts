// Keeps fencing from becoming a wave: how many fences of a plan run at once, and how many power fences an hour has.

import type { Clock } from '../spi/clock.ts'

export const HOUR_MS = 3_600_000
const REMEMBERED_MAX = 10_000

export interface Strike {
  readonly plan: string | null
  readonly fence: string
  readonly fencer: string
  /** Its number. */
  readonly attempt: number
  readonly ageMs?: number
}

/**
 * Counts power fences of all gateways, by what the records show and what this one starts itself: one for each fence and
 * fencer, however often it is tried, from when this gateway first saw the latest attempt.
 */
export class PowerBrake {
  readonly #clock: Clock
  readonly #seen = new Map<string, { readonly plan: string | null; readonly atMs: number }>()
  readonly #counted = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * An attempt that was counted is not counted again, however long its record can be seen. `ageMs`: how long ago it was,
   * as far as anybody can tell; 0 where nobody can, which brakes the more.
   */
  count({ plan, fence, fencer, attempt, ageMs = 0 }: Strike): void {
    const strike = `${fence} ${fencer}`
    const numbered = `${strike} ${attempt}`
    if (this.#counted.has(numbered)) return
    if (this.#counted.size >= REMEMBERED_MAX) this.#counted.delete(this.#counted.values().next().value ?? '')
    this.#counted.add(numbered)
    if (this.#seen.size >= REMEMBERED_MAX) this.#seen.delete(this.#seen.keys().next().value ?? '')
    this.#seen.delete(strike)
    this.#seen.set(strike, { plan, atMs: this.#clock.monotonicMs() - ageMs })
  }

  /** Whether these fencers, too, may strike for the fence within the hour. */
  allows(plan: string | null, fence: string, fencers: readonly string[], perHour: number): boolean {
    const more = fencers.filter((fencer) => !this.#isRecent(`${fence} ${fencer}`)).length
    if (more === 0) return true
    const recent = [...this.#seen].filter(
      ([strike, seen]) => seen.plan === plan && this.#isRecent(strike),
    ).length
    return recent + more <= perHour
  }

  #isRecent(strike: string): boolean {
    const seen = this.#seen.get(strike)
    return seen !== undefined && seen.atMs > this.#clock.monotonicMs() - HOUR_MS
  }
}

/** Doubles with each failed round, up to the limit; jittered downwards, so that gateways and fences fall out of step. */
export function backoffMs(
  failedRounds: number,
  brakes: { readonly backoffMs: number; readonly backoffMsMax: number },
  random: () => number,
): number {
  const full = Math.min(brakes.backoffMsMax, brakes.backoffMs * 2 ** Math.max(0, failedRounds - 1))
  return full * (0.5 + random() / 2)
}
