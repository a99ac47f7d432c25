// Runs one fence of this gateway's: from the claim, level by level, until the record is out of its hands.
// It must never strike without a provable claim, and never close a fence that was not verified.

import type { FenceAttempt, FenceProof, FenceRecord } from '../core/fence-record.ts'
import {
  attempted,
  blockedFor,
  claimed,
  closedAsFenced,
  closedAsUnfenced,
  heldFor,
  type LevelProgress,
  nextAttemptNumber,
  unclaimed,
} from '../core/fence-sequence.ts'
import { InvariantViolation } from '../core/invariant.ts'
import type { StormLimits } from '../core/storm.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink, GatewayEvent } from '../spi/events.ts'
import type { FenceJournal, JournaledFence } from '../spi/fence-journal.ts'
import { pause, wallTime } from './attempt.ts'
import { backoffMs, type PowerBrake } from './brakes.ts'
import { ClaimedRecord } from './claimed-record.ts'
import type { FencerDoubts } from './monitoring.ts'
import { isPower, stepFor } from './next-step.ts'
import type { Fencing } from './plans.ts'
import { runRound } from './round.ts'
import type { RunningOrder } from './running-order.ts'
import type { StormWatch } from './storm-watch.ts'

export interface SequencerOptions {
  readonly journal: FenceJournal
  readonly fencing: Fencing
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly events: EventSink
  /** When expiries are a storm; what strikes a holder himself then waits for an operator. */
  readonly storm?: StormLimits
  /** Absent: nothing is known of any fencer's health. */
  readonly doubts?: FencerDoubts
  /** What no record can show: a fence that stopped short, to be taken up again. For the log. */
  readonly onFault?: (message: string) => void
}

export interface FenceRunOptions extends SequencerOptions {
  readonly id: string
  readonly power: PowerBrake
  readonly storms: StormWatch
  readonly order: RunningOrder
  /** Whether as many fences of the plan as it allows at once were claimed before this one, by all gateways. */
  readonly isCrowded: (record: FenceRecord) => boolean
  readonly signal: AbortSignal
}

/** What a power driver may take to return after its attempt, before an operator has to look. */
const STRAGGLER_MS = 10_000
/** The same where the gateway stops. Past it the claim stays, and ends with the gateway's lease. */
const GIVE_BACK_MS = 2_000

/** Until it is looked again whether the view holds what this gateway has written. */
const VIEW_LAGS_MS = 100

/** Until a claim that was given back is tried again; jittered, so that two gateways do not reach for the next place together. */
const CLAIM_AGAIN_MS = 200

export class FenceRun {
  readonly #options: FenceRunOptions
  readonly #startedMs: number
  readonly #record: ClaimedRecord
  #progress: LevelProgress | null = null
  /** When this run came to its present level; a gateway that takes a fence over begins the level's delay anew. */
  #enteredMs = 0
  /** Actions of power fencers, which may outlast their attempts. */
  readonly #stragglers: Promise<void>[] = []
  /** A power fencer is at work, and nobody knows yet when its action is over. */
  #isCutting = false
  /** Of the latest attempts; a run that is broken off has not written them yet. */
  #seen: { readonly attempts: readonly FenceAttempt[]; readonly proofs: readonly FenceProof[] } | null = null

  constructor(options: FenceRunOptions) {
    this.#options = options
    this.#startedMs = options.clock.monotonicMs()
    this.#record = new ClaimedRecord(options)
  }

  /** Somebody else has written since: an operator's word, or another gateway's claim. */
  isOverruledBy(viewed: JournaledFence): boolean {
    return this.#record.isOverruledBy(viewed)
  }

