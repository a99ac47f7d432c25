// Golden scenarios of the pure half: what is next about a fence record, and how the record reads afterwards.

import { describe, expect, test } from 'vitest'
import type { FenceRecord, FenceState } from '../../../gateway/core/fence-record.ts'
import {
  ATTEMPTS_KEPT,
  attempted,
  blockedFor,
  claimed,
  closedAsFenced,
  type FenceStep,
  type FenceView,
  nextAttemptNumber,
  nextFenceStep,
} from '../../../gateway/core/fence-sequence.ts'
import { anAttempt, aProof, aRecord, incarnation } from './support.ts'

const SELF = incarnation('self')
const OTHER = incarnation('other')

const running = (by = SELF, level = 0): FenceState => ({
  state: 'running',
  level,
  claim: { incarnation: by, lease: null },
})
const levels = [['session', 'kill'], ['power']]

function step(view: Partial<FenceView> & { readonly record: FenceRecord }): FenceStep {
  return nextFenceStep({
    self: SELF,
    claimerIsLive: true,
    progress: null,
    roundsMax: 3,
    braked: [],
    storm: null,
    settlingMs: 0,
    striking: [],
    delayMs: 0,
    crowd: null,
    ...view,
  })
}

describe('whose turn it is', () => {
  test('a due fence is claimed at the level that it stands at', () => {
    expect(step({ record: aRecord({ levels, progress: { state: 'due', level: 1 } }) })).toEqual({
      step: 'claim',
      level: 1,
    })
  })

  test('a fence that a live gateway runs is left to it, and taken over once that gateway is gone', () => {
    const record = aRecord({ levels, progress: running(OTHER, 1) })
    expect(step({ record, claimerIsLive: true })).toEqual({ step: 'wait', for: 'claimer' })
    expect(step({ record, claimerIsLive: false })).toEqual({ step: 'claim', level: 1 })
  })

  test("this gateway's own claim without work of its own is claimed again, whatever is said of its liveness", () => {
    const record = aRecord({ levels, progress: running() })
    expect(step({ record, claimerIsLive: true })).toEqual({ step: 'claim', level: 0 })
  })

  test('a blocked fence waits for an operator, a closed one for nothing', () => {
    const blocked = blockedFor(aRecord({ levels }), 'all failed')
    const closed = closedAsFenced(aRecord({ levels }), '2030-01-01T00:00:00.000Z')
    expect(step({ record: blocked })).toEqual({ step: 'wait', for: 'operator' })
    expect(step({ record: closed })).toEqual({ step: 'wait', for: 'nothing' })
  })
})

describe('the way through the levels', () => {
  const record = aRecord({ levels, progress: running() })

  test('all fencers of a level are tried at once, and then those that were not verified', () => {
    expect(step({ record, progress: { level: 0, failedRounds: 0, verified: [] } })).toEqual({
      step: 'attempt',
      level: 0,
      fencers: ['session', 'kill'],
    })
    expect(step({ record, progress: { level: 0, failedRounds: 1, verified: ['kill'] } })).toEqual({
      step: 'attempt',
      level: 0,
      fencers: ['session'],
    })
  })

  test('only a level of which every fencer was verified closes the fence', () => {
    expect(step({ record, progress: { level: 0, failedRounds: 2, verified: ['session', 'kill'] } })).toEqual({
      step: 'close',
    })
    expect(step({ record, progress: { level: 0, failedRounds: 2, verified: ['session'] } }).step).not.toBe(
      'close',
    )
  })

  test('a level that failed as often as it may leads to the next one, and the last one to an operator', () => {
    expect(step({ record, progress: { level: 0, failedRounds: 3, verified: ['kill'] } })).toEqual({
      step: 'next-level',
      level: 1,
    })
    const last = aRecord({
      levels,
      progress: running(SELF, 1),
      attempts: [
        anAttempt({ fencer: 'power', level: 1, outcome: 'timed-out', output: 'noise\nthe BMC is silent' }),
      ],
    })
    const blocked = step({ record: last, progress: { level: 1, failedRounds: 3, verified: [] } })
    expect(blocked).toMatchObject({ step: 'block' })
    expect(JSON.stringify(blocked)).toContain('power: the BMC is silent')
    expect(JSON.stringify(blocked)).toMatch(/confirm this fence.*retry it/)
  })

  test('an empty level, or none at all, is never a success', () => {
    for (const empty of [[], [[]]]) {
      const nothing = aRecord({ levels: empty, progress: running() })
      expect(step({ record: nothing, progress: { level: 0, failedRounds: 0, verified: [] } }).step).toBe(
        'block',
      )
    }
  })

  test('a fencer that the brakes hold is not tried, and an operator is asked', () => {
    const power = aRecord({ levels, progress: running(SELF, 1) })
    const held = step({
      record: power,
      progress: { level: 1, failedRounds: 0, verified: [] },
      braked: ['power'],
    })
    expect(held).toMatchObject({ step: 'block' })
    expect(JSON.stringify(held)).toContain('brakes hold power')
  })

  test('work at a level that the record is not at any more is not continued', () => {
    const moved = aRecord({ levels, progress: running(SELF, 1) })
    expect(step({ record: moved, progress: { level: 0, failedRounds: 0, verified: [] } })).toEqual({
      step: 'claim',
      level: 1,
    })
  })
})

describe('the record', () => {
  test('an attempt that is written twice stands there once', () => {
    const once = attempted(aRecord({ levels }), [anAttempt({ number: 1 })], [aProof('kill')])
    expect(attempted(once, [anAttempt({ number: 1 })], [aProof('kill')])).toEqual(once)
  })

  test('a newer proof of a fencer takes the place of the older one', () => {
    const first = attempted(aRecord({ levels }), [], [aProof('kill', 'old'), aProof('session', 'kept')])
    const second = attempted(first, [], [aProof('kill', 'new')])
    expect(second.proofs.map((proof) => [proof.fencer, proof.observed])).toEqual([
      ['session', 'kept'],
      ['kill', 'new'],
    ])
  })

  test('it keeps a bounded number of attempts, and never gives a number twice', () => {
    let record = aRecord({ levels })
    for (let i = 0; i < ATTEMPTS_KEPT + 10; i++) {
      record = attempted(record, [anAttempt({ number: nextAttemptNumber(record) })], [])
    }
    expect(record.attempts).toHaveLength(ATTEMPTS_KEPT)
    expect(record.attempts.at(-1)?.number).toBe(ATTEMPTS_KEPT + 10)
  })

  test('a claim names the gateway and its lease, and leaves the rest alone', () => {
    const record = aRecord({ levels })
    expect(claimed(record, 1, { incarnation: OTHER, lease: null })).toEqual({
      ...record,
      progress: { state: 'running', level: 1, claim: { incarnation: OTHER, lease: null } },
    })
  })
})
