// Drives every handover: looks at a lock whenever something about it changed, carries out the one step that is due as a
// compare-and-swap, and looks again. Level-triggered, so that a crash at any point loses nothing and two gateways that
// drive the same lock do no harm.

import type { FenceRecord } from '../core/fence-record.ts'
import { beginUpgrade, type HandoverStep, moveGrants, nextStep, sealGrants } from '../core/handover.ts'
import { invariant } from '../core/invariant.ts'
import { vouchedFor } from '../core/lock-record.ts'
import type { IncarnationId, Revision, SessionId } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import { type Comparison, type Store, StoreUnavailable, type Write } from '../spi/store.ts'
import type { Barrier } from './barrier.ts'
import { blockedBy } from './blocked.ts'
import { dueFence, EXPIRED } from './due-fence.ts'
import { fenceFacts } from './fence-facts.ts'
import { knownHolder } from './holders.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import { OverdueJobs } from './overdue-jobs.ts'
import type { Precedence } from './precedence.ts'
import { fenceRecords, lockRecords } from './records.ts'
import type { StepBatch } from './step-batch.ts'
import { tellMove, tellSeal } from './step-events.ts'
import { Turns } from './turns.ts'
import type { View } from './view.ts'
import { WaiterKeys } from './waiter-keys.ts'

/** After the store failed to answer; a lock's next look is not more frequent than this. */
const RETRY_MS = 200
/** A transaction has up to 128 comparisons and 128 writes: each seal needs two of both, each opening one. The next look goes on. */
const SEALS_AT_ONCE_MAX = 50
const OPENS_AT_ONCE_MAX = 100
/** What more there is to look at waits its turn, so that calls are served meanwhile. */
const POKES_AT_ONCE_MAX = 256
/** For each handover that there is: how long what concerns all of them is collected. */
const SWEEP_MS_EACH = 0.01

export interface ConductorOptions {
  readonly store: Store
  readonly steps: StepBatch
  readonly layout: Layout
  readonly view: View
  readonly barrier: Barrier
  readonly precedence: Precedence
  readonly clock: Clock
  readonly events: EventSink
  readonly planner: FencePlanner
  readonly self: () => IncarnationId
  /** Whether this gateway may drive now: it has a whole view. */
  readonly ready: () => boolean
  /** Resolves once the view has applied `revision`, or after a bounded time. */
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  /** Why a grant of this create revision must not be opened now, whoever asks for it; null where it may. */
  readonly held: (createRevision: number) => string | null
}

export class Conductor {
  readonly #options: ConductorOptions
  /** Locks with a step under way; the value says whether to look again after it. */
  readonly #busy = new Map<LockState, boolean>()
  readonly #timers = new Map<LockState, Timer>()
  /** Locks whose last step failed against something that the view does not show yet. */
  readonly #overtaken = new Set<LockState>()
  readonly #handovers = new Set<LockState>()
  readonly #withCalls = new Set<LockState>()
  /** Locks with records that cannot be read, of which that was said. */
  readonly #damaged = new WeakSet<LockState>()
  /** Sessions whose fence record is being written by one lock's seal; their other locks wait for it. */
  readonly #fencing = new Set<SessionId>()
  readonly #keys: WaiterKeys
  readonly #jobs: OverdueJobs
  readonly #turns: Turns
  #sweep: Timer | null = null
  #stopped = false

