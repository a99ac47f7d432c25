// What is a storm: many, a large share of all, and close together.

import { describe, expect, test } from 'vitest'
import { crowdsAmong } from '../../../gateway/core/storm.ts'

const LIMITS = { share: 0.5, count: 3, windowMs: 1_000 }
const NONE = { alive: 0, ending: 0 }

/** For each expiry whether it is in a storm (x), or in a crowd that is none (o). */
function storms(seenMs: readonly number[], counts = NONE, limits = LIMITS, nowMs = 1_000_000): string {
  return crowdsAmong(seenMs, counts, limits, nowMs)
    .map((crowd) => (crowd === null ? '-' : crowd.isStorm ? 'x' : 'o'))
    .join('')
}

describe('expiries', () => {
  test('are a storm where they are more than the count and more than the share, within the window', () => {
    expect(storms([0, 0, 0])).toBe('---')
    expect(storms([0, 0, 0, 0])).toBe('xxxx')
    expect(storms([0, 300, 600, 1_000])).toBe('xxxx')
    expect(storms([0, 300, 600, 1_001])).toBe('----')
    expect(storms([0, 0, 0, 0], { alive: 4, ending: 0 })).toBe('oooo')
    expect(storms([0, 0, 0, 0], { alive: 3, ending: 0 })).toBe('xxxx')
  })

  test('before and after a storm are not in it', () => {
    expect(storms([0, 5_000, 5_100, 5_200, 5_300, 9_000])).toBe('-xxxx-')
    expect(storms([0, 900, 1_100, 1_200, 1_300, 2_200])).toBe('-xxxx-')
  })

  test('of which one window after the other is full are one storm', () => {
    expect(storms([0, 400, 800, 900, 1_300, 1_700])).toBe('xxxxxx')
  })

  test('of a storm stay in it where a later window is only a crowd', () => {
    expect(storms([0, 0, 0, 0, 0, 0, 900, 1_100, 1_200, 1_300], { alive: 6, ending: 0 })).toBe('xxxxxxxooo')
  })

  test('count from when the lease is over, before there is a record of a fence', () => {
    expect(storms([500], { alive: 0, ending: 3 }, LIMITS, 1_500)).toBe('x')
    expect(storms([500], { alive: 0, ending: 3 }, LIMITS, 1_501)).toBe('-')
    expect(storms([500], { alive: 4, ending: 3 }, LIMITS, 600)).toBe('o')
  })

  test('are told with how many there were, of how many', () => {
    expect(crowdsAmong([0, 1, 2], { alive: 2, ending: 1 }, LIMITS, 5)[2]).toEqual({
      expired: 4,
      known: 6,
      isStorm: true,
    })
    expect(crowdsAmong([], NONE, LIMITS, 5)).toEqual([])
  })
})
