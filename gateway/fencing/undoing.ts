// Undoes, at an operator's word, what a fence did that outlasts its holder: an account without rights, a blocklist entry, a
// machine without power. Only once nothing rests on it any more: the fence is closed, its locks have moved on, and no call of the
// holder can still arrive that was only kept out by it.

import { GatewayError } from '../core/errors.ts'
import type { FenceRecord, FenceUndoing } from '../core/fence-record.ts'
import { ATTEMPTS_KEPT, nextAttemptNumber } from '../core/fence-sequence.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { FenceJournal } from '../spi/fence-journal.ts'
import type { Attempt } from '../spi/fencer.ts'
import { OUTPUT_MAX, pause, wallTime } from './attempt.ts'
import type { ConfiguredFencer, Fencing } from './plans.ts'

export interface UndoingOptions {
  readonly journal: FenceJournal
  readonly fencing: Fencing
  readonly clock: Clock
  readonly events: EventSink
  /** The longest of the backends: for so long a call can still arrive that nobody knows of. Null: nothing is known. */
  readonly quietMs: number | null
}

export interface OperatorsWord {
  readonly by: string
  readonly reason: string
}

export interface Undoing {
  /** Resolves with the record in which it stands, also where a fencer failed. Rejects with `GatewayError`, having done nothing. */
  undo(id: string, word: OperatorsWord): Promise<FenceRecord>
  stop(): void
}

const SWAPS_MAX = 16

