// What may go wrong in one run, and how often: drawn from the seed, so that some runs have much of one thing and nothing of
// another. Faults that hide each other are so met alone as well. A theme brings together what has to coincide before one
// particular rule is needed at all.

import { STORM_DEFAULTS, type StormLimits } from '../../gateway/core/storm.ts'
import type { Random } from './random.ts'
import type { NetworkFaults } from './store.ts'

export const DRAIN_MS = 1_500
/** Of all keys in the store. */
export const PREFIX = '/fencegate'

export const THEMES = [
  'mixed',
  'joining',
  'leaving',
  'cut-off',
  'foreign',
  'lossy',
  'fencing',
  'outage',
  'embedded',
  'restored',
  'unquiet',
  'returning',
  'storm',
] as const
export type Theme = (typeof THEMES)[number]

export interface Profile {
  readonly theme: Theme
  readonly gateways: number
  readonly gatewayLeaseMs: number
  readonly holders: number
  readonly foreignHolders: number
  readonly locks: readonly string[]
  /** False: the embedded store, which one gateway has to itself, and which lives and stands still with it. */
  readonly sharedStore: boolean
  readonly network: NetworkFaults
  /** How much slower some processes' way to the store is than others'; 1: all alike. */
  readonly unevenness: number
  readonly unevenProbability: number
  /** One gateway is quick, is not taken away by anybody, and is asked most. */
  readonly steady: boolean
  /** Mean time between two of a kind; null: none at all. */
  readonly everyMs: {
    readonly crash: number | null
    readonly close: number | null
    readonly stop: number | null
    readonly partition: number | null
    readonly cut: number | null
    readonly compaction: number | null
    /** A watch that brings nothing any more, and does not fail. */
    readonly stand: number | null
    /** The store has no quorum. */
    readonly outage: number | null
    readonly clockJump: number | null
    readonly order: number | null
    /** Most holders fall silent together. */
    readonly wave: number | null
  }
  readonly partitionMsMax: number
  /**
   * As soon as a gateway has come back, an operator vouches for its former self without having looked: whoever came back
   * knows what still runs, so that word must open nothing over it.
   */
  readonly hasty: boolean
  readonly storm: StormLimits
  /** Some gateways are of the next version, whose records hold more. */
  readonly nextVersion: boolean
  /** Of a watch that never brings anything. */
  readonly deafProbability: number
  /** Until a gateway that went is started again. */
  readonly downMsMax: number
  /** The store is restored from an older snapshot at the end of the chaos. */
  readonly restored: boolean
  /** And an operator begins a new epoch then, in which everything goes on. */
  readonly bumped: boolean
  /** Between two deeds of one holder, at most. */
  readonly idleMsMax: number
  /** Of a deed that ends the session, or lets it lapse. */
  readonly restlessProbability: number
  /** Between the unlock of a foreign client and the end of its lease. */
  readonly foreignLeaseMsMax: number
  readonly sharedProbability: number
  readonly multiLockProbability: number
  readonly defaultPlan: string | null
  readonly planProbability: number
  readonly plans: readonly string[]
  /** Of one attempt of a fencer. */
  readonly fencerFailureProbability: number
  readonly fencerDelayMsMax: number
  readonly slowBodyProbability: number
  /** Of a call that takes long to take effect, or arrives late. */
  readonly slowEffectProbability: number
  readonly lostAnswerProbability: number
  readonly jobProbability: number
  /** Of a call that is made with a token that its caller should know to be over. */
  readonly oldTokenProbability: number
  /** Of a holder that goes on calling while it renews nothing. */
  readonly stuckProbability: number
  /** Of a request that is long on its way to the gateway. */
  readonly straggleProbability: number
  /** Of a call that is sent to the gateway that was started last. */
  readonly newestProbability: number
  /** Of a holder that comes back as the same process, so that a fence against the old session may mean it. */
  readonly samePidProbability: number
  /** What the backends promise, where they do: nothing of a call takes effect later than this after it was sent. */
  readonly quietMs: number | null
  /** Nothing of a call takes effect later than this after it was sent, whether or not the gateways may count on it. */
  readonly effectMsMax: number
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

/** Fencers of each level, by plan; what they prove stands in fencers.ts. */
export const PLANS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  kill: [['kill']],
  sweep: [['kill', 'sweep']],
  block: [['block']],
  shut: [['block', 'sweep'], ['kill']],
  flush: [['flush']],
  power: [['sweep'], ['power']],
  hopeless: [['broken']],
}

