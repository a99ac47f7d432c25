// The drain of a sealed grant over all gateways: our own ledger, what live gateways report in their watermarks, and what
// gateways that are gone may have left behind. Facts only; the handover decides what they are worth.

import type { DrainFacts } from '../core/handover.ts'
import { invariant } from '../core/invariant.ts'
import { overdueJobs } from '../core/lock-record.ts'
import type { IncarnationId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { Ledger, LedgerCall } from './ledger.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import { type OpenEntry, OpenIndex, openList } from './open-list.ts'
import type { Watermark } from './records.ts'
import type { KnownGateway, View } from './view.ts'

/** What a gateway may still have sent after its lease was gone, on top of the quiet time. */
export const GONE_MARGIN_MS = 1_000

export interface BarrierOptions {
  readonly view: View
  readonly ledger: Ledger
  readonly clock: Clock
  /** Of this process now; its own record is answered for by the ledger. */
  readonly self: () => IncarnationId
}

type Vouched = ReadonlySet<IncarnationId>

/** One gateway that has, or may have had, calls open of which nobody knows what became of them. */
export interface UnknownCalls {
  readonly incarnation: IncarnationId
  readonly name: string
  /** Null where only the gateway itself could have counted them. */
  readonly calls: number | null
}

export class Barrier {
  readonly #options: BarrierOptions
  /** When we first knew that an incarnation is gone. Monotonic, so a restart counts anew: later, never earlier. */
  readonly #goneSinceMs = new Map<string, number>()
  readonly #reported = new WeakMap<Watermark, OpenIndex>()

  constructor(options: BarrierOptions) {
    this.#options = options
  }

  /** Other incarnations that may have calls open, and whose lease is over. */
  gone(): KnownGateway[] {
    const { view } = this.#options
    const self = this.#options.self()
    const gone: KnownGateway[] = []
    for (const gateway of view.gateways.values())
      if (
        gateway.incarnation !== self &&
        (gateway.record.state === 'gone' || !view.watermarks.has(gateway.incarnation))
      )
        gone.push(gateway)
    return gone
  }

  /** To be called at each change of the gateways: starts the clocks of those that are gone. */
  note(): void {
    const nowMs = this.#options.clock.monotonicMs()
    const gone = new Set<string>()
    for (const gateway of this.gone()) {
      gone.add(gateway.incarnation)
      if (!this.#goneSinceMs.has(gateway.incarnation)) this.#goneSinceMs.set(gateway.incarnation, nowMs)
    }
    for (const known of this.#goneSinceMs.keys()) if (!gone.has(known)) this.#goneSinceMs.delete(known)
  }

  /** Remaining quiet time of a gateway that is gone; null where it has none. */
  quietRemainingMs(gateway: KnownGateway): number | null {
    const { quietMs } = gateway.record
    if (quietMs === null) return null
    const nowMs = this.#options.clock.monotonicMs()
    const sinceMs = this.#goneSinceMs.get(gateway.incarnation) ?? nowMs
    return Math.max(0, sinceMs + GONE_MARGIN_MS + quietMs - nowMs)
  }

  /** `sealRevision`: at which the record shows the grant sealed. `vouched`: whose unknown calls an operator answers for. */
  drain(grant: LiveGrant, sealRevision: number, vouched: Vouched): DrainFacts {
    return this.#overAll(grant, sealRevision, this.#options.ledger.drain(grant), vouched)
  }

  /** Of a downgraded grant: of the calls that need it as it was. */
  formerDrain(grant: LiveGrant, vouched: Vouched): DrainFacts {
    const { narrowRevision } = grant
    invariant(
      narrowRevision > 0,
      `grant ${grant.createRevision} was asked for a downgrade that it had not seen`,
    )
    return this.#overAll(grant, narrowRevision, this.#options.ledger.formerDrain(grant), vouched)
  }

  /**
   * Whose calls under a sealed or downgraded grant are unknown or overdue jobs, to the last: what each of these may have
   * open has only ever become less since then, as nothing is admitted under the grant any more. So an operator's word can
   * name them.
   */
  unknown(grant: LiveGrant): UnknownCalls[] {
    const { view, ledger, self } = this.#options
    const revision = grant.sealRevision > 0 ? grant.sealRevision : grant.narrowRevision
    if (revision === 0) return []
    const found: UnknownCalls[] = []
    const own = grant.sealRevision > 0 ? ledger.drain(grant) : ledger.formerDrain(grant)
    const incarnation = self()
    if (canBeVouchedFor(own))
      found.push({ incarnation, name: view.gateways.get(incarnation)?.record.name ?? '', calls: own.calls })
    for (const gateway of view.gateways.values()) {
      if (gateway.incarnation === incarnation) continue
      const facts = this.#theirs(gateway, grant, revision)
      // Just gone: it may be sending what it had admitted.
      if (!canBeVouchedFor(facts) || this.#mayStillSend(gateway)) continue
      found.push({ incarnation: gateway.incarnation, name: gateway.record.name, calls: null })
    }
    return found
  }

  /** This gateway's own calls that are jobs past the drain limit, where they are all that ends by itself. */
  ownOverdue(grant: LiveGrant | null): readonly LedgerCall[] {
    if (grant === null || (!grant.sealed && grant.narrowRevision === 0)) return []
    const { ledger } = this.#options
    const own = grant.sealed ? ledger.drain(grant) : ledger.formerDrain(grant)
    if (own.state !== 'overdue') return []
    return grant.calls.filter((call) => call.state.kind === 'job' && (grant.sealed || !call.coveredBy(grant)))
  }

  #mayStillSend({ incarnation }: KnownGateway): boolean {
    if (this.#options.view.watermarks.has(incarnation)) return false
    const sinceMs = this.#goneSinceMs.get(incarnation)
    return sinceMs === undefined || this.#options.clock.monotonicMs() < sinceMs + GONE_MARGIN_MS
  }

  #overAll(grant: LiveGrant, sealRevision: number, own: DrainFacts, vouched: Vouched): DrainFacts {
    const self = this.#options.self()
    let facts = answeredFor(own, vouched.has(self))
    for (const gateway of this.#options.view.gateways.values()) {
      if (gateway.incarnation === self) continue
      const theirs = this.#theirs(gateway, grant, sealRevision)
      facts = combine(facts, answeredFor(theirs, vouched.has(gateway.incarnation)))
    }
    return facts
  }

  /** What the seal of this grant may say of this gateway, which admits nothing under it any more: that it has drained. */
  ownWord(grant: LiveGrant | null): readonly IncarnationId[] {
    if (grant === null || !grant.sealed) return []
    return this.#options.ledger.drain(grant).state === 'ended' ? [this.#options.self()] : []
  }

  /** Whether the seal says so of this gateway: then nobody waits for more. */
  saidInSeal(grant: LiveGrant | null): boolean {
    return grant !== null && wordsInSeal(grant).includes(this.#options.self())
  }

  #theirs(gateway: KnownGateway, grant: LiveGrant, sealRevision: number): DrainFacts {
    if (wordsInSeal(grant).includes(gateway.incarnation)) return { state: 'ended' }
    // Whoever registered after the seal has loaded a snapshot that holds it. It need not have reported, but what it
    // reports counts: a process that came back has the calls of its former self still open.
    return gateway.createRevision > sealRevision
      ? this.#reportedOpen(gateway, grant)
      : this.#report(gateway, grant, sealRevision)
  }

  /**
   * What our next watermark says of these locks; one tick, so revision and exceptions are one snapshot. Null: of all, as
   * long as nothing has been loaded since the registration. Others do not wait until such a gateway has reported their
   * seals, so whatever it still has open under any grant has to be named from its first watermark on.
   */
  ownReport(handovers: Iterable<LockState> | null): Omit<Watermark, 'beat'> {
    const { view, ledger } = this.#options
    const open: OpenEntry[] = []
    const isBlind = handovers === null
    for (const lock of handovers ?? (ledger.open === 0 ? [] : view.locks.values()))
      for (const grant of lock.live) {
        // What cannot be read may be a seal: others, who can, wait for our word about it.
        const all = isBlind || grant.sealed || lock.damage !== null
        if (!all && grant.narrowRevision === 0) continue
        const drain = all ? ledger.drain(grant) : ledger.formerDrain(grant)
        if (drain.state === 'draining' || drain.state === 'overdue')
          open.push([lock.name, grant.createRevision, 'draining'])
        else if (drain.state === 'unknown' && !drain.quietOver)
          open.push([lock.name, grant.createRevision, 'unknown'])
      }
    return { sealed: view.applied, ...openList(open) }
  }

  #report(gateway: KnownGateway, grant: LiveGrant, sealRevision: number): DrainFacts {
    const { view } = this.#options
    if (gateway.record.state === 'gone') {
      if (grant.createRevision > gateway.modRevision) return { state: 'ended' }
      const remaining = this.quietRemainingMs(gateway)
      return {
        state: 'unknown',
        calls: 1,
        quietOver: remaining === 0,
        quietRemainingMs: remaining,
        detail: `gateway ${gateway.record.name} (${gateway.incarnation}) is gone and may have had calls open`,
      }
    }
    const watermark = view.watermarks.get(gateway.incarnation)
    if (watermark === undefined && !gateway.readable)
      return {
        state: 'unknown',
        calls: 1,
        quietOver: false,
        quietRemainingMs: null,
        detail: `gateway ${gateway.incarnation} is gone, and its record cannot be read by this version of the gateway`,
      }
    if (watermark === undefined)
      return { state: 'draining', calls: 1, detail: `gateway ${gateway.record.name} has lost its lease` }
    if (watermark.sealed < sealRevision)
      return {
        state: 'draining',
        calls: 1,
        detail: `gateway ${gateway.record.name} has not reported the seal yet`,
      }
    return this.#reportedOpen(gateway, grant)
  }

  #reportedOpen(gateway: KnownGateway, grant: LiveGrant): DrainFacts {
    const watermark = this.#options.view.watermarks.get(gateway.incarnation)
    const how = watermark === undefined ? null : this.#openIn(watermark).how(grant)
    if (how === null) return { state: 'ended' }
    const detail = `gateway ${gateway.record.name} has calls open`
    if (how === 'draining') return overdueThere(gateway, grant) ?? { state: 'draining', calls: 1, detail }
    return { state: 'unknown', calls: 1, quietOver: false, quietRemainingMs: 'counted-elsewhere', detail }
  }

  /** A watermark may name very many, and each of their handovers asks. */
  #openIn(watermark: Watermark): OpenIndex {
    let open = this.#reported.get(watermark)
    if (open === undefined) {
      open = new OpenIndex(watermark)
      this.#reported.set(watermark, open)
    }
    return open
  }
}

