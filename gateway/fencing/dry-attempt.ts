// What an attempt would be, on record: whom it would strike, and what the fencer sees of him now. It must never strike,
// and never proves anything.

import type { FenceRecord } from '../core/fence-record.ts'
import { describeIssues, schemaWords } from '../core/schema-words.ts'
import type { Clock } from '../spi/clock.ts'
import type { Verification } from '../spi/fencer.ts'
import { type AttemptResult, OUTPUT_MAX, pause, wallTime } from './attempt.ts'
import type { ConfiguredFencer } from './plans.ts'

export interface DryAttemptRequest {
  readonly configured: ConfiguredFencer
  readonly record: FenceRecord
  readonly level: number
  readonly number: number
  /** Of the look. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
}

export async function runDryAttempt(request: DryAttemptRequest): Promise<AttemptResult> {
  const { configured, record, clock, level, number } = request
  const startedMs = clock.monotonicMs()
  const startedAt = wallTime(clock)
  const parsed = configured.driver.fenceInfo.safeParse(record.fenceInfo, { error: schemaWords })
  const output = parsed.success
    ? `dry run: would strike ${configured.driver.id}:${configured.driver.target(parsed.data)}${delay(record, level)}; ${await seen(request, parsed.data)}`
    : `dry run: the fenceInfo does not say whom to strike: ${describeIssues(parsed.error.issues)}`
  return {
    attempt: {
      level,
      fencer: configured.name,
      number,
      startedAt,
      endedAt: wallTime(clock),
      outcome: 'refused',
      output: configured.redact(output).slice(0, OUTPUT_MAX),
    },
    proof: null,
    durationMs: clock.monotonicMs() - startedMs,
    over: Promise.resolve(),
  }
}

/** In shadow mode nothing is waited for: somebody else waits for the lock. */
function delay(record: FenceRecord, level: number): string {
  const delayMs = record.shadow === true ? (record.delaysMs?.[level] ?? 0) : 0
  return delayMs === 0 ? '' : `, ${delayMs / 1000} s after the level before`
}

async function seen({ configured, record, ...request }: DryAttemptRequest, info: unknown): Promise<string> {
  const { clock, number, timeoutMs } = request
  const limit = new AbortController()
  const signal = AbortSignal.any([limit.signal, request.signal])
  const looking = look(() =>
    configured.fencer.verify(info, {
      clock,
      number,
      signal,
      note: () => undefined,
      fenceId: record.id,
      holder: record.holder,
      deadlineMs: clock.monotonicMs() + timeoutMs,
      mayStrike: () => false,
    }),
  ).then(
    describe,
    (error: unknown) => `it could not look: ${error instanceof Error ? error.message : String(error)}`,
  )
  const patience = new AbortController()
  const late = pause(clock, timeoutMs, AbortSignal.any([patience.signal, request.signal]))
  const words = await Promise.race([looking, late.then(() => 'it saw nothing in time')])
  patience.abort()
  limit.abort(new Error('the look is over'))
  return words
}

/** A driver that throws where it should reject has failed, and no more. */
async function look(verify: () => Promise<Verification>): Promise<Verification> {
  return await verify()
}

function describe(verification: Verification): string {
  return verification.state === 'fenced'
    ? `it is seen to be harmless already: ${verification.evidence.observed}`
    : `seen now: ${verification.state}: ${verification.reason}`
}
