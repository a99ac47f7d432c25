// What may go wrong in one run, and how often: drawn from the seed, so that some runs have much of one thing and nothing of
// another. Faults that hide each other are so met alone as well.

import type { Random } from './random.ts'
import type { NetworkFaults } from './store.ts'

export const GATEWAY_LEASE_MS = 5_000
export const DRAIN_MS = 1_500
/** What the backends promise: nothing of a call takes effect later than this after it was sent. */
export const QUIET_MS = 6_000

export interface Profile {
  readonly gateways: number
  readonly holders: number
  readonly foreignHolders: number
  readonly locks: readonly string[]
  readonly network: NetworkFaults
  /** Mean time between two of a kind; null: none at all. */
  readonly everyMs: {
    readonly crash: number | null
    readonly close: number | null
    readonly stop: number | null
    readonly partition: number | null
    readonly cut: number | null
    readonly compaction: number | null
    readonly order: number | null
  }
  readonly sharedProbability: number
  readonly defaultPlan: string | null
  readonly planProbability: number
  readonly blockedProbability: number
  readonly proofProbability: number
  readonly slowBodyProbability: number
  readonly driftMax: number
  readonly chaosMs: number
  /** Foreign holders keep their locks in a layout of their own, under several names for one lock. */
  readonly sourced: boolean
}

export const CALM: NetworkFaults = {
  lossProbability: 0,
  delayMsMax: 10,
  lateProbability: 0,
  watchDelayMsMax: 20,
}

export function drawProfile(random: Random): Profile {
  const oneOf = <Item>(items: readonly [Item, ...Item[]]): Item => random.pick(items) ?? items[0]
  const every = (probability: number, ms: number) =>
    random.chance(probability) ? ms * random.between(0.5, 2) : null
  return {
    gateways: oneOf([1, 2, 2, 3]),
    holders: 2 + random.below(4),
    foreignHolders: oneOf([0, 0, 1, 2]),
    locks: ['volume/1', 'volume/2', 'host/a b'].slice(0, 1 + random.below(3)),
    network: {
      lossProbability: oneOf([0, 0, 0.01, 0.05, 0.15]),
      delayMsMax: oneOf([2, 30, 300, 1_500]),
      lateProbability: oneOf([0, 0, 0.01, 0.05]),
      watchDelayMsMax: oneOf([2, 50, 500, 1_500]),
    },
    everyMs: {
      crash: every(0.6, 12_000),
      close: every(0.4, 15_000),
      stop: every(0.5, 10_000),
      partition: every(0.5, 12_000),
      cut: every(0.5, 6_000),
      compaction: every(0.2, 15_000),
      order: every(0.3, 15_000),
    },
    sharedProbability: oneOf([0, 0, 0.3, 0.7]),
    defaultPlan: oneOf([null, 'kill']),
    planProbability: oneOf([0, 0.5, 1]),
    blockedProbability: oneOf([0, 0.2, 0.5]),
    proofProbability: oneOf([0, 0.5, 1]),
    slowBodyProbability: oneOf([0, 0.1, 0.4]),
    driftMax: oneOf([0, 0.01]),
    chaosMs: random.between(30_000, 70_000),
    sourced: random.chance(0.5),
  }
}