export function drawProfile(random: Random): Profile {
  const oneOf = <Item>(items: readonly [Item, ...Item[]]): Item => random.pick(items) ?? items[0]
  const every = (probability: number, ms: number) =>
    random.chance(probability) ? ms * random.between(0.5, 2) : null
  const theme = random.chance(0.3) ? 'mixed' : (random.pick(THEMES) ?? 'mixed')
  const quietMs = oneOf([1_000, 3_000, 6_000])
  const mixed: Profile = {
    theme,
    gateways: oneOf([1, 2, 2, 3]),
    gatewayLeaseMs: oneOf([2_000, 5_000]),
    holders: 2 + random.below(4),
    foreignHolders: oneOf([0, 0, 1, 2]),
    locks: ['volume/1', 'volume/2', 'host/a b'].slice(0, 1 + random.below(3)),
    sharedStore: true,
    network: {
      lossProbability: oneOf([0, 0, 0.01, 0.05, 0.15]),
      delayMsMax: oneOf([2, 30, 300, 1_500]),
      lateProbability: oneOf([0, 0, 0.01, 0.05]),
      watchDelayMsMax: oneOf([2, 50, 500, 1_500]),
    },
    unevenness: oneOf([1, 1, 10]),
    unevenProbability: 0.3,
    steady: false,
    everyMs: {
      crash: every(0.6, 12_000),
      close: every(0.4, 15_000),
      stop: every(0.5, 10_000),
      partition: every(0.5, 12_000),
      cut: every(0.5, 6_000),
      compaction: every(0.2, 15_000),
      stand: every(0.3, 15_000),
      outage: every(0.2, 20_000),
      clockJump: every(0.3, 5_000),
      order: every(0.3, 15_000),
      wave: null,
    },
    partitionMsMax: 25_000,
    hasty: false,
    storm: STORM_DEFAULTS,
    nextVersion: random.chance(0.25),
    deafProbability: 0,
    downMsMax: 8_000,
    restored: false,
    bumped: false,
    idleMsMax: oneOf([200, 700, 1_500]),
    restlessProbability: oneOf([0.04, 0.13]),
    foreignLeaseMsMax: oneOf([60, 1_000]),
    sharedProbability: oneOf([0, 0, 0.3, 0.7]),
    multiLockProbability: oneOf([0, 0.3]),
    defaultPlan: oneOf([null, 'kill', 'shut']),
    planProbability: oneOf([0, 0.5, 1]),
    plans: Object.keys(PLANS),
    fencerFailureProbability: oneOf([0, 0.2, 0.5]),
    fencerDelayMsMax: oneOf([50, 1_000, 4_000]),
    slowBodyProbability: oneOf([0, 0.1, 0.4]),
    slowEffectProbability: oneOf([0, 0.25]),
    lostAnswerProbability: oneOf([0.05, 0.15]),
    jobProbability: 0.12,
    oldTokenProbability: 0.2,
    stuckProbability: oneOf([0, 0.5]),
    straggleProbability: oneOf([0, 0, 0.05]),
    newestProbability: oneOf([0, 0, 0.5]),
    samePidProbability: oneOf([0, 0.5]),
    quietMs,
    // The rest is for clocks that run at other rates.
    effectMsMax: quietMs * 0.95,
    driftMax: oneOf([0, 0.01]),
    chaosMs: random.between(30_000, 70_000),
    sourced: random.chance(0.5),
  }
  const { everyMs } = mixed
  const nothing: Profile['everyMs'] = {
    crash: null,
    close: null,
    stop: null,
    partition: null,
    cut: null,
    compaction: null,
    stand: null,
    outage: null,
    clockJump: null,
    order: null,
    wave: null,
  }
  switch (theme) {
    case 'mixed':
      return mixed
    case 'joining':
      // Gateways that come and see nothing of what goes on, while owners change quickly and old ones do not notice.
      return {
        ...mixed,
        gateways: 2,
        gatewayLeaseMs: 2_000,
        holders: 4,
        foreignHolders: 0,
        locks: ['volume/1'],
        network: {
          ...mixed.network,
          lossProbability: 0,
          lateProbability: 0,
          delayMsMax: 20,
          watchDelayMsMax: 20,
        },
        unevenness: 40,
        unevenProbability: 0.8,
        steady: true,
        everyMs: { ...nothing, close: 3_000 },
        deafProbability: 0.4,
        downMsMax: 300,
        idleMsMax: 200,
        restlessProbability: 0.02,
        sharedProbability: 0,
        defaultPlan: null,
        planProbability: 0,
        slowBodyProbability: 0,
        slowEffectProbability: 0,
        jobProbability: 0,
        lostAnswerProbability: 0,
        oldTokenProbability: 0.5,
        newestProbability: 0.7,
      }
    case 'leaving':
      // Gateways that go in good order, with calls open of which nothing has been heard.
      return {
        ...mixed,
        gateways: oneOf([2, 3]),
        locks: ['volume/1'],
        network: { ...mixed.network, lossProbability: 0, delayMsMax: oneOf([2, 30]), watchDelayMsMax: 50 },
        everyMs: { ...nothing, close: 2_000, stop: everyMs.stop },
        downMsMax: 1_000,
        steady: true,
        idleMsMax: 200,
        restlessProbability: 0.04,
        planProbability: 0,
        slowBodyProbability: 0,
        slowEffectProbability: 0.6,
        lostAnswerProbability: 0.4,
      }
    case 'cut-off':
      // Gateways that lose their lease, live on, and still have calls that have not gone out or not been answered.
      return {
        ...mixed,
        gateways: oneOf([2, 3]),
        gatewayLeaseMs: 2_000,
        locks: ['volume/1'],
        network: { ...mixed.network, lossProbability: 0, delayMsMax: oneOf([2, 30]), watchDelayMsMax: 50 },
        everyMs: { ...nothing, partition: oneOf([3_000, 6_000]), stand: everyMs.stand, stop: everyMs.stop },
        steady: true,
        idleMsMax: 200,
        restlessProbability: 0.04,
        planProbability: 0,
        slowBodyProbability: oneOf([0, 0.6]),
        slowEffectProbability: 0.6,
        lostAnswerProbability: oneOf([0, 0.3]),
        quietMs: 6_000,
        effectMsMax: 5_700,
      }
    case 'foreign':
      return {
        ...mixed,
        gateways: oneOf([1, 2]),
        holders: 1,
        foreignHolders: 4,
        locks: ['volume/1', 'volume/2', 'host/a b'],
        network: { ...mixed.network, lossProbability: 0.15, delayMsMax: oneOf([30, 300]) },
        everyMs: { ...nothing, cut: everyMs.cut, stop: everyMs.stop, order: everyMs.order },
        foreignLeaseMsMax: 1_000,
      }
    case 'lossy':
      // What was done is often not known to have been done, and is said again while the holder goes on.
      return {
        ...mixed,
        gateways: 2,
        holders: 2,
        foreignHolders: 0,
        network: { ...mixed.network, lossProbability: 0.15, delayMsMax: 30, watchDelayMsMax: 50 },
        unevenness: 1,
        everyMs: { ...nothing, cut: everyMs.cut },
        idleMsMax: 200,
        restlessProbability: 0.04,
        sharedProbability: oneOf([0, 0.7]),
        straggleProbability: oneOf([0, 0.1]),
        slowBodyProbability: 0,
        slowEffectProbability: 0,
      }
    case 'fencing':
      // Sessions that end with calls on their way, and fencers that are quick and prove little.
      return {
        ...mixed,
        gateways: oneOf([2, 3]),
        foreignHolders: 0,
        locks: mixed.locks.slice(0, 2),
        network: { ...mixed.network, lossProbability: 0, delayMsMax: 5, watchDelayMsMax: oneOf([20, 150]) },
        gatewayLeaseMs: 5_000,
        unevenness: 10,
        unevenProbability: 0.5,
        steady: true,
        newestProbability: 0.5,
        idleMsMax: 200,
        restlessProbability: 0.08,
        everyMs: { ...nothing, close: everyMs.close, cut: everyMs.cut, order: 2_000 },
        planProbability: 1,
        plans: oneOf([
          ['sweep', 'block', 'kill'],
          ['flush'],
          ['flush', 'shut'],
          ['shut'],
          ['sweep', 'block', 'power'],
        ]),
        fencerFailureProbability: oneOf([0, 0, 0.2]),
        fencerDelayMsMax: oneOf([5, 200]),
        slowEffectProbability: 0.6,
        lostAnswerProbability: 0.5,
        stuckProbability: 1,
        quietMs: 6_000,
        effectMsMax: 5_700,
      }
    case 'outage':
      return {
        ...mixed,
        everyMs: { ...everyMs, outage: oneOf([6_000, 12_000]) },
        fencerFailureProbability: 0,
      }
    case 'embedded':
      return {
        ...mixed,
        gateways: 1,
        foreignHolders: 0,
        sharedStore: false,
        network: { ...CALM, lossProbability: oneOf([0, 0, 0.05]), watchDelayMsMax: 1, delayMsMax: 1 },
        unevenness: 1,
        everyMs: {
          ...nothing,
          crash: everyMs.crash ?? 10_000,
          close: everyMs.close,
          stop: everyMs.stop,
          clockJump: everyMs.clockJump,
          order: everyMs.order,
        },
      }
    case 'restored':
      if (random.chance(0.3)) return { ...mixed, foreignHolders: 0, restored: true }
      // And a new epoch, while calls that the store has forgotten are still on their way.
      return {
        ...mixed,
        foreignHolders: 0,
        gatewayLeaseMs: 2_000,
        network: { ...mixed.network, lossProbability: oneOf([0, 0.01]), delayMsMax: oneOf([2, 30]) },
        unevenness: 1,
        everyMs: { ...nothing, crash: everyMs.crash, cut: everyMs.cut, order: everyMs.order },
        downMsMax: 1_000,
        slowEffectProbability: 0.8,
        lostAnswerProbability: 0.4,
        quietMs: 12_000,
        effectMsMax: 11_400,
        restored: true,
        bumped: true,
      }
    case 'returning':
      // Gateways that outlive their lease with calls open, come back slowly, and are vouched for in that moment.
      return {
        ...mixed,
        gateways: oneOf([2, 3]),
        gatewayLeaseMs: 2_000,
        locks: ['volume/1'],
        network: {
          ...mixed.network,
          lossProbability: 0,
          lateProbability: 0,
          delayMsMax: oneOf([2, 30, 300]),
          watchDelayMsMax: 50,
        },
        unevenness: 1,
        everyMs: { ...nothing, partition: 3_000 },
        partitionMsMax: 6_000,
        hasty: true,
        steady: true,
        idleMsMax: 200,
        restlessProbability: 0.04,
        sharedProbability: oneOf([0, 0.7]),
        planProbability: 0,
        defaultPlan: null,
        slowBodyProbability: oneOf([0, 0.3]),
        slowEffectProbability: 0.8,
        lostAnswerProbability: oneOf([0, 0.3]),
        jobProbability: 0,
        straggleProbability: 0,
        quietMs: 6_000,
        effectMsMax: 5_700,
      }
    case 'storm':
      // Sessions that end together: most likely it was not so many holders that died.
      return {
        ...mixed,
        gateways: oneOf([1, 2, 3]),
        holders: 8,
        foreignHolders: 0,
        network: { ...mixed.network, lossProbability: oneOf([0, 0.01]), delayMsMax: oneOf([2, 30]) },
        everyMs: { ...nothing, crash: everyMs.crash, cut: everyMs.cut, wave: 12_000 },
        storm: { share: 0.5, count: 2, windowMs: 8_000 },
        idleMsMax: 700,
        restlessProbability: 0.04,
        defaultPlan: 'kill',
        planProbability: 1,
        plans: oneOf([['kill'], ['kill', 'flush'], ['shut', 'kill'], ['block', 'power']]),
        fencerDelayMsMax: oneOf([1_000, 4_000]),
      }
    case 'unquiet':
      // Nothing but a proof or a word ends an unknown call.
      return {
        ...mixed,
        plans: ['flush', 'shut', 'sweep', 'kill'],
        quietMs: null,
        effectMsMax: 20_000,
        lostAnswerProbability: 0.05,
      }
  }
}
