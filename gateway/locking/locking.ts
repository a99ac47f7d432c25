// Assembles the room: view, ledger, barrier, conductor, gate and the rest around one store, and brings this process in and
// out of the circle of gateways in the right order.

import type { Revision, SessionId } from '../core/names.ts'
import type { ControlPlane } from '../spi/control-plane.ts'
import type { Gate } from '../spi/gate.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import { Barrier } from './barrier.ts'
import { StoredCallers } from './caller-book.ts'
import { Conductor } from './conductor.ts'
import { wentBack } from './epoch-keeper.ts'
import { LockGate } from './gate.ts'
import { guardStore } from './guarded-store.ts'
import { Incarnation } from './incarnation.ts'
import { Journal } from './journal.ts'
import { KnownCallersGate } from './known-callers.ts'
import { Layout } from './layout.ts'
import { Ledger, type LedgerCall } from './ledger.ts'
import { type Counts, countAll } from './listings.ts'
import type { LiveGrant } from './lock-state.ts'
import type { Locking, LockingOptions } from './locking-options.ts'
import { ViewLoginBarrier } from './login-barrier.ts'
import { parkingLimits } from './parking.ts'
import { makeControlPlane } from './plane.ts'
import { Precedence } from './precedence.ts'
import { LockQueue } from './queue.ts'
import { Replica } from './replica.ts'
import { Reporting } from './reporting.ts'
import { SessionKeeper } from './session-keeper.ts'
import { inShadow } from './shadow.ts'
import { SourceAgreement } from './source-agreement.ts'
import { StepBatch } from './step-batch.ts'
import { Sweeper } from './sweeper.ts'
import { View, type ViewChange } from './view.ts'
import { Vouching } from './vouching.ts'
import { warmUp } from './warm-up.ts'

/** How long a writer waits for its own write to come back before it looks at the view as it is. */
const CATCH_UP_MS = 2_000
const REJOIN_MS = 500

export type { Locking, LockingOptions }

/** Loads the view, registers this process, and answers once the view holds that. Rejects with StoreUnavailable. */
export async function startLocking(options: LockingOptions): Promise<Locking> {
  warmUp()
  const room = new LockingRoom(options)
  return room.join().then(() => room, room.abandon)
}

class LockingRoom implements Locking {
  readonly #options: LockingOptions
  readonly #store: Store
  readonly #layout: Layout
  readonly #view: View
  readonly #ledger: Ledger
  readonly #barrier: Barrier
  readonly #conductor: Conductor
  readonly #reporting: Reporting
  readonly #replica: Replica
  readonly #sessions: SessionKeeper
  readonly #queue: LockQueue
  readonly #lockGate: LockGate
  readonly gate: Gate
  readonly callers: StoredCallers
  readonly journal: Journal
  readonly logins: ViewLoginBarrier
  readonly plane: ControlPlane
  readonly #agreement: SourceAgreement
  #incarnation: Incarnation
  /** Since this registration: which grants are sealed is known. */
  #hasLoaded = false
  #serving = false
  /** Why this store must not be served, since it went back; null where it did not. */
  #regression: string | null = null
  /** What the store last said when this gateway wanted to join. */
  #obstacle = ''
  #closing = false
  readonly #sweeper: Sweeper

