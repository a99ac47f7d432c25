// One run, drawn from a seed: who takes part, what they do, and which faults strike in which order. The order can be replayed;
// the timing of real processes cannot.

import { Random } from '../sim/random.ts'

/** Nothing takes effect at the backend later than this after it arrived. */
export const EFFECT_MS_MAX = 1_200
/** Bounds how late a call can arrive: longer, and no quiet time could stand for it. */
export const BACKEND_CUT_MS_MAX = 800
export const QUIET_SECONDS = 4
export const DRAIN_SECONDS = 2
export const GATEWAY_LEASE_SECONDS = 3
export const SESSION_SECONDS = 1.5

export const FAULT_KINDS = [
  'gateway-stop',
  'gateway-kill',
  'gateway-end',
  'holder-stop',
  'holder-kill',
  'etcd-stop',
  'etcd-kill',
  'etcd-slow',
  'store-outage',
  'store-compaction',
  'cut-gateway-etcd',
  'cut-gateway-etcd-one-way',
  'cut-gateway-backend',
  'cut-holder-gateways',
  'cut-etcd-peers',
  'slow-links',
  'backend-loses',
  'clock-jump',
  'order-fence',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

export const FAULT_MEANINGS: Readonly<Record<FaultKind, string>> = {
  'gateway-stop': 'a gateway stands still (SIGSTOP), for less or more than its lease',
  'gateway-kill': 'kill -9 of a gateway; it is started again',
  'gateway-end': 'SIGTERM to a gateway; it is started again',
  'holder-stop': 'a holder stands still past its TTL, and goes on with its old tokens',
  'holder-kill': 'kill -9 of a holder; another takes its place',
  'etcd-stop': 'an etcd member stands still',
  'etcd-kill': 'kill -9 of an etcd member; it is started again',
  'etcd-slow': 'an etcd member gets a fifth of its time',
  'store-outage': 'two of three etcd members stand still: no quorum',
  'store-compaction': 'the store forgets its history, while a gateway stands still',
  'cut-gateway-etcd': 'nothing passes between a gateway and etcd',
  'cut-gateway-etcd-one-way': 'nothing passes from etcd to a gateway, or the other way round',
  'cut-gateway-backend': 'nothing passes between a gateway and the backend, shortly',
  'cut-holder-gateways': 'nothing passes between a holder and the gateways',
  'cut-etcd-peers': 'nothing passes between an etcd member and the other two',
  'slow-links': 'what passes between a gateway and etcd and backend comes late',
  'backend-loses': 'the backend breaks most connections, and does all the same, late, what it was asked',
  'clock-jump': 'the wall clock of a gateway jumps, and jumps back',
  'order-fence': 'an operator has a session fenced that lives',
}

export const HOLDER_KINDS = ['orderly', 'stubborn', 'killable', 'flushable', 'foreign'] as const
export type HolderKind = (typeof HOLDER_KINDS)[number]

export interface PlannedFault {
  readonly atMs: number
  readonly kind: FaultKind
  /** Of a party of the kind that is struck; taken modulo how many there are. */
  readonly victim: number
  readonly durationMs: number
}

/** What stands between holders and backend; only the first keeps the promises. */
export type Route = 'gateway' | 'shadow' | 'direct'

export interface Scenario {
  readonly seed: number
  readonly route: Route
  readonly etcdMembers: number
  readonly gateways: number
  readonly holders: readonly HolderKind[]
  readonly locks: readonly string[]
  readonly faults: readonly PlannedFault[]
  readonly durationMs: number
}

export function drawScenario(options: {
  readonly seed: number
  readonly seconds: number
  readonly kinds: readonly FaultKind[]
  readonly route: Route
}): Scenario {
  const { seed, seconds, kinds, route } = options
  const random = new Random(seed)
  const durationMs = seconds * 1_000
  const faults: PlannedFault[] = []
  let round: FaultKind[] = []
  // Each kind once in every round, so that a short run meets them all; the last ones are over before the end.
  const gapMs = Math.min(4_000, Math.max(1_000, (durationMs - 4_000) / Math.max(1, kinds.length)))
  for (
    let atMs = 1_500;
    atMs < durationMs - 2_500 && kinds.length > 0;
    atMs += gapMs * random.between(0.8, 1.2)
  ) {
    if (round.length === 0) round = shuffled(kinds, random)
    const kind = round.pop()
    if (kind === undefined) break
    faults.push({
      atMs: Math.round(atMs),
      kind,
      victim: random.below(60),
      durationMs: Math.round(Math.min(drawDuration(kind, random), durationMs - atMs)),
    })
  }
  // To show that something goes wrong without the gateways, little is enough.
  const small = route !== 'gateway'
  return {
    seed,
    route,
    etcdMembers: small ? 1 : 3,
    gateways: small ? 1 : 3,
    holders: small
      ? ['orderly', 'stubborn', 'stubborn']
      : ['orderly', 'orderly', 'stubborn', 'stubborn', 'killable', 'flushable', 'foreign'],
    locks: Array.from({ length: small ? 2 : 8 }, (_, i) => `register/r${i + 1}`),
    faults,
    durationMs,
  }
}

function drawDuration(kind: FaultKind, random: Random): number {
  switch (kind) {
    case 'gateway-stop':
      if (random.chance(0.4)) return random.between(300, 2_500)
      // Past its lease; or so long that the others have stopped waiting for what it may have sent.
      return random.chance(0.5) ? random.between(3_000, 8_000) : random.between(9_000, 13_000)
    case 'holder-stop':
      return SESSION_SECONDS * 1_000 + random.between(1_000, 4_000)
    case 'cut-gateway-backend':
      return random.between(200, BACKEND_CUT_MS_MAX)
    case 'store-compaction':
      return random.between(500, 2_000)
    case 'gateway-kill':
    case 'gateway-end':
    case 'holder-kill':
    case 'etcd-kill':
    case 'order-fence':
      // How long nobody starts it again.
      return random.between(0, 2_000)
    default:
      return random.between(800, 6_000)
  }
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const left = [...items]
  const result: Item[] = []
  while (left.length > 0) result.push(...left.splice(random.below(left.length), 1))
  return result
}

export function describeScenario(scenario: Scenario): string {
  const { seed, route, etcdMembers, gateways, holders, locks, faults, durationMs } = scenario
  return [
    `seed ${seed}, ${durationMs / 1_000} s, calls go ${route === 'direct' ? 'straight to the backend' : route === 'shadow' ? 'through gateways that enforce nothing' : 'through the gateways'}`,
    `${etcdMembers} etcd members, ${gateways} gateways, holders: ${holders.join(', ')}; ${locks.length} locks`,
    ...faults.map(
      ({ atMs, kind, victim, durationMs: lastsMs }) =>
        `  ${(atMs / 1_000).toFixed(1).padStart(6)} s  ${kind.padEnd(26)} victim ${victim}, ${(lastsMs / 1_000).toFixed(1)} s`,
    ),
  ].join('\n')
}
