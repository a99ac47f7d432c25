// Runs one fence of this gateway's: from the claim, level by level, until the record is out of its hands.
// It must never strike without a provable claim, and never close a fence that was not verified.

import { isDeepStrictEqual } from 'node:util'
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
import type { Proof } from '../spi/fencer.ts'
import { StoreUnavailable } from '../spi/store.ts'
import { type AttemptResult, pause, runAttempt, wallTime } from './attempt.ts'
import { backoffMs, type PowerBrake } from './brakes.ts'
import { runDryAttempt } from './dry-attempt.ts'
import type { FencerDoubts } from './monitoring.ts'
import { crowdOf, isPower, stepFor } from './next-step.ts'
import type { Fencing } from './plans.ts'
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
  readonly signal: AbortSignal
}

const WRITE_RETRY_MS = 200
/** What a power driver may take to return after its attempt, before an operator has to look. */
const STRAGGLER_MS = 10_000
/** In shadow mode a fencer that does not answer holds up the next owner no longer than this. */
const SHADOW_LOOK_MS_MAX = 5_000
/** The same where the gateway stops. Past it the claim stays, and ends with the gateway's lease. */
const GIVE_BACK_MS = 2_000

export class FenceRun {
  readonly #options: FenceRunOptions
  readonly #startedMs: number
  #newest: JournaledFence | null = null
  /** What is being written: it may land although its answer is lost. */
  #wanted: FenceRecord | null = null
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
  }

  /** Somebody else has written since: an operator's word, or another gateway's claim. */
  isOverruledBy(viewed: JournaledFence): boolean {
    const isNewer = this.#newest !== null && viewed.modRevision > this.#newest.modRevision
    return isNewer && !this.#holds(viewed.record) && !isDeepStrictEqual(viewed.record, this.#wanted)
  }

  /** False where the fence was not had at all. Rejects with `StoreUnavailable`. */
  async run(): Promise<boolean> {
    const { signal } = this.#options
    try {
      while (!signal.aborted) {
        const current = this.#current()
        if (current === null || !(await this.#take(current))) break
      }
    } catch (error) {
      // Broken off while it waited for the seals.
      if (!signal.aborted || error instanceof InvariantViolation) throw error
    }
    if (signal.aborted) await this.#giveBack()
    return this.#newest !== null
  }

  /** The claim of a run that was broken off: another gateway need not wait until the claim's lease is over. */
  async #giveBack(): Promise<void> {
    const { clock, journal } = this.#options
    const current = this.#current()
    if (current === null || !this.#holds(current.record) || this.#isCutting) return
    // Power strikes whoever has the host by then: nobody else may go on while it can still come.
    const patience = new AbortController()
    const quiet = await Promise.race([
      Promise.all(this.#stragglers).then(() => true),
      pause(clock, GIVE_BACK_MS, patience.signal).then(() => false),
    ])
    patience.abort()
    const { record, modRevision } = this.#current() ?? current
    if (!quiet || record.progress.state !== 'running' || !this.#holds(record)) return
    const told = this.#seen === null ? record : attempted(record, this.#seen.attempts, this.#seen.proofs)
    await journal.replace(unclaimed(told, record.progress.level), modRevision)
  }

  /** One step; false where nothing more is to be done by this run. */
  async #take(current: JournaledFence): Promise<boolean> {
    const { journal } = this.#options
    const step = stepFor(this.#options, current.record, this.#progress, this.#enteredMs)
    switch (step.step) {
      case 'wait':
        return false
      case 'claim':
        return journal.mayStrike() && (await this.#claim(current, step.level))
      case 'attempt':
        return journal.mayStrike() && (await this.#attempt(current.record, step.level, step.fencers))
      case 'next-level': {
        const { level } = step
        const claim = { incarnation: journal.incarnation, lease: journal.lease }
        if ((await this.#write((record) => claimed(record, level, claim))) === null) return false
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
    const { journal } = this.#options
    // One run, one claim: after an operator's retry the next run begins anew.
    if (this.#newest !== null) return false
    const claim = { incarnation: journal.incarnation, lease: journal.lease }
    // One try, at exactly this revision: whoever is first has it.
    const taken = await journal.replace(claimed(current.record, level, claim), current.modRevision)
    if (taken === null) return false
    this.#newest = taken
    this.#enter(level)
    this.#emit({ type: 'fence.started', detail: `plan ${current.record.plan ?? '-'}, level ${level + 1}` })
    return true
  }

  #enter(level: number): void {
    this.#progress = { level, failedRounds: 0, verified: [] }
    this.#enteredMs = this.#options.clock.monotonicMs()
  }

  async #attempt(record: FenceRecord, level: number, names: readonly string[]): Promise<boolean> {
    const { clock, fencing, journal, random, signal } = this.#options
    const settings = fencing.settings(record.plan)
    const firstNumber = nextAttemptNumber(record)
    this.#isCutting = names.some((name) => {
      const configured = fencing.fencer(name)
      return configured !== null && isPower(configured)
    })
    const results: AttemptResult[] = []
    const provesOf = (name: string) => fencing.fencer(name)?.proves ?? []
    for (const group of inOrder(names, provesOf)) {
      // A sweep now would have to be made again after the block: it comes with the next round.
      if (results.some(({ attempt, proof }) => proof === null && provesOf(attempt.fencer).includes('blocks')))
        break
      const firstOfGroup = firstNumber + results.length
      const attempts = group.map((name, index) => this.#attemptOf(name, record, level, firstOfGroup + index))
      results.push(...(await Promise.all(attempts)))
    }
    this.#isCutting = false
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
    if ((await this.#write((newest) => attempted(newest, attempts, proofs))) === null) return false
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

  async #attemptOf(name: string, record: FenceRecord, level: number, number: number): Promise<AttemptResult> {
    const { clock, fencing, journal, power, signal } = this.#options
    const configured = fencing.fencer(name)
    if (configured === null) return notConfigured(name, level, number, clock)
    const timeoutMs = fencing.settings(record.plan).timeoutMs
    if (record.dryRun === true) {
      const looking = record.shadow === true ? Math.min(timeoutMs, SHADOW_LOOK_MS_MAX) : timeoutMs
      return runDryAttempt({ configured, record, level, number, timeoutMs: looking, clock, signal })
    }
    const others = isPower(configured) ? (journal.neighbours?.(record) ?? []) : []
    if (isPower(configured))
      power.count({ plan: record.plan, fence: record.id, fencer: name, attempt: number })
    const result = await runAttempt({
      configured,
      preface: others.length === 0 ? null : crowdOf(others),
      record,
      level,
      number,
      timeoutMs,
      clock,
      signal,
      mayStrike: () => journal.mayStrike(),
      sealedEverywhere: (aborted) => journal.sealedEverywhere(record.id, aborted),
    })
    if (isPower(configured)) this.#stragglers.push(result.over)
    return result
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
    if ((await this.#write((record) => closedAsFenced(record, wallTime(clock)))) === null) return
    const durationMs = clock.monotonicMs() - this.#startedMs
    this.#emit({ type: 'fence.closed', verdict: 'fenced', durationMs })
  }

  async #closeUnfenced(reason: string): Promise<void> {
    const closedAt = wallTime(this.#options.clock)
    if ((await this.#write((record) => closedAsUnfenced(record, closedAt, reason))) === null) return
    this.#emit({ type: 'fence.closed', verdict: 'unfenced', detail: reason })
  }

  async #block(reason: string): Promise<void> {
    const written = await this.#write((record) => blockedFor(record, reason))
    if (written !== null) this.#emit({ type: 'fence.blocked', detail: reason })
  }

  async #hold(reason: string): Promise<void> {
    const written = await this.#write((record) => heldFor(record, reason))
    if (written !== null) this.#emit({ type: 'fence.held', detail: reason })
  }

  /**
   * Writes a change over whatever the record is now, as long as the claim in it is this gateway's; null where it is not.
   * Where the answer was lost, the record shows what became of the write, and every change may be made twice.
   */
  async #write(change: (record: FenceRecord) => FenceRecord): Promise<JournaledFence | null> {
    const { clock, journal, signal } = this.#options
    this.#wanted = null
    while (!signal.aborted) {
      const base = this.#current()
      if (base === null) return null
      if (isDeepStrictEqual(base.record, this.#wanted)) {
        this.#newest = base
        return base
      }
      if (!this.#holds(base.record)) return null
      const next = change(base.record)
      this.#wanted = next
      try {
        const written = await journal.replace(next, base.modRevision)
        if (written !== null) {
          this.#newest = written
          return written
        }
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
      }
      await pause(clock, WRITE_RETRY_MS, signal)
    }
    return null
  }

  #holds({ progress }: FenceRecord): boolean {
    return progress.state === 'running' && progress.claim.incarnation === this.#options.journal.incarnation
  }

  /** The view may be behind what this gateway has just written itself. */
  #current(): JournaledFence | null {
    const viewed = this.#options.journal.get(this.#options.id)
    const own = this.#newest
    if (viewed === null || own === null) return viewed
    return viewed.modRevision >= own.modRevision ? viewed : own
  }

  #emit(event: Omit<GatewayEvent, 'fence' | 'session'>): void {
    const { events, id } = this.#options
    events({ ...event, fence: id, session: id })
  }
}

/**
 * All at once, but for sweeps beside a block: what arrives at the backend after the sweep and before the block would be
 * covered by neither, so the sweep begins once the block has been seen.
 */
function inOrder(
  names: readonly string[],
  provesOf: (name: string) => readonly Proof[],
): readonly (readonly string[])[] {
  const isSweep = (name: string) => provesOf(name).includes('swept') && !provesOf(name).includes('blocks')
  if (!names.some((name) => provesOf(name).includes('blocks'))) return [names]
  return [names.filter((name) => !isSweep(name)), names.filter(isSweep)]
}

function notConfigured(name: string, level: number, number: number, clock: Clock): AttemptResult {
  const now = wallTime(clock)
  const output = `there is no fencer ${name} in this gateway's configuration`
  return {
    attempt: { level, fencer: name, number, startedAt: now, endedAt: now, outcome: 'refused', output },
    proof: null,
    durationMs: 0,
    over: Promise.resolve(),
  }
}
