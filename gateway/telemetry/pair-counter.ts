// A counter with two labels at most, for what happens at every call of a flood: counting is an increment, and the library
// is told at a scrape.

import { Counter, type Registry } from 'prom-client'

export interface PairCounter {
  inc(first: string, second?: string): void
}

/** `labelNames`: one or two. */
export function pairCounter(options: {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly [string, string?]
  readonly registers: Registry[]
}): PairCounter {
  const [firstName, secondName] = options.labelNames
  const counts = new Map<string, Map<string, { count: number }>>()
  new Counter({
    ...options,
    labelNames: secondName === undefined ? [firstName] : [firstName, secondName],
    collect() {
      this.reset()
      for (const [first, seconds] of counts)
        for (const [second, { count }] of seconds)
          this.inc(
            { [firstName]: first, ...(secondName === undefined ? {} : { [secondName]: second }) },
            count,
          )
    },
  })
  return {
    inc(first, second = '') {
      let seconds = counts.get(first)
      if (seconds === undefined) {
        seconds = new Map()
        counts.set(first, seconds)
      }
      const known = seconds.get(second)
      if (known === undefined) seconds.set(second, { count: 1 })
      else known.count++
    },
  }
}
