// Epochs: what keeps tokens growing over a store that went back. A position is one number, the epoch above the revision; it
// is the token that clients see, and what everything inside compares. In epoch 0 it is the revision itself.

import type { Revision } from './names.ts'

/** 2^44 revisions last for 55 years at ten thousand writes a second; 9 bits are left below 2^53. */
const REVISIONS = 2 ** 44
export const REVISION_MAX = REVISIONS - 1
export const EPOCH_MAX = 2 ** 9 - 1

/** Equal to the revision of no key: for a position that this store has never given out. */
const NEVER = Number.MAX_SAFE_INTEGER

export interface EpochStart {
  readonly epoch: number
  /** The revision at which the store itself recorded the epoch; 0 for its first one. */
  readonly begins: number
}

export function epochOf(position: number): number {
  return Math.floor(position / REVISIONS)
}

/** The revision in a position, for people and logs. */
export function revisionIn(position: number): number {
  return position % REVISIONS
}

/** The epochs of one store. Grows with the revision, so the order of positions is the order of writes. */
export class Epochs {
  readonly #starts: readonly EpochStart[]

  /** Ascending, epochs and revisions both; gaps between epochs are no fault. Throws `RangeError` where it is not so. */
  constructor(starts: readonly EpochStart[]) {
    let before: EpochStart = { epoch: -1, begins: -1 }
    for (const start of starts) {
      if (start.epoch <= before.epoch || start.begins <= before.begins || start.epoch > EPOCH_MAX)
        throw new RangeError(`epoch ${start.epoch} at revision ${start.begins} follows no other`)
      before = start
    }
    if (starts[0]?.begins !== 0) throw new RangeError('a store has an epoch from its beginning')
    this.#starts = starts
  }

  /** Where the epoch of now begins. */
  get begins(): Revision {
    return this.position(this.#last.begins)
  }

  get epoch(): number {
    return this.#last.epoch
  }

  /** Throws `RangeError` where the revision does not fit: it would be read as one of another epoch. */
  position(revision: number): Revision {
    if (revision > REVISION_MAX)
      throw new RangeError(
        `revision ${revision} does not fit into a token, which has room up to ${REVISION_MAX}: go on under another prefix in a new store`,
      )
    // No key: no position.
    if (revision === 0) return 0 as Revision
    const { epoch } = this.#starts.findLast(({ begins }) => begins <= revision) ?? this.#last
    return (epoch * REVISIONS + revision) as Revision
  }

  /** The revision to compare with; one that no key has, where the position is none of this store. */
  revision(position: number): number {
    const revision = revisionIn(position)
    return this.position(revision) === position ? revision : NEVER
  }

  get #last(): EpochStart {
    return this.#starts.at(-1) ?? { epoch: 0, begins: 0 }
  }
}
