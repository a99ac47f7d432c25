// Keeps fencing from becoming a wave: how many power fences, and fences of one fencer, an hour has, and when it is tried again.

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

/** Fencers that are about to strike for one fence. */
export interface Wanted {
  readonly fence: string
  readonly fencers: readonly string[]
}

export type Ahead = Pick<Strike, 'plan' | 'fence' | 'fencer'> & { readonly power: boolean }

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

  /**
   * Whether the fencers of `wanted`, too, may strike for the fence within the hour, beside all others of the plan. `ahead`: what may
   * be struck before that, and is not on record yet.
   */
  allows(plan: string | null, wanted: Wanted, perHour: number, ahead: readonly Ahead[] = []): boolean {
    return this.#hasRoom(wanted, perHour, (strike) => strike.power && strike.plan === plan, ahead)
  }

  /** The same, beside those of all plans. */
  allowsInTotal(wanted: Wanted, perHour: number, ahead: readonly Ahead[] = []): boolean {
    return this.#hasRoom(wanted, perHour, ({ power }) => power, ahead)
  }

  /** The same of one fencer, whether it cuts power or not. */
  allowsFencer(fence: string, fencer: string, perHour: number, ahead: readonly Ahead[] = []): boolean {
    const wanted = { fence, fencers: [fencer] }
    return this.#hasRoom(wanted, perHour, (strike) => strike.fencer === fencer, ahead)
  }

  #hasRoom(
    { fence, fencers }: Wanted,
    perHour: number,
    counts: (strike: Pick<Seen, 'plan' | 'fencer' | 'power'>) => boolean,
    ahead: readonly Ahead[],
  ): boolean {
    const more = fencers.filter((fencer) => !this.#isRecent(`${fence} ${fencer}`)).length
    if (more === 0) return true
    const recent = [...this.#seen].filter(([strike, seen]) => counts(seen) && this.#isRecent(strike)).length
    const coming = ahead.filter((one) => counts(one) && !this.#isRecent(`${one.fence} ${one.fencer}`)).length
    return recent + coming + more <= perHour
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