  constructor(options: LockingOptions) {
    this.#options = options
    const { clock, events, sources = [], ttlMsMin, ttlMsMax, loginKeys: keys = [] } = options
    const store = guardStore(options.store, () => this.#regression)
    this.#store = store
    const layout = new Layout(options.prefix, sources)
    this.#layout = layout
    this.#ledger = new Ledger({
      clock,
      events,
      drainMs: options.drainMs,
      recheck: () => {
        const reason = this.#stale()
        return reason === null ? null : { code: 'view-not-current', detail: reason }
      },
      lease: () => this.#incarnation,
      onProgress: (lock) => {
        this.#conductor.poke(lock)
        this.#incarnation.report()
      },
    })
    this.#view = new View({
      layout,
      clock,
      onChange: (change) => this.#changed(change),
      onSealed: (grant) => this.#ledger.sealed(grant),
      onNarrowed: (grant) => this.#ledger.narrowed(grant),
      onClosed: (grant) => this.#ledger.closed(grant),
    })
    const view = this.#view
    const planner = inShadow(options.planner, view)
    const caughtUp = (revision: Revision) => this.#replica.reached(revision, CATCH_UP_MS)
    this.#replica = new Replica({
      store,
      prefixes: layout.prefixes,
      view,
      clock,
      events,
      onRegressed: (revision) => this.#refuse(wentBack(revision, view.applied)),
    })
    const self = () => this.#incarnation.id
    const again = () =>
      clock.after(REJOIN_MS, () => {
        if (this.#serving && !this.#closing) void this.#agreement.settle()
      })
    this.#agreement = new SourceAgreement({ store, layout, view, sources, self, caughtUp, again })
    this.#incarnation = this.#newIncarnation()
    this.#barrier = new Barrier({ view, ledger: this.#ledger, clock, self })
    const precedence = new Precedence({ view, clock, self })
    const steps = new StepBatch({ store, clock })
    this.#conductor = new Conductor({
      store,
      steps,
      layout,
      view,
      barrier: this.#barrier,
      precedence,
      clock,
      events,
      planner,
      self,
      ready: () => this.#isDriving(),
      caughtUp,
      held: (createRevision) => options.epoch?.held(createRevision) ?? null,
    })
    this.#reporting = new Reporting({
      clock,
      barrier: this.#barrier,
      precedence,
      handovers: () => this.#conductor.handovers,
      said: () => this.#incarnation.said,
      report: () => this.#incarnation.report(),
    })
    options.epoch?.listen({
      onRefused: (reason) => this.#refuse(reason),
      onSettled: () => this.#conductor.pokeAll(),
    })
    const base = { store, layout, view, clock, events, caughtUp }
    this.#sessions = new SessionKeeper({ ...base, steps, precedence, planner, ttlMsMin, ttlMsMax })
    this.#queue = new LockQueue({
      ...base,
      steps,
      conductor: this.#conductor,
      sealHere: (grant) => this.#sealHere(grant),
      ownWord: (grant) => this.#barrier.ownWord(grant),
      self,
      newId: options.newId,
    })
    this.#sweeper = new Sweeper({
      store,
      layout,
      view,
      barrier: this.#barrier,
      sessions: this.#sessions,
      clock,
      ready: () => this.#isDriving(),
      settings: options,
      events,
      caughtUp,
    })
    this.#lockGate = new LockGate({
      view,
      ledger: this.#ledger,
      clock,
      stale: (nowMs) => this.#stale(nowMs),
      catchUp: (waitMs) => this.#catchUp(waitMs),
      signing: options.signing,
      parking: parkingLimits(options.parkedMax, options.parking),
    })
    this.journal = new Journal({
      store,
      layout,
      view,
      clock,
      events,
      planner,
      self: () => this.#incarnation,
      stale: () => this.#stale(),
      caughtUp,
    })
    this.logins = new ViewLoginBarrier({ view, keys, stale: () => this.#stale() })
    const catchUp = () => this.#catchUp(CATCH_UP_MS)
    this.callers = new StoredCallers({ ...base, catchUp, known: (session) => this.#sessions.known(session) })
    this.gate = new KnownCallersGate({ gate: this.#lockGate, book: this.callers, view })
    this.plane = makeControlPlane({
      store,
      view,
      clock,
      sessions: this.#sessions,
      queue: this.#queue,
      journal: this.journal,
      planner,
      callers: this.callers,
      vouching: new Vouching({ ...base, barrier: this.#barrier, catchUp }),
      sign: options.signing?.sign ?? null,
      stale: () => this.#stale(),
      catchUp,
    })
  }

  /**
   * Serves only with a view that holds its own registration: whoever seals later than that waits for our word. It registers once
   * the view is loaded, so that nobody waits for the loading, and no lease runs meanwhile, however long it takes; but at once
   * where calls of a former self are open, for which nobody else speaks.
   */
  async join(): Promise<void> {
    const incarnation = this.#incarnation
    const { epoch } = this.#options
    const refusal = (await epoch?.verify()) ?? this.#regression
    if (refusal !== null) {
      // Before a word of ours is written: what would be written moves the store on.
      this.#refuse(refusal)
      await this.#replica.reload()
      return
    }
    await epoch?.endRestored()
    this.#hasLoaded = false
    const speaksFirst = this.#ledger.open > 0
    if (!speaksFirst) await this.#replica.reload()
    const registered = await incarnation.register()
    if (speaksFirst) await this.#replica.reload()
    if (!(await this.#replica.reached(registered, this.#options.leaseMs)))
      throw new StoreUnavailable('the watch has not brought its own registration')
    // Its lease ended while it waited: whoever came after it has to register by himself.
    if (incarnation !== this.#incarnation) return
    this.#hasLoaded = true
    await this.#sweeper.markGone()
    await this.#agreement.settle()
    if (incarnation !== this.#incarnation) return
    this.#serving = true
    this.#obstacle = ''
    this.#conductor.pokeAll()
    this.#sweeper.start()
    epoch?.serve()
  }

  /** It could not join: what went on would keep the process from ending. */
  readonly abandon = (error: unknown): never => {
    for (const part of [this.#conductor, this.#ledger, this.#replica, this.#reporting]) part.stop()
    this.#options.epoch?.stop()
    this.#incarnation.abandon()
    throw error
  }

  counts(): Counts {
    return countAll(this.#view, this.#ledger, this.#lockGate.parked)
  }

  async close(waitMs: number): Promise<void> {
    this.#closing = true
    this.#lockGate.stop('the gateway is shutting down')
    this.#conductor.stop()
    this.#sweeper.stop()
    this.#options.epoch?.stop()
    await this.#queue.stop()
    const deadlineMs = this.#options.clock.monotonicMs() + waitMs
    while (this.#ledger.open > this.#ledger.unknownCalls && this.#options.clock.monotonicMs() < deadlineMs)
      await new Promise<void>((resolve) => this.#options.clock.after(20, resolve))
    this.#ledger.stop()
    // Read before the record goes: a call that ends a moment later only makes the word more cautious.
    const clean = this.#ledger.open === 0
    this.#replica.stop()
    this.#reporting.stop()
    try {
      if (this.#regression === null) await this.#sweeper.raiseMark()
      await this.#incarnation.close(clean)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // The record stays, so others take us for gone and wait our quiet time: late, but safe.
    }
  }

  #isDriving(): boolean {
    return this.#regression === null && this.#serving && this.#replica.live && !this.#agreement.dissent
  }

  #refuse(reason: string): void {
    if (this.#regression === reason) return
    this.#regression = reason
    this.#options.epoch?.stop()
    this.#options.events({ type: 'view.lost', detail: reason })
  }

  /** Null where a call may be admitted in this tick. On the hot path. */
  #stale(nowMs = this.#options.clock.monotonicMs()): string | null {
    if (this.#regression !== null) return this.#regression
    if (!this.#serving) return `the gateway is joining the others${this.#obstacle}`
    if (this.#closing) return 'the gateway is shutting down'
    if (!this.#replica.live) return 'the watch on the store is broken'
    if (this.#agreement.dissent !== null) return this.#agreement.dissent
    if (!this.#incarnation.valid(nowMs)) return this.#incarnation.lapse
    return null
  }

  async #catchUp(waitMs: number): Promise<boolean> {
    const store = this.#store
    try {
      // On a shared store other prefixes move the revision on, and etcd before 3.5.8 lets the answer to a progress
      // request overtake events: only a write of our own that comes back shows that all before it has come.
      const revision = store.shared ? await this.#incarnation.sync() : await store.currentRevision()
      return revision !== null && (await this.#replica.reached(revision, waitMs))
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return false
    }
  }

  #sealHere(grant: LiveGrant): void {
    grant.seal()
    this.#ledger.sealed(grant)
    this.#conductor.poke(grant.lock)
  }

  #changed(change: ViewChange): void {
    if (change.gateways || change.watermarks) {
      this.#barrier.note()
      const own = this.#view.watermarks.get(this.#incarnation.id)
      if (own !== undefined) this.#incarnation.seen(own)
      else if (this.#serving && this.#store.shared) this.#incarnation.vanished()
      if (this.#serving) void this.#sweeper.markGone().then(() => this.#agreement.settle())
    }
    if (change.sources) this.#conductor.pokeAll()
    this.#conductor.pokeEach(change.locks)
    if (change.gateways || change.watermarks || change.fences.size > 0) this.#conductor.pokeHandovers()
    if (change.sessions.size > 0) this.#sessions.tidy(change.sessions, 'mine')
    if (change.fences.size > 0) this.#sessions.tidy(change.fences as ReadonlySet<SessionId>, 'mine')
    // Others may wait for our word about a seal that this revision brought.
    if (this.#view.gateways.size > 1) this.#reporting.changed(change.locks)
    this.logins.changed(change)
    this.journal.changed(change)
  }

  #newIncarnation(): Incarnation {
    const { clock, newId, name, quietMs, leaseMs, shadow = false, onStopped } = this.#options
    const store = this.#store
    return new Incarnation({
      store,
      layout: this.#layout,
      clock,
      newId,
      name,
      quietMs,
      leaseMs,
      shadow,
      sources: this.#agreement.text,
      report: () => this.#barrier.ownReport(this.#hasLoaded ? this.#conductor.handoversWithCalls : null),
      hasLoaded: () => this.#hasLoaded,
      onLost: (reason) => this.#lost(reason),
      onLapsed: (detail) => this.#options.events({ type: 'view.lost', detail }),
      onStopped,
    })
  }

  /** The lease is over but the process lives: come back as somebody new, and answer for the old calls only ourselves. */
  #lost(reason: string): void {
    if (this.#closing) return
    this.#serving = false
    this.#options.events({ type: 'view.lost', detail: reason })
    const calls: LedgerCall[] = []
    for (const lock of this.#view.locks.values()) for (const grant of lock.live) calls.push(...grant.calls)
    this.#sweeper.succeed(this.#incarnation.id, calls)
    this.#incarnation = this.#newIncarnation()
    this.#rejoin()
  }

  #rejoin(): void {
    if (this.#closing) return
    const incarnation = this.#incarnation
    this.join().catch((error: unknown) => {
      if (!(error instanceof StoreUnavailable)) throw error
      this.#obstacle = `: ${error.message}`
      if (incarnation !== this.#incarnation) return
      incarnation.abandon()
      // It may have been written down, but never admitted a call.
      this.#sweeper.succeed(incarnation.id, [])
      this.#incarnation = this.#newIncarnation()
      this.#options.clock.after(REJOIN_MS, () => this.#rejoin())
    })
  }
}
