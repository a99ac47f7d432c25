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
  /** False: it cuts no power, and is counted for its fencer's own limit. */
  readonly power?: boolean
}

interface Seen {
  readonly plan: string | null
  readonly fencer: string
  readonly power: boolean
  readonly atMs: number
}

/**
 * Counts power fences of all gateways, by what the records show and what this one starts itself: one for each fence and
 * fencer, however often it is tried, from when this gateway first saw the latest attempt.
 */
export class PowerBrake {
  readonly #clock: Clock
  readonly #seen = new Map<string, Seen>()
  readonly #counted = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * An attempt that was counted is not counted again, however long its record can be seen. `ageMs`: how long ago it was,
   * as far as anybody can tell; 0 where nobody can, which brakes the more.
   */
  count({ plan, fence, fencer, attempt, ageMs = 0, power = true }: Strike): void {
    const strike = `${fence} ${fencer}`
    const numbered = `${strike} ${attempt}`
    if (this.#counted.has(numbered)) return
    if (this.#counted.size >= REMEMBERED_MAX) this.#counted.delete(this.#counted.values().next().value ?? '')
    this.#counted.add(numbered)
    if (this.#seen.size >= REMEMBERED_MAX) this.#seen.delete(this.#seen.keys().next().value ?? '')
    this.#seen.delete(strike)
    this.#seen.set(strike, { plan, fencer, power, atMs: this.#clock.monotonicMs() - ageMs })
  }

  /** Whether these fencers, too, may strike for the fence within the hour, beside all others of the plan. */
  allows(plan: string | null, fence: string, fencers: readonly string[], perHour: number): boolean {
    return this.#hasRoom(fence, fencers, perHour, (seen) => seen.power && seen.plan === plan)
  }

  /** The same, beside those of all plans. */
  allowsInTotal(fence: string, fencers: readonly string[], perHour: number): boolean {
    return this.#hasRoom(fence, fencers, perHour, ({ power }) => power)
  }

  /** The same of one fencer, whether it cuts power or not. */
  allowsFencer(fence: string, fencer: string, perHour: number): boolean {
    return this.#hasRoom(fence, [fencer], perHour, (seen) => seen.fencer === fencer)
  }

  #hasRoom(
    fence: string,
    fencers: readonly string[],
    perHour: number,
    counts: (seen: Seen) => boolean,
  ): boolean {
    const more = fencers.filter((fencer) => !this.#isRecent(`${fence} ${fencer}`)).length
    if (more === 0) return true
    const recent = [...this.#seen].filter(([strike, seen]) => counts(seen) && this.#isRecent(strike)).length
    return recent + more <= perHour
  }

  #isRecent(strike: string): boolean {
    const seen = this.#seen.get(strike)
    return seen !== undefined && seen.atMs > this.#clock.monotonicMs() - HOUR_MS
  }
}

/** Keeps what one fencer's endpoint is asked at the same time bounded, over all fences of this gateway. */
export class FencerSlots {
  readonly #taken = new Map<string, number>()
  readonly #waiting = new Map<string, (() => void)[]>()

  /** Resolves with what gives the place back, once there is one; null where the signal is aborted before. */
  async take(fencer: string, max: number, signal: AbortSignal): Promise<(() => void) | null> {
    while (!signal.aborted) {
      const taken = this.#taken.get(fencer) ?? 0
      if (taken < max) {
        this.#taken.set(fencer, taken + 1)
        return () => this.#giveBack(fencer)
      }
      await this.#turn(fencer, signal)
    }
    // It may have been called, and does not come: then it is another's turn.
    this.#callNext(fencer)
    return null
  }

  #giveBack(fencer: string): void {
    this.#taken.set(fencer, (this.#taken.get(fencer) ?? 1) - 1)
    this.#callNext(fencer)
  }

  /** Whoever is called looks again: more than are needed do no harm. */
  #callNext(fencer: string): void {
    this.#waiting.get(fencer)?.shift()?.()
  }

  #turn(fencer: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const line = this.#waiting.get(fencer) ?? []
      this.#waiting.set(fencer, line)
      const leave = (): void => {
        line.splice(line.indexOf(called), 1)
        resolve()
      }
      const called = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      line.push(called)
      signal.addEventListener('abort', leave, { once: true })
    })
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