  /** False where the fence was not had at all. Rejects with `StoreUnavailable`. */
  async run(): Promise<boolean> {
    const { signal } = this.#options
    try {
      while (!signal.aborted) {
        const current = this.#record.current()
        if (current === null || !(await this.#take(current))) break
      }
    } catch (error) {
      // Broken off while it waited for the seals.
      if (!signal.aborted || error instanceof InvariantViolation) throw error
    }
    if (signal.aborted) await this.#giveBack()
    return this.#record.wasClaimed
  }

  /** The claim of a run that was broken off: another gateway need not wait until the claim's lease is over. */
  async #giveBack(): Promise<void> {
    const { clock, journal } = this.#options
    const current = this.#record.current()
    if (current === null || !this.#record.holds(current.record) || this.#isCutting) return
    // Power strikes whoever has the host by then: nobody else may go on while it can still come.
    const patience = new AbortController()
    const quiet = await Promise.race([
      Promise.all(this.#stragglers).then(() => true),
      pause(clock, GIVE_BACK_MS, patience.signal).then(() => false),
    ])
    patience.abort()
    const { record, modRevision } = this.#record.current() ?? current
    if (!quiet || record.progress.state !== 'running' || !this.#record.holds(record)) return
    const told = this.#seen === null ? record : attempted(record, this.#seen.attempts, this.#seen.proofs)
    await journal.replace(unclaimed(told, record.progress.level), modRevision)
  }

  /** One step; false where nothing more is to be done by this run. */
  async #take(current: JournaledFence): Promise<boolean> {
    const { journal } = this.#options
    this.#options.order.look(journal.list())
    const step = stepFor(this.#options, current.record, this.#progress, this.#enteredMs)
    switch (step.step) {
      case 'wait':
        return false
      case 'claim':
        return journal.mayStrike() && (await this.#claim(current, step.level))
      case 'attempt':
        // The brakes go by what others do; who has not seen himself has not seen them.
        if (!this.#record.isSeen) return await this.#awaitSight()
        return journal.mayStrike() && (await this.#attempt(current.record, step.level, step.fencers))
      case 'next-level': {
        const { level } = step
        const claim = { incarnation: journal.incarnation, lease: journal.lease }
        if ((await this.#record.write((record) => claimed(record, level, claim))) === null) return false
        this.#enter(level)
        return true
      }
      case 'close':
        await this.#close()
        return false
      case 'close-unfenced':
        await this.#closeUnfenced(step.reason)
        return false
      case 'block':
        await this.#block(step.reason)
        return false
      case 'hold':
        await this.#hold(step.reason)
        return false
      case 'settle':
        await pause(this.#options.clock, step.ms, this.#options.signal)
        return true
    }
  }

  async #claim(current: JournaledFence, level: number): Promise<boolean> {
    if (!(await this.#record.claim(current, level))) return false
    while (!this.#record.isSeen) if (!(await this.#awaitSight())) return false
    // Two gateways may have claimed at once. Whose claim came too late gives it back, before anybody was struck.
    if (this.#options.isCrowded(current.record)) {
      await this.#record.write((record) => unclaimed(record, level))
      const { clock, random, signal } = this.#options
      await pause(clock, CLAIM_AGAIN_MS * (1 + random()), signal)
      return false
    }
    this.#enter(level)
    this.#emit({ type: 'fence.started', detail: `plan ${current.record.plan ?? '-'}, level ${level + 1}` })
    return true
  }

  /** False where there is nothing to wait for. */
  async #awaitSight(): Promise<boolean> {
    const { clock, journal, signal } = this.#options
    await pause(clock, VIEW_LAGS_MS, signal)
    return !signal.aborted && journal.mayStrike()
  }

  #enter(level: number): void {
    this.#progress = { level, failedRounds: 0, verified: [] }
    this.#enteredMs = this.#options.clock.monotonicMs()
  }

  async #attempt(record: FenceRecord, level: number, names: readonly string[]): Promise<boolean> {
    const { clock, fencing, journal, random, signal } = this.#options
    const settings = fencing.settings(record.plan)
    const firstNumber = nextAttemptNumber(record)
    this.#isCutting = names.some((name) => this.#cuts(name))
    const results = await runRound(this.#options, { record, level, names, firstNumber })
    this.#isCutting = false
    for (const { attempt, over } of results)
      if (this.#cuts(attempt.fencer) && record.dryRun !== true) this.#stragglers.push(over)
    for (const { attempt, durationMs } of results) {
      const lastLine = attempt.output.split('\n').at(-1) ?? ''
      const detail = `${attempt.fencer}: ${lastLine}`.slice(0, 500)
      const { fencer, outcome: verdict } = attempt
      this.#emit({ type: 'fence.attempted', fencer, verdict, detail, durationMs })
    }
    for (const { attempt } of results)
      if (attempt.outcome === 'failed' || attempt.outcome === 'timed-out' || attempt.outcome === 'unknown')
        this.#options.doubts?.doubt(attempt.fencer)
    const proofs = results.flatMap(({ proof }) => (proof === null ? [] : [proof]))
    const attempts = results.map(({ attempt }) => attempt)
    this.#seen = { attempts, proofs }
    if ((await this.#record.write((newest) => attempted(newest, attempts, proofs))) === null) return false
    const failed = proofs.length < names.length
    // A round in which the claim could not be proven is no fencer's failure, and leads to no stronger one.
    if (this.#progress === null || (failed && !journal.mayStrike())) return false
    const verified = [...this.#progress.verified, ...proofs.map((proof) => proof.fencer)]
    const failedRounds = this.#progress.failedRounds + (failed ? 1 : 0)
    this.#progress = { level, failedRounds, verified }
    if (failed && failedRounds < settings.attempts && record.dryRun !== true) {
      await pause(clock, backoffMs(failedRounds, settings.brakes, random), signal)
    }
    return true
  }

  #cuts(name: string): boolean {
    const configured = this.#options.fencing.fencer(name)
    return configured !== null && isPower(configured)
  }

  async #close(): Promise<void> {
    const { clock, signal } = this.#options
    // Power cannot be guarded by an incarnation: the host's locks stay closed until nothing can strike it any more.
    const patience = new AbortController()
    const quiet = await Promise.race([
      Promise.all(this.#stragglers).then(() => true),
      pause(clock, STRAGGLER_MS, AbortSignal.any([signal, patience.signal])).then(() => false),
    ])
    patience.abort()
    if (signal.aborted) return
    if (!quiet) {
      await this.#block(
        'a power fencer has not returned and may still strike; see that it is over, then confirm or retry',
      )
      return
    }
    if (
      (await this.#record.write((record) => this.#settled(closedAsFenced(record, wallTime(clock))))) === null
    )
      return
    const durationMs = clock.monotonicMs() - this.#startedMs
    this.#emit({ type: 'fence.closed', verdict: 'fenced', durationMs })
  }

  async #closeUnfenced(reason: string): Promise<void> {
    const closedAt = wallTime(this.#options.clock)
    if (
      (await this.#record.write((record) => this.#settled(closedAsUnfenced(record, closedAt, reason)))) ===
      null
    )
      return
    this.#emit({ type: 'fence.closed', verdict: 'unfenced', detail: reason })
  }

  /** What is closed is kept for people: nobody needs the secrets in it any more. */
  #settled(record: FenceRecord): FenceRecord {
    return { ...record, fenceInfo: this.#options.fencing.secrets.removed(record.fenceInfo) }
  }

  async #block(reason: string): Promise<void> {
    const written = await this.#record.write((record) => blockedFor(record, reason))
    if (written !== null) this.#emit({ type: 'fence.blocked', detail: reason })
  }

  async #hold(reason: string): Promise<void> {
    const written = await this.#record.write((record) => heldFor(record, reason))
    if (written !== null) this.#emit({ type: 'fence.held', detail: reason })
  }

  #emit(event: Omit<GatewayEvent, 'fence' | 'session'>): void {
    const { events, id } = this.#options
    events({ ...event, fence: id, session: id })
  }
}