export function startUndoing(options: UndoingOptions): Undoing {
  const { journal, fencing, clock, events, quietMs } = options
  const over = new AbortController()
  /** When each fence was first seen closed here: after a restart later, never earlier. */
  const closedMs = new Map<string, number>()
  const busy = new Set<string>()
  const unsubscribe = journal.onChange(look)

  function look(): void {
    const fences = journal.list()
    for (const { record } of fences)
      if (record.progress.state === 'closed' && !closedMs.has(record.id))
        closedMs.set(record.id, clock.monotonicMs())
    if (closedMs.size > fences.length)
      for (const id of closedMs.keys()) if (journal.get(id) === null) closedMs.delete(id)
  }
  look()

  /** Why it must not be undone now; null where nothing rests on it. */
  function obstacle(record: FenceRecord): string | null {
    const { id, progress, proofs } = record
    if (progress.state !== 'closed') return `fence ${id} is not closed yet`
    const pending = journal.pendingLocks?.(id) ?? []
    if (pending.length > 0) return `${pending.slice(0, 4).join(', ')} has not been handed over yet`
    const other = journal
      .list()
      .find(
        (fence) =>
          fence.record.progress.state !== 'closed' &&
          fence.record.targets.some((target) => record.targets.includes(target)),
      )
    if (other !== undefined) return `fence ${other.record.id} against the same target is not closed yet`
    // What it blocks may still be on its way, and the next owner was let in on that.
    const blocks = proofs.some(({ proves }) => proves.includes('blocks') || proves.includes('flushed'))
    const leftMs = (closedMs.get(id) ?? clock.monotonicMs()) + (quietMs ?? 0) - clock.monotonicMs()
    if (blocks && leftMs > 0)
      return `calls of the holder that it keeps out may still arrive; wait ${Math.ceil(leftMs / 1000)} s`
    return journal.mayStrike() ? null : 'this gateway cannot prove that its view is current'
  }

  function known(id: string): FenceRecord {
    const fence = journal.get(id)
    if (fence === null) throw new GatewayError('fence-unknown', `there is no fence ${JSON.stringify(id)}`)
    const reason = obstacle(fence.record)
    if (reason !== null) throw new GatewayError('fence-state', `nothing was undone: ${reason}`)
    return fence.record
  }

  async function undoOne(
    configured: ConfiguredFencer,
    record: FenceRecord,
    word: OperatorsWord,
  ): Promise<FenceUndoing> {
    const lines: string[] = []
    const hide = fencing.secrets.redactor(record.fenceInfo)
    const note = (line: string): void => {
      if (lines.length < 200) lines.push(configured.redact(hide(line)).slice(0, OUTPUT_MAX))
    }
    const timeoutMs = fencing.settings(record.plan).timeoutMs
    const limit = new AbortController()
    const signal = AbortSignal.any([limit.signal, over.signal])
    const deadlineMs = clock.monotonicMs() + timeoutMs
    const attempt: Attempt = {
      clock,
      note,
      fenceId: record.id,
      // Never the same twice: a service may take a repeated order for one that it has carried out.
      number: nextAttemptNumber(record) + (record.undone?.length ?? 0),
      holder: record.holder,
      signal,
      deadlineMs,
      mayStrike: () => !signal.aborted && clock.monotonicMs() < deadlineMs && obstacle(record) === null,
    }
    const late = pause(clock, timeoutMs, signal).then((): FenceUndoing['outcome'] => 'timed-out')
    const outcome = await Promise.race([act(configured, record, attempt), late])
    limit.abort(new Error('the time is over'))
    const output = lines.join('\n').slice(0, OUTPUT_MAX)
    return { fencer: configured.name, at: wallTime(clock), ...word, outcome, output }
  }

  async function write(id: string, undone: readonly FenceUndoing[]): Promise<FenceRecord> {
    for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
      const fence = journal.get(id)
      if (fence === null) break
      const next = {
        ...fence.record,
        undone: [...(fence.record.undone ?? []), ...undone].slice(-ATTEMPTS_KEPT),
      }
      const written = await journal.replace(next, fence.modRevision)
      if (written !== null) return written.record
    }
    throw new GatewayError(
      'store-unavailable',
      `it was undone, but fence ${id} does not say so yet; ask again`,
    )
  }

  return {
    async undo(id, word) {
      const record = known(id)
      const attempted = new Set(record.dryRun === true ? [] : record.attempts.map(({ fencer }) => fencer))
      const able = [...attempted].flatMap((name) => {
        const configured = fencing.fencer(name)
        return configured?.fencer.unfence === undefined ? [] : [configured]
      })
      if (able.length === 0)
        throw new GatewayError(
          'fence-state',
          `none of the fencers that fence ${id} has tried can undo anything`,
        )
      if (busy.has(id)) throw new GatewayError('fence-state', `fence ${id} is being undone already`)
      busy.add(id)
      try {
        const undone = await Promise.all(able.map((configured) => undoOne(configured, record, word)))
        for (const { fencer, outcome, output } of undone) {
          const detail = `${fencer}, by ${word.by} (${word.reason}): ${output}`.slice(0, 500)
          events({ type: 'fence.undone', fence: id, session: id, fencer, verdict: outcome, detail })
        }
        return await write(id, undone)
      } finally {
        busy.delete(id)
      }
    },
    stop() {
      over.abort(new Error('the gateway stops'))
      unsubscribe()
    },
  }
}

/** Acts, and then looks: what is seen goes on record, whatever the driver said. */
async function act(
  { driver, fencer }: ConfiguredFencer,
  { fenceInfo }: FenceRecord,
  attempt: Attempt,
): Promise<FenceUndoing['outcome']> {
  const parsed = driver.fenceInfo.safeParse(fenceInfo)
  if (!parsed.success) {
    attempt.note('the fenceInfo does not say any more who it was; secrets in it are not kept')
    return 'failed'
  }
  try {
    if (!attempt.mayStrike()) throw new Error('nothing was undone: something rests on it again')
    await fencer.unfence?.(parsed.data, attempt)
  } catch (error) {
    attempt.note(error instanceof Error ? error.message || error.name : String(error))
    return 'failed'
  }
  try {
    const seen = await fencer.verify(parsed.data, attempt)
    attempt.note(
      `seen afterwards: ${seen.state}${seen.state === 'fenced' ? `: ${seen.evidence.observed}` : `: ${seen.reason}`}`,
    )
  } catch (error) {
    attempt.note(`seen afterwards: nothing (${error instanceof Error ? error.message : String(error)})`)
  }
  return 'undone'
}