  constructor(options: ConductorOptions) {
    this.#options = options
    const again = (lock: LockState) => this.#later(lock, RETRY_MS)
    this.#keys = new WaiterKeys({ ...options, again })
    this.#jobs = new OverdueJobs({
      ...options,
      overdue: (lock, createRevision) => options.barrier.ownOverdue(lock.grantOf(createRevision)),
      again,
    })
    this.#turns = new Turns(options.clock, (lock) => this.poke(lock), options.ready)
  }

  /** Locks that have a sealed or a downgraded grant: whose calls others wait for. */
  get handovers(): ReadonlySet<LockState> {
    return this.#handovers
  }

  /** Those of them under which this gateway has calls, to be reported: no new ones come, so it is known when they are noted. */
  get handoversWithCalls(): ReadonlySet<LockState> {
    return this.#withCalls
  }

  /** False while what is seen of the lock is about to change: a step is under way, here or, by all signs, elsewhere. */
  settled(lock: LockState): boolean {
    return !this.#busy.has(lock) && !this.#overtaken.has(lock) && !this.#turns.waits(lock)
  }

  /** Looks at a lock, in this tick where not too many have a step under way; safe to call at any time, however often. */
  poke(lock: LockState): void {
    this.#note(lock)
    if (this.#stopped) return
    if (this.#busy.has(lock)) {
      this.#busy.set(lock, true)
      return
    }
    this.#timers.get(lock)?.cancel()
    this.#timers.delete(lock)
    this.#overtaken.delete(lock)
    if (!this.#turns.free || !this.#options.ready()) {
      this.#turns.add(lock)
      return
    }
    this.#turns.leave(lock)
    this.#look(lock)
  }

  pokeEach(locks: ReadonlySet<LockState>): void {
    this.#turns.goOn()
    if (locks.size <= POKES_AT_ONCE_MAX) {
      for (const lock of [...locks]) this.poke(lock)
      return
    }
    for (const lock of locks) {
      this.#note(lock)
      if (this.#busy.has(lock)) this.#busy.set(lock, true)
      else if (!this.#stopped && !this.#isAtRest(lock)) this.#turns.add(lock)
    }
  }

  /** Something that concerns all handovers changed: a watermark, a gateway, a fence. Very many are looked at less often. */
  pokeHandovers(): void {
    const count = this.#handovers.size
    if (count <= POKES_AT_ONCE_MAX) {
      this.pokeEach(this.#handovers)
      return
    }
    if (this.#stopped) return
    this.#sweep ??= this.#options.clock.after(count * SWEEP_MS_EACH, () => {
      this.#sweep = null
      this.pokeEach(this.#handovers)
    })
  }

  pokeAll(): void {
    this.pokeEach(new Set(this.#options.view.locks.values()))
  }

  /** Known also where nothing is driven any more, and at once: the watermarks that are still written go by it. */
  #note(lock: LockState): void {
    if (lock.live.some((grant) => grant.sealed || grant.narrowRevision > 0 || lock.damage !== null)) {
      this.#handovers.add(lock)
      if (lock.live.some((grant) => grant.hasCalls)) this.#withCalls.add(lock)
      else this.#withCalls.delete(lock)
    } else {
      this.#handovers.delete(lock)
      this.#withCalls.delete(lock)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#turns.stop()
    this.#sweep?.cancel()
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
  }

  /** By far the most locks, and nothing is due on them. */
  #isAtRest({ held }: LockState): boolean {
    return held !== null && !this.#options.view.condemned(held.session)
  }

  #look(lock: LockState): void {
    if (lock.damage !== null) {
      if (!this.#damaged.has(lock))
        this.#options.events({ type: 'lock.blocked', lock: lock.name, detail: lock.damage })
      this.#damaged.add(lock)
      // Where only its owner's key is not watched here, an operator may have the owner fenced.
      if (!lock.isBlind) return
    } else this.#damaged.delete(lock)
    if (this.#isAtRest(lock)) return
    const { view, barrier } = this.#options
    const step = nextStep({
      record: lock.record,
      recordRevision: lock.recordRevision,
      queue: lock.queue,
      ending: (grant) => view.ending(lock, grant),
      drain: (grant) => {
        const live = lock.grantOf(grant.createRevision)
        return live === null
          ? { state: 'ended' }
          : barrier.drain(live, sealRevisionOf(live), vouchedFor(grant))
      },
      formerDrain: (grant) => {
        const live = lock.grantOf(grant.createRevision)
        return live === null ? { state: 'ended' } : barrier.formerDrain(live, vouchedFor(grant))
      },
      fence: (grant) => {
        const live = lock.grantOf(grant.createRevision)
        return fenceFacts(view, grant, live === null ? lock.recordRevision : sealRevisionOf(live))
      },
      unready: (waiter) => this.#keys.unready(waiter, lock),
    })
    if (step.kind !== 'rest') {
      const ending = step.kind === 'seal' ? (step.grants[0]?.grant.session ?? null) : null
      const waitMs = this.#options.precedence.waitMs(lock, ending)
      if (waitMs > 0) {
        this.#overtaken.add(lock)
        this.#later(lock, waitMs)
        return
      }
    }
    switch (step.kind) {
      case 'seal':
        // Another lock of the session is writing its fence record; it pokes this one when that is done.
        if (step.grants.some(({ grant, cause }) => cause !== 'released' && this.#fencing.has(grant.session)))
          return
        this.#carryOut(lock, () =>
          this.#seal(lock, { ...step, grants: step.grants.slice(0, SEALS_AT_ONCE_MAX) }),
        )
        return
      case 'move':
        this.#carryOut(lock, () => this.#move(lock, { ...step, open: step.open.slice(0, OPENS_AT_ONCE_MAX) }))
        return
      case 'upgrade':
        this.#carryOut(lock, () => this.#upgrade(lock, step))
        return
      case 'rest':
        this.#rest(lock, step)
        return
    }
  }

  /** `act` gives the revision that it wrote, or null where another was faster. */
  #carryOut(lock: LockState, act: () => Promise<Revision | null>): void {
    this.#busy.set(lock, false)
    this.#turns.begin()
    void act()
      .then((revision) => {
        // A look at a view that does not hold this write would act on what is already changed.
        if (revision !== null) return this.#options.caughtUp(revision)
        // What made the swap fail comes through the watch, or has come while we waited for the answer.
        this.#overtaken.add(lock)
        this.#later(lock, RETRY_MS)
        return 'later'
      })
      .catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error
        // It may have happened all the same: only the store can say, through the watch or at the next look.
        this.#overtaken.add(lock)
        this.#later(lock, RETRY_MS)
        return 'later'
      })
      .then((outcome) => {
        const again = this.#busy.get(lock) ?? false
        this.#busy.delete(lock)
        if (outcome !== 'later' || again) this.poke(lock)
        else lock.tellListeners()
        this.#turns.end()
      })
  }

  async #seal(lock: LockState, step: Extract<HandoverStep, { kind: 'seal' }>): Promise<Revision | null> {
    const { layout, view, clock, planner, barrier } = this.#options
    const record = lock.record
    invariant(record !== null, 'a seal was due on a lock without a record')
    const now = new Date(clock.wallMs()).toISOString()
    const compare: Comparison[] = [{ key: layout.lockRecord(lock.name), modRevision: lock.recordRevision }]
    const writes: Write[] = []
    const newFences: SessionId[] = []
    const fences: FenceRecord[] = []
    for (const { grant, cause } of step.grants) {
      if (cause === 'revoked' && lock.waiterOf(grant.createRevision) !== null) {
        compare.push({ key: grant.key, createRevision: grant.createRevision })
        writes.push({ delete: grant.key })
      }
      if (cause === 'released' || view.condemned(grant.session) || newFences.includes(grant.session)) continue
      newFences.push(grant.session)
      const fence = dueFence(grant.session, knownHolder(view, grant.session), EXPIRED, planner, now)
      fences.push(fence)
      compare.push({ key: layout.fence(fence.id), createRevision: 0 })
      writes.push({ put: layout.fence(fence.id), value: fenceRecords.encode(fence) })
    }
    const seals = step.grants.map(({ grant, cause }) => {
      const drainedAt = barrier.ownWord(lock.grantOf(grant.createRevision))
      return { grant, cause, drainedAt }
    })
    writes.push({
      put: layout.lockRecord(lock.name),
      value: lockRecords.encode(sealGrants(record, seals, now)),
    })
    for (const session of newFences) this.#fencing.add(session)
    try {
      const result = await this.#options.steps.transact({ compare, writes })
      if (!result.succeeded) return null
      tellSeal(this.#options.events, lock, step, fences)
      // The session's other locks need the fence record in the view, or each would try to create it.
      if (newFences.length > 0) await this.#options.caughtUp(result.revision)
      return result.revision
    } finally {
      for (const session of newFences) {
        this.#fencing.delete(session)
        // But for this one: poked while it is busy, it would be tried again at once where the store has failed.
        this.pokeEach(new Set([...(view.locksOf.get(session) ?? [])].filter((other) => other !== lock)))
      }
    }
  }

  async #move(lock: LockState, step: Extract<HandoverStep, { kind: 'move' }>): Promise<Revision | null> {
    const { layout, clock, events } = this.#options
    const key = layout.lockRecord(lock.name)
    const now = new Date(clock.wallMs()).toISOString()
    const next = moveGrants(lock.name, lock.record, step, now, lock.queue)
    const result = await this.#options.steps.transact({
      compare: [
        { key, modRevision: lock.recordRevision },
        ...step.open.map((waiter) => ({ key: waiter.key, createRevision: waiter.createRevision })),
        ...step.complete.map(({ key: own, createRevision }) => ({ key: own, createRevision })),
      ],
      writes: [next === null ? { delete: key } : { put: key, value: lockRecords.encode(next) }],
    })
    if (!result.succeeded) return null
    tellMove(events, lock, step, clock.wallMs())
    return result.revision
  }

  async #upgrade(
    lock: LockState,
    step: Extract<HandoverStep, { kind: 'upgrade' }>,
  ): Promise<Revision | null> {
    const { store, layout, clock, events } = this.#options
    const { from, to } = step
    const { record, name } = lock
    invariant(record !== null, 'an upgrade was due on a lock without a record')
    const put = layout.lockRecord(name)
    const result = await store.transact({
      compare: [
        { key: put, modRevision: lock.recordRevision },
        { key: from.key, createRevision: from.createRevision },
        { key: to.key, createRevision: to.createRevision },
      ],
      // The new key keeps out clients that know nothing of us, as the old one did: whoever queued before it would have
      // kept this step from being due.
      writes: [
        {
          put,
          value: lockRecords.encode(beginUpgrade(record, step, new Date(clock.wallMs()).toISOString())),
        },
        { delete: from.key },
      ],
    })
    if (!result.succeeded) return null
    const token = String(from.createRevision)
    events({ type: 'grant.sealed', lock: name, session: from.session, token, detail: 'upgraded' })
    return result.revision
  }

  #rest(lock: LockState, step: Extract<HandoverStep, { kind: 'rest' }>): void {
    const wasBlocked = blockedBy(lock) !== null
    lock.obstacles = step.obstacles
    const blocked = blockedBy(lock)
    if (blocked !== null && !wasBlocked)
      this.#options.events({ type: 'lock.blocked', lock: lock.name, detail: blocked })
    for (const obstacle of step.obstacles) {
      if (obstacle.kind === 'unready') this.#keys.plantCanary(lock, obstacle.waiter)
      if (obstacle.kind === 'unknown' && typeof obstacle.quietRemainingMs === 'number')
        this.#later(lock, Math.max(1, obstacle.quietRemainingMs))
    }
    this.#keys.withdrawBaseless(lock)
    this.#jobs.note(lock)
    lock.tellListeners()
    this.#options.view.tidy(lock)
  }

  #later(lock: LockState, delayMs: number): void {
    this.#timers.get(lock)?.cancel()
    this.#timers.set(
      lock,
      this.#options.clock.after(delayMs, () => {
        this.#timers.delete(lock)
        this.poke(lock)
      }),
    )
  }
}

function sealRevisionOf(grant: LiveGrant): number {
  invariant(grant.sealRevision > 0, `grant ${grant.createRevision} was asked for its seal before it had one`)
  return grant.sealRevision
}