function wordsInSeal({ lock, createRevision }: LiveGrant): readonly IncarnationId[] {
  const recorded = lock.record?.grants.find((other) => other.createRevision === createRevision)
  return (recorded?.state === 'sealed' ? recorded.drainedAt : undefined) ?? []
}

/** A gateway that has recorded its overdue jobs has nothing else open that ends by itself. */
function overdueThere({ incarnation, record }: KnownGateway, grant: LiveGrant): DrainFacts | null {
  const recorded = grant.lock.record?.grants.find((other) => other.createRevision === grant.createRevision)
  const jobs = recorded === undefined ? [] : overdueJobs(recorded, incarnation)
  if (jobs.length === 0) return null
  const named = jobs.map(({ backend, job }) => `${job} at ${backend}`).join(', ')
  return {
    state: 'overdue',
    calls: jobs.length,
    detail: `gateway ${record.name} watches ${named}, which is not over past the drain limit`,
  }
}

function canBeVouchedFor(facts: DrainFacts): facts is Extract<DrainFacts, { state: 'unknown' | 'overdue' }> {
  return facts.state === 'overdue' || (facts.state === 'unknown' && !facts.quietOver)
}

/** An operator's word stands for what nobody sees end in time, never for what has just been sent. */
function answeredFor(facts: DrainFacts, isVouched: boolean): DrainFacts {
  return isVouched && (facts.state === 'unknown' || facts.state === 'overdue') ? { state: 'ended' } : facts
}

function combine(a: DrainFacts, b: DrainFacts): DrainFacts {
  if (a.state === 'ended') return b
  if (b.state === 'ended') return a
  if (a.state === 'draining' && b.state === 'draining') return { ...a, calls: a.calls + b.calls }
  if (a.state === 'draining') return a
  if (b.state === 'draining') return b
  if (a.state === 'overdue') return b.state === 'overdue' ? { ...a, calls: a.calls + b.calls } : a
  if (b.state === 'overdue') return b
  return {
    state: 'unknown',
    calls: a.calls + b.calls,
    quietOver: a.quietOver && b.quietOver,
    quietRemainingMs: longer(a.quietRemainingMs, b.quietRemainingMs),
    detail: a.detail,
  }
}

type Quiet = Extract<DrainFacts, { state: 'unknown' }>['quietRemainingMs']

function longer(a: Quiet, b: Quiet): Quiet {
  if (a === null || b === null) return null
  return typeof a === 'number' && typeof b === 'number' ? Math.max(a, b) : 'counted-elsewhere'
}
