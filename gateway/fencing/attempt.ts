// One attempt of one fencer: acts, waits for the seal where its proof needs that, then looks until it has seen the
// holder harmless or its time is over. It takes nobody's word: not the driver's, not an exit code's.

import type { FenceAttempt, FenceCallback, FenceProof, FenceRecord } from '../core/fence-record.ts'
import { SEAL_NOT_AWAITED } from '../core/fence-sequence.ts'
import type { Revision } from '../core/names.ts'
import { describeIssues, schemaWords } from '../core/schema-words.ts'
import type { Clock } from '../spi/clock.ts'
import { type Attempt, type Evidence, StrikeWithheld, type Verification } from '../spi/fencer.ts'
import type { ConfiguredFencer } from './plans.ts'

export interface AttemptRequest {
  readonly configured: ConfiguredFencer
  readonly record: FenceRecord
  readonly level: number
  readonly number: number
  readonly timeoutMs: number
  /** Goes on record before what the driver notes; null where there is nothing to say. */
  readonly preface?: string | null
  readonly clock: Clock
  /** Aborted when the fence is not this gateway's to run any more. */
  readonly signal: AbortSignal
  /** What has been called back about the fence by now. Absent: nothing can be. */
  readonly callbacks?: () => readonly FenceCallback[]
  /** Of the journal: whether the claim is provably held. */
  mayStrike(): boolean
  sealedEverywhere(signal: AbortSignal): Promise<Revision>
}

export interface AttemptResult {
  readonly attempt: FenceAttempt
  readonly proof: FenceProof | null
  readonly durationMs: number
  /** Settles when the driver's `fence` has returned, which may be long after the attempt: it may still strike. */
  readonly over: Promise<void>
}

export const OUTPUT_MAX = 4_096
const EVIDENCE_MAX = 1_024
const POLL_MS_MIN = 100
const POLL_MS_MAX = 2_000
/** How often the claim is checked while a driver works: what it does in between, it guards with `mayStrike`. */
const CLAIM_CHECK_MS = 100
/** Looks after an action that failed: the target may be gone all the same, and some go a moment later. */
const LOOKS_AFTER_FAILURE = 3

type Conclusion =
  | { readonly outcome: 'verified'; readonly evidence: Evidence; readonly sealedThrough: Revision }
  | { readonly outcome: 'failed' | 'timed-out' | 'unknown' | 'refused'; readonly reason: string }

/** Rejects only where `sealedEverywhere` does: then nothing is known of the fencer, and nothing goes on record. */
export async function runAttempt(request: AttemptRequest): Promise<AttemptResult> {
  const { configured, record, clock } = request
  const startedMs = clock.monotonicMs()
  const startedAt = wallTime(clock)
  const lines: string[] = []
  const note = (line: string): void => {
    if (lines.length < 200) lines.push(configured.redact(line).slice(0, OUTPUT_MAX))
  }
  if (request.preface !== undefined && request.preface !== null) note(request.preface)
  const over = Promise.withResolvers<void>()
  const parsed = configured.driver.fenceInfo.safeParse(record.fenceInfo, { error: schemaWords })
  let conclusion: Conclusion
  if (parsed.success) {
    conclusion = await conclude(request, parsed.data, note, () => over.resolve())
  } else {
    over.resolve()
    conclusion = {
      outcome: 'refused',
      reason: `the fenceInfo does not say whom to strike: ${describeIssues(parsed.error.issues)}`,
    }
  }
  if (conclusion.outcome !== 'verified') note(conclusion.reason)
  const endedAt = wallTime(clock)
  return {
    attempt: {
      level: request.level,
      fencer: configured.name,
      number: request.number,
      startedAt,
      endedAt,
      outcome: conclusion.outcome,
      output: bounded(lines.join('\n')),
    },
    proof:
      conclusion.outcome === 'verified'
        ? {
            fencer: configured.name,
            proves: configured.proves,
            sealedThrough: conclusion.sealedThrough,
            observedAt: endedAt,
            observed: configured.redact(conclusion.evidence.observed).slice(0, EVIDENCE_MAX),
            request: configured.redact(conclusion.evidence.request).slice(0, EVIDENCE_MAX),
          }
        : null,
    durationMs: clock.monotonicMs() - startedMs,
    over: over.promise,
  }
}

async function conclude(
  request: AttemptRequest,
  info: unknown,
  note: (line: string) => void,
  actionIsOver: () => void,
): Promise<Conclusion> {
  const { clock, configured, timeoutMs } = request
  const acting = phase(request, timeoutMs, note)
  const startedMs = clock.monotonicMs()
  let failure: string | null = null
  try {
    if (!acting.attempt.mayStrike()) {
      actionIsOver()
      return { outcome: 'refused', reason: 'the claim could not be proven any more: nothing was struck' }
    }
    const action = invoke(() => configured.fencer.fence(info, acting.attempt))
    action.then(actionIsOver, actionIsOver)
    await orAborted(action, acting.attempt.signal)
  } catch (error) {
    failure = reasonOf(error)
    if (error instanceof StrikeWithheld && !acting.timedOut()) return { outcome: 'refused', reason: failure }
    if (acting.attempt.signal.aborted)
      return { outcome: acting.timedOut() ? 'timed-out' : 'refused', reason: failure }
    note(`the action failed: ${failure}`)
  } finally {
    acting.end()
  }
  // The rest of the attempt's time; the wait for the seal is the gateways' and does not use it up.
  const remainingMs = Math.max(0, timeoutMs - (clock.monotonicMs() - startedMs))

  let sealedThrough = SEAL_NOT_AWAITED
  if (configured.proves.some((proof) => proof !== 'no-new-calls')) {
    // Where the seal cannot be learned, no fencer has failed: the attempt as a whole comes to nothing.
    sealedThrough = await request.sealedEverywhere(request.signal)
  }
  const looking = phase(request, remainingMs, note)
  try {
    return await look(request, info, looking, failure, sealedThrough)
  } finally {
    looking.end()
  }
}

