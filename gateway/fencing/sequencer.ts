// Looks after due fences: which one this gateway runs, how many at once, and when a run is not its own any more.
// It must never miss one: it is level-triggered, and looks again by itself.
//
// Why two gateways do not fence at once: a claim is this gateway's while its lease is provably alive, and every strike
// asks for that at the last instant (`mayStrike`). Another gateway takes over only once the claimer's lease is gone,
// which lies after the instant at which the claimer's own count of it ended. A driver that goes on past that is the
// one thing left, and every fencer strikes the incarnation only, so the strike hits whom it should or nobody.

import type { FenceRecord } from '../core/fence-record.ts'
import { inStorm } from '../core/fence-sequence.ts'
import { InvariantViolation } from '../core/invariant.ts'
import { STORM_DEFAULTS } from '../core/storm.ts'
import type { JournaledFence } from '../spi/fence-journal.ts'
import type { FencePreview } from '../spi/fence-preview.ts'
import type { FencerHealth } from '../spi/fencer-health.ts'
import { StoreUnavailable } from '../spi/store.ts'
import { HOUR_MS, PowerBrake } from './brakes.ts'
import { FenceRun, type SequencerOptions } from './fence-run.ts'
import { isPower, stepFor } from './next-step.ts'
import { previewFence } from './preview.ts'
import { RunningOrder } from './running-order.ts'
import { StormWatch } from './storm-watch.ts'

export type { SequencerOptions } from './fence-run.ts'

export interface Sequencer {
  /** Ids of the fences that this gateway runs now. */
  readonly running: readonly string[]
  /** What a fence with this record would do, had it been ordered now. Strikes and writes nothing. */
  preview(record: FenceRecord, health: readonly FencerHealth[]): FencePreview
  /** Breaks off what runs, and waits until it is. What was due stays due. Idempotent. */
  stop(): Promise<void>
}

const LOOK_AGAIN_MS = 1_000

interface Active {
  readonly plan: string | null
  readonly run: FenceRun
  readonly controller: AbortController
  readonly ended: Promise<void>
}

export function startSequencer(options: SequencerOptions): Sequencer {
  const { journal, clock } = options
  const active = new Map<string, Active>()
  const power = new PowerBrake(clock)
  const storms = new StormWatch(clock, options.storm ?? STORM_DEFAULTS)
  const order = new RunningOrder()
  const braked = { ...options, power, storms, order }
  const marking = new Set<string>()
  const counted = new WeakSet<FenceRecord>()
  let stopped = false
  for (const { record } of journal.list()) countPower(record)
  let lookAgain = clock.after(LOOK_AGAIN_MS, onTimer)
  const unsubscribe = journal.onChange(survey)

  function onTimer(): void {
    survey()
    if (!stopped) lookAgain = clock.after(LOOK_AGAIN_MS, onTimer)
  }

  function survey(): void {
    if (stopped) return
    const fences = journal.list()
    order.look(fences)
    storms.look(
      fences.map(({ record }) => record),
      journal.sessions(),
    )
    for (const journaled of fences) {
      const { record } = journaled
      countPower(record)
      mark(journaled)
      const running = active.get(record.id)
      if (running !== undefined) {
        if (running.run.isOverruledBy(journaled))
          running.controller.abort(new Error('the record was taken over'))
      } else if (stepFor(braked, record, null).step === 'claim' && hasRoom(record)) {
        // The mark would make the claim come too late, or the claim the mark.
        if (journal.mayStrike() && !marking.has(record.id)) start(record)
      }
    }
  }

  /** The storm passes, and this gateway may go with it; the fences that it brought must be known by then. */
  function mark({ record, modRevision }: JournaledFence): void {
    const reason = storms.reason(record.id)
    if (reason === null || record.storm !== undefined || marking.has(record.id) || !journal.mayStrike())
      return
    if (record.progress.state !== 'due' && record.progress.state !== 'running') return
    marking.add(record.id)
    void journal
      .replace(inStorm(record, reason), modRevision)
      .catch((error: unknown) => {
        // The next look finds it again.
        if (!(error instanceof StoreUnavailable)) throw error
      })
      .finally(() => marking.delete(record.id))
  }

  /** With a claim that may be at work; also one of this gateway's own that stopped short, and keeps its place until it goes on. */
  function isAtWork({ progress }: FenceRecord): boolean {
    return progress.state === 'running' && journal.isLive(progress.claim.incarnation)
  }

  function hasRoom({ plan, progress }: FenceRecord): boolean {
    const isOwn = progress.state === 'running' && progress.claim.incarnation === journal.incarnation
    return isOwn || runningBy(plan) < atOnce(plan)
  }

  /** At all gateways, and with those that this one is about to claim. */
  function runningBy(plan: string | null): number {
    const own = [...active].flatMap(([id, run]) => (run.plan === plan ? [id] : []))
    const claimed = order.running.flatMap((record) =>
      record.plan === plan && isAtWork(record) ? [record.id] : [],
    )
    return new Set([...own, ...claimed]).size
  }

  function atOnce(plan: string | null): number {
    return options.fencing.settings(plan).brakes.atOnce
  }

  /**
   * Of a fence that is open its latest attempts count from now on; what is closed may long be over, and the times on record
   * say when: wall clock, so an attempt that seems to lie ahead counts from now on, too.
   */
  function countPower(record: FenceRecord): void {
    if (counted.has(record)) return
    counted.add(record)
    const { id: fence, plan, progress } = record
    if (record.dryRun === true) return
    for (const { fencer, number: attempt, endedAt } of record.attempts) {
      const configured = options.fencing.fencer(fencer)
      if (configured === null) continue
      const cutsPower = isPower(configured)
      if (!cutsPower && options.fencing.limits.fencers[fencer]?.perHour === undefined) continue
      const ageMs = progress.state === 'closed' ? Math.max(0, clock.wallMs() - Date.parse(endedAt)) : 0
      if (ageMs < HOUR_MS) power.count({ plan, fence, fencer, attempt, ageMs, power: cutsPower })
    }
  }

  function start(record: FenceRecord): void {
    const controller = new AbortController()
    const run = new FenceRun({
      ...braked,
      id: record.id,
      isCrowded({ id, plan }) {
        order.look(journal.list())
        const earlier = order.before(id, 'claim').filter((one) => one.plan === plan && isAtWork(one))
        return earlier.length >= atOnce(plan)
      },
      signal: controller.signal,
    })
    const ended = run
      .run()
      .catch((error: unknown) => {
        if (error instanceof InvariantViolation) throw error
        options.onFault?.(`the fence ${record.id} stopped short: ${String(error)}`)
        return false
      })
      .then((wasClaimed) => {
        active.delete(record.id)
        // There is room for the next. After a lost race or an outage the next change or look is soon enough.
        if (wasClaimed) survey()
      })
    active.set(record.id, { plan: record.plan, run, controller, ended })
  }

  survey()
  return {
    get running() {
      return [...active.keys()]
    },
    preview: (record, health) =>
      previewFence(record, {
        fencing: options.fencing,
        power,
        running: runningBy(record.plan),
        health,
        neighbours: journal.neighbours?.(record) ?? [],
      }),
    async stop() {
      stopped = true
      lookAgain.cancel()
      unsubscribe()
      const ending = [...active.values()].map(({ controller, ended }) => {
        controller.abort(new Error('the gateway stops'))
        return ended
      })
      await Promise.all(ending)
    },
  }
}
