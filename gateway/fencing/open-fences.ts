// Counts the fences that are not closed, for the metrics.

import { type FenceRecord, type FenceStateWord, fenceStateWord } from '../core/fence-record.ts'

export interface OpenFences {
  readonly states: Readonly<Record<Exclude<FenceStateWord, 'closed'>, number>>
  /** By the wall clocks of the gateways, for people; 0 where there is none. */
  readonly oldestSeconds: number
}

export function countOpenFences(records: Iterable<FenceRecord>, wallMs: number): OpenFences {
  const states = { due: 0, running: 0, blocked: 0, held: 0 }
  let oldestMs = wallMs
  for (const { progress, createdAt } of records) {
    const word = fenceStateWord(progress)
    if (word === 'closed') continue
    states[word]++
    const createdMs = Date.parse(createdAt)
    if (createdMs < oldestMs) oldestMs = createdMs
  }
  return { states, oldestSeconds: (wallMs - oldestMs) / 1000 }
}
