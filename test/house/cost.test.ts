// What a call costs, held against what was recorded; see the benchmark's README.

import { expect, it } from 'vitest'
import { compare, measureShares, readBaseline } from '../bench/baseline/shares.ts'

it('no call costs over 15 % more than on the day of the record, where that was taken on such a machine', {
  timeout: 600_000,
}, async () => {
  const baseline = readBaseline()
  const slowerIn = (shares: Readonly<Record<string, number>>) =>
    compare(baseline, shares).filter(({ outcome }) => outcome === 'slower')
  const shares = await measureShares({
    say: () => undefined,
    isEnough: (least) => slowerIn(least).length === 0,
    kinds: ['mutate', 'soap'],
  })
  for (const share of Object.values(shares)) expect(share).toBeGreaterThan(0)
  expect(slowerIn(shares)).toEqual([])
})
