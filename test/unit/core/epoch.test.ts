import { describe, expect, it } from 'vitest'
import { EPOCH_MAX, Epochs, epochOf, REVISION_MAX, revisionIn } from '../../../gateway/core/epoch.ts'

const UNIT = REVISION_MAX + 1
const FIRST = { epoch: 0, begins: 0 }

describe('the positions of a store', () => {
  it('are its revisions in epoch 0', () => {
    const epochs = new Epochs([FIRST])
    for (const revision of [0, 1, 812, REVISION_MAX]) {
      expect(epochs.position(revision)).toBe(revision)
      expect(epochs.revision(revision)).toBe(revision)
    }
  })

  it('have the epoch above the revision from the revision on at which it began, and grow with it', () => {
    const epochs = new Epochs([FIRST, { epoch: 1, begins: 10 }, { epoch: 4, begins: 20 }])
    expect([1, 9, 10, 19, 20, 21].map((revision) => epochs.position(revision))).toEqual([
      1,
      9,
      UNIT + 10,
      UNIT + 19,
      4 * UNIT + 20,
      4 * UNIT + 21,
    ])
    expect(epochs.epoch).toBe(4)
    expect(epochs.begins).toBe(4 * UNIT + 20)
    expect([epochOf(4 * UNIT + 20), revisionIn(4 * UNIT + 20)]).toEqual([4, 20])
  })

  it('are below 2^53 up to the last, and no larger revision passes for one of another epoch', () => {
    const last = new Epochs([FIRST, { epoch: EPOCH_MAX, begins: 5 }])
    expect(last.position(REVISION_MAX)).toBe(Number.MAX_SAFE_INTEGER)
    expect(() => last.position(REVISION_MAX + 1)).toThrow(/does not fit into a token/)
    expect(() => new Epochs([FIRST]).position(REVISION_MAX + 1)).toThrow(RangeError)
  })

  it('equal no revision of the store where they are of an epoch that it did not have then', () => {
    const epochs = new Epochs([FIRST, { epoch: 1, begins: 10 }])
    expect(epochs.revision(UNIT + 12)).toBe(12)
    expect(epochs.revision(9)).toBe(9)
    for (const foreign of [12, UNIT + 9, 2 * UNIT + 12])
      expect(epochs.revision(foreign)).toBe(Number.MAX_SAFE_INTEGER)
  })

  it.each([
    [[]],
    [[{ epoch: 1, begins: 4 }]],
    [[FIRST, { epoch: 0, begins: 4 }]],
    [[FIRST, { epoch: 2, begins: 0 }]],
    [[FIRST, { epoch: 2, begins: 9 }, { epoch: 3, begins: 9 }]],
    [[FIRST, { epoch: EPOCH_MAX + 1, begins: 9 }]],
  ])('are not made of epochs that do not follow one another: %j', (starts) => {
    expect(() => new Epochs(starts)).toThrow(RangeError)
  })
})
