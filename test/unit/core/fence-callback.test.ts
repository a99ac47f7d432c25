// What the words of a fencer's service do to a fence record, whatever their order.

import { describe, expect, test } from 'vitest'
import { CALLBACKS_KEPT, callbackStep, latestWord } from '../../../gateway/core/fence-callback.ts'
import type { FenceCallback, FenceRecord } from '../../../gateway/core/fence-record.ts'
import { aProof, aRecord } from '../fencing/support.ts'

const word = (parts: Partial<FenceCallback> = {}): FenceCallback => ({
  fencer: 'service',
  attempt: 1,
  state: 'fenced',
  at: '2030-01-01T00:00:00.000Z',
  evidence: 'looked',
  ...parts,
})
const recordAfter = (...words: readonly FenceCallback[]): FenceRecord =>
  words.reduce((record, one) => {
    const step = callbackStep(record, one)
    return step.step === 'write' ? step.record : record
  }, aRecord())
const latest = (...words: readonly FenceCallback[]) => latestWord(recordAfter(...words).callbacks ?? [])
const closed: FenceRecord['progress'] = {
  state: 'closed',
  outcome: 'fenced',
  closedAt: '2030-01-01T00:00:00.000Z',
  by: null,
  reason: null,
}

describe('a callback', () => {
  test('is written down once, and the second time it is known', () => {
    expect(callbackStep(aRecord(), word())).toMatchObject({ step: 'write', contradicts: false })
    expect(callbackStep(recordAfter(word()), word({ evidence: 'looked again' }))).toEqual({ step: 'known' })
    expect(latest(word())).toEqual({ state: 'fenced', attempt: 1, evidence: 'looked' })
  })

  test('that contradicts an earlier one about the same attempt makes both count for nothing', () => {
    expect(callbackStep(recordAfter(word()), word({ state: 'failed' }))).toMatchObject({ contradicts: true })
    for (const words of [
      [word(), word({ state: 'failed' })],
      [word({ state: 'failed' }), word()],
      [word({ state: 'failed' }), word(), word()],
    ])
      expect(latest(...words)).toEqual({ state: 'contradicted', attempt: 1 })
    expect(latest(word(), word({ state: 'failed' }), word({ attempt: 2 }))).toMatchObject({ state: 'fenced' })
  })

  test('about a later attempt counts more than one about an earlier one, whichever comes first', () => {
    const [one, two] = [word(), word({ attempt: 2, state: 'failed' })]
    expect(latest(one, two)).toMatchObject({ state: 'failed', attempt: 2 })
    expect(latest(two, one)).toMatchObject({ state: 'failed', attempt: 2 })
    expect(latest()).toEqual({ state: 'none' })
  })

  test('of another fencer is no contradiction', () => {
    expect(callbackStep(recordAfter(word()), word({ fencer: 'other', state: 'failed' }))).toMatchObject({
      contradicts: false,
    })
  })

  test('that comes when the fence is closed changes nothing, and says so where it takes back what was believed', () => {
    const record = { ...recordAfter(word()), progress: closed, proofs: [aProof('service')] }
    expect(callbackStep(record, word())).toEqual({ step: 'known' })
    expect(callbackStep(record, word({ attempt: 2 }))).toEqual({ step: 'known' })
    expect(callbackStep(record, word({ state: 'failed' }))).toMatchObject({ step: 'too-late' })
    expect(callbackStep({ ...record, proofs: [] }, word({ state: 'failed' }))).toEqual({ step: 'known' })
  })

  test('is kept as long as there are not too many', () => {
    const many = Array.from({ length: CALLBACKS_KEPT + 5 }, (_, index) => word({ attempt: index + 1 }))
    expect(recordAfter(...many).callbacks).toHaveLength(CALLBACKS_KEPT)
    expect(latest(...many)).toMatchObject({ attempt: CALLBACKS_KEPT + 5 })
  })
})