async function look(
  request: AttemptRequest,
  info: unknown,
  looking: Phase,
  failure: string | null,
  sealedThrough: Revision,
): Promise<Conclusion> {
  const { clock, configured } = request
  let pollMs = POLL_MS_MIN
  let last: Verification = { state: 'unknown', reason: 'the time was over before anything was seen' }
  for (let looks = 1; ; looks++) {
    try {
      const verification = invoke(() => configured.fencer.verify(info, looking.attempt))
      last = await orAborted(verification, looking.attempt.signal)
      // What was seen after the deadline was seen too late to count for this attempt.
      if (last.state === 'fenced' && !looking.isOver()) {
        return { outcome: 'verified', evidence: last.evidence, sealedThrough }
      }
    } catch (error) {
      if (!looking.attempt.signal.aborted) last = { state: 'unknown', reason: reasonOf(error) }
    }
    const seen = last.state === 'fenced' ? 'it was seen too late' : last.reason
    if (looking.isOver()) {
      if (!looking.timedOut())
        return { outcome: 'refused', reason: `the attempt was broken off; last seen: ${seen}` }
      const outcome = last.state === 'unknown' ? 'unknown' : 'timed-out'
      return { outcome, reason: `the time of the attempt is over; last seen: ${seen}` }
    }
    if (failure !== null && looks >= LOOKS_AFTER_FAILURE)
      return { outcome: 'failed', reason: `${failure} (${seen})` }
    await pause(clock, pollMs, looking.attempt.signal)
    pollMs = Math.min(POLL_MS_MAX, pollMs * 1.5)
  }
}

interface Phase {
  readonly attempt: Attempt
  isOver(): boolean
  timedOut(): boolean
  end(): void
}

/** A stretch of an attempt with a hard deadline, broken off where the claim is lost. */
function phase(request: AttemptRequest, lengthMs: number, note: (line: string) => void): Phase {
  const { callbacks, clock, record } = request
  const deadlineMs = clock.monotonicMs() + lengthMs
  const controller = new AbortController()
  const isPast = (): boolean => clock.monotonicMs() >= deadlineMs
  const breakOff = (reason: string): void => controller.abort(new Error(reason))
  const deadline = clock.after(lengthMs, () => breakOff('the time of the attempt is over'))
  const onAbort = (): void => breakOff("the fence is not this gateway's to run any more")
  if (request.signal.aborted) onAbort()
  else request.signal.addEventListener('abort', onAbort, { once: true })
  let claimCheck = clock.after(CLAIM_CHECK_MS, checkClaim)
  function checkClaim(): void {
    if (!request.mayStrike()) breakOff('the claim on the fence cannot be proven any more')
    else claimCheck = clock.after(CLAIM_CHECK_MS, checkClaim)
  }
  return {
    attempt: {
      clock,
      note,
      fenceId: record.id,
      number: request.number,
      fencer: request.configured.name,
      ...(callbacks === undefined
        ? {}
        : { callbacks: () => callbacks().filter(({ fencer }) => fencer === request.configured.name) }),
      holder: record.holder,
      signal: controller.signal,
      deadlineMs,
      mayStrike: () => !controller.signal.aborted && !isPast() && request.mayStrike(),
    },
    isOver: () => controller.signal.aborted || isPast(),
    timedOut: isPast,
    end() {
      deadline.cancel()
      claimCheck.cancel()
      request.signal.removeEventListener('abort', onAbort)
      // A driver that has not returned yet learns that nothing of it is wanted any more.
      breakOff('the attempt is over')
    },
  }
}

/** A driver that throws where it should reject has failed, and no more. */
async function invoke<Result>(action: () => Promise<Result>): Promise<Result> {
  return await action()
}

function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Ends early, without an error, where the signal is aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = clock.after(delayMs, finish)
    if (signal.aborted) finish()
    else signal.addEventListener('abort', finish, { once: true })
  })
}

export function wallTime(clock: Clock): string {
  return new Date(clock.wallMs()).toISOString()
}

/** The end of an output says why it failed: the middle goes. */
function bounded(text: string): string {
  if (text.length <= OUTPUT_MAX) return text
  const mark = '\n[…]\n'
  const half = Math.floor((OUTPUT_MAX - mark.length) / 2)
  return text.slice(0, half) + mark + text.slice(-half)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
