// Tells a storm, in which many sessions expire together, from holders that die one by one. Many at once are more likely an
// outage of the store, of the network, or of a clock than so many dead holders: an operator has to look. Pure.

export interface StormLimits {
  /** More than this share of the known sessions … */
  readonly share: number
  /** … and more than this many, … */
  readonly count: number
  /** … within this time. */
  readonly windowMs: number
}

export const STORM_DEFAULTS: StormLimits = { share: 0.5, count: 5, windowMs: 60_000 }

export interface SessionCounts {
  /** Sessions whose lease lives. */
  readonly alive: number
  /** Sessions whose lease is over and of which there is no fence record yet. */
  readonly ending: number
}

/** More sessions than `count` that expired together. Whether that is a storm the share says. */
export interface Crowd {
  readonly expired: number
  readonly known: number
  readonly isStorm: boolean
}

/**
 * For each expiry, given by when it was seen in ascending order, the crowd that it came in; null where it came in none.
 * Those that are ending have been seen now.
 */
export function crowdsAmong(
  seenMs: readonly number[],
  { alive, ending }: SessionCounts,
  { share, count, windowMs }: StormLimits,
  nowMs: number,
): readonly (Crowd | null)[] {
  const crowds: (Crowd | null)[] = seenMs.map(() => null)
  let marked = 0
  let inStorm = 0
  let end = 0
  for (const [first, beginMs] of seenMs.entries()) {
    while ((seenMs[end] ?? Number.POSITIVE_INFINITY) <= beginMs + windowMs) end++
    const expired = end - first + (nowMs <= beginMs + windowMs ? ending : 0)
    const known = alive + expired
    if (expired <= count) continue
    const isStorm = expired > share * known
    for (let index = Math.max(first, isStorm ? inStorm : marked); index < end; index++)
      crowds[index] = { expired, known, isStorm }
    marked = end
    if (isStorm) inStorm = end
  }
  return crowds
}
