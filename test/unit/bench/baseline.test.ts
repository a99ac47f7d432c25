// What makes the comparison with the recorded shares fail, and what does not.

import { expect, it } from 'vitest'
import { compare } from '../../bench/baseline/shares.ts'

const BASELINE = { node: 'v26.0.0', machine: 'one', recorded: '2030-01-01', shares: { mutate: 2, read: 1 } }

it('calls a share slower when it is more than 15 % above the recorded one, and not before', () => {
  const outcomes = compare(BASELINE, { mutate: 2.29, read: 1.16 }).map(({ outcome }) => outcome)
  expect(outcomes).toEqual(['same', 'slower'])
})

it('calls a share faster when it is more than 15 % below, so that the record is renewed', () => {
  const outcomes = compare(BASELINE, { mutate: 1.69, read: 0.86 }).map(({ outcome }) => outcome)
  expect(outcomes).toEqual(['faster', 'same'])
})

it('judges nothing that was not recorded', () => {
  expect(compare(BASELINE, { soap: 3 })).toEqual([
    { kind: 'soap', recorded: null, now: 3, outcome: 'unknown' },
  ])
  expect(compare(null, { read: 1 })[0]?.outcome).toBe('unknown')
})
