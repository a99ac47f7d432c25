// The gateways of a run: the shipped locking code in processes that are started, killed, stopped, closed and cut off.

import type { Fencing } from '../../gateway/fencing/plans.ts'
import { type Sequencer, startSequencer } from '../../gateway/fencing/sequencer.ts'
import { enterEpoch } from '../../gateway/locking/epoch-keeper.ts'
import { type Locking, startLocking } from '../../gateway/locking/locking.ts'
import type { StoreMark, StoreMemory } from '../../gateway/spi/high-water-mark.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import { type Strikes, simulatedFencing } from './fencers.ts'
import { SOURCE } from './foreign.ts'
import type { HistoryEvent } from './history.ts'
import { LOGIN_KEY } from './logins.ts'
import type { Marks } from './marks.ts'
import { nextVersionStore } from './next-version.ts'
import { DRAIN_MS, PREFIX, type Profile } from './profile.ts'
import type { Random } from './random.ts'
import { type Scheduler, SimulatedProcess } from './scheduler.ts'
import { type NetworkFaults, type SharedState, SimulatedStore } from './store.ts'

export interface RunningGateway {
  readonly process: SimulatedProcess
  readonly store: SimulatedStore
  readonly startedMs: number
  locking: Locking | null
  sequencer: Sequencer | null
  closing: boolean
}

export interface GatewaysOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly state: SharedState
  readonly faults: () => NetworkFaults
  readonly marks: Marks
  readonly record: (event: HistoryEvent) => void
  readonly strikes: Strikes
  readonly calm: () => boolean
}

export class Gateways {
  readonly #options: GatewaysOptions
  readonly #slots: (RunningGateway | null)[] = []
  /** Of each slot: its disk outlives the process. */
  readonly #disks: SimulatedMark[] = []
  #halted = false
  readonly #registeredAtMs = new Map<string, number>()
  #count = 0

  constructor(options: GatewaysOptions) {
    this.#options = options
    for (let slot = 0; slot < options.profile.gateways; slot++) {
      this.#slots.push(null)
      this.#disks.push(new SimulatedMark())
      options.scheduler.after(slot === 0 ? 0 : options.random.between(0, 10_000), () => this.#start(slot))
    }
  }

  get all(): readonly RunningGateway[] {
    return this.#slots.filter((slot) => slot !== null)
  }

  /** One that may be asked something; null where there is none. */
  any(): { readonly gateway: RunningGateway; readonly locking: Locking } | null {
    const gateway = this.#options.random.pick(this.all.filter(({ locking }) => locking !== null))
    return gateway === null || gateway.locking === null ? null : { gateway, locking: gateway.locking }
  }

  /** Where faults strike. */
  get #victims(): readonly RunningGateway[] {
    return this.#slots.filter(
      (gateway, slot): gateway is RunningGateway =>
        gateway !== null && !(this.#options.profile.steady && slot === 0),
    )
  }

  /** The one that nobody takes away, where there is one; else any. */
  steadiest(): ReturnType<Gateways['any']> {
    const [gateway] = this.#slots
    if (!this.#options.profile.steady || !gateway?.locking || this.#options.random.chance(0.2))
      return this.any()
    return { gateway, locking: gateway.locking }
  }

  /** The one that was started last. */
  newest(): ReturnType<Gateways['any']> {
    let found: ReturnType<Gateways['any']> = null
    for (const gateway of this.all)
      if (gateway.locking !== null && (found === null || gateway.startedMs > found.gateway.startedMs))
        found = { gateway, locking: gateway.locking }
    return found
  }

  /** What every disk has seen. */
  get lowestMark(): number {
    return Math.min(...this.#disks.map(({ memory }) => memory?.revision ?? 0))
  }

  /** All are ended, and none is started before `go`. */
  halt(): void {
    this.#halted = true
    for (const { process } of this.all) process.die()
  }

  go(): void {
    this.#halted = false
  }

  /** A disk of one that has served. */
  get disk(): StoreMark {
    return this.#options.random.pick(this.#disks) ?? new SimulatedMark()
  }

  /** Its registration stands in the store. True where the same process was registered before. */
  registered(gateway: string): boolean {
    const isBack = this.#registeredAtMs.has(gateway)
    this.#registeredAtMs.set(gateway, this.#options.scheduler.nowMs)
    return isBack
  }

  #note(gateway: string, what: Extract<HistoryEvent, { kind: 'gateway' }>['what']): void {
    this.#options.record({ kind: 'gateway', atMs: this.#options.scheduler.nowMs, gateway, what })
  }

  #start(slot: number): void {
    const { scheduler, random, profile, state, faults, record, strikes, calm, marks } = this.#options
    const mark = this.#disks[slot]
    if (this.#slots[slot] !== null || mark === undefined) return
    if (this.#halted) {
      scheduler.after(200, () => this.#start(slot))
      return
    }
    const name = `gateway-${slot + 1}-${++this.#count}`
    const rate = 1 + random.between(-profile.driftMax, profile.driftMax)
    const isSteady = profile.steady && slot === 0
    const slow = () => (!isSteady && random.chance(profile.unevenProbability) ? profile.unevenness : 1)
    const slowness = { requests: slow(), watches: slow() }
    const process = new SimulatedProcess({ name, scheduler, random, rate, slowness })
    if (!profile.sharedStore && !state.up) {
      marks.hit('embedded store restarted')
      state.comeUp('again')
    }
    const store = new SimulatedStore({
      state,
      process,
      scheduler,
      random,
      faults,
      shared: profile.sharedStore,
      deafProbability: () => (calm() || isSteady ? 0 : profile.deafProbability),
      onRead: (prefixes) => {
        if (Array.isArray(prefixes)) record({ kind: 'snapshot', atMs: scheduler.nowMs, gateway: name })
      },
    })
    const gateway: RunningGateway = {
      process,
      store,
      startedMs: scheduler.nowMs,
      locking: null,
      sequencer: null,
      closing: false,
    }
    const fencing = simulatedFencing({ ...strikes, process, scheduler, random, profile, record, calm })
    this.#slots[slot] = gateway
    this.#note(name, 'started')
    process.onDeath.push(() => {
      gateway.locking = null
      this.#slots[slot] = null
      this.#note(name, 'died')
      if (!profile.sharedStore) state.goDown()
      scheduler.after(random.between(100, calm() ? 500 : Math.max(200, profile.downMsMax)), () =>
        this.#start(slot),
      )
    })
    this.#startLocking(gateway, fencing, mark)
  }

  #startLocking(gateway: RunningGateway, fencing: Fencing, mark: StoreMark): void {
    const { scheduler, random, profile, record } = this.#options
    const { process } = gateway
    const { name } = process
    const isNext = profile.nextVersion && random.chance(0.5)
    const store = isNext ? nextVersionStore(gateway.store) : gateway.store
    let ids = 0
    const common = {
      prefix: PREFIX,
      sources: profile.sourced ? [SOURCE] : [],
      clock: process.clock,
      events: () => undefined,
      newId: () => `${name}-${++ids}`,
      quietMs: profile.quietMs,
      leaseMs: profile.gatewayLeaseMs,
    }
    const start = async (): Promise<Locking> => {
      const epoch = await enterEpoch({ ...common, store, mark })
      return await startLocking({
        ...common,
        store: epoch.store,
        mark: epoch,
        epoch,
        planner: fencing,
        name,
        drainMs: DRAIN_MS,
        loginKeys: [LOGIN_KEY],
        parkedMax: 16,
        ttlMsMin: 100,
        ttlMsMax: 3_600_000,
        signing: null,
        onStopped: () => process.die(),
      })
    }
    start().then(
      (locking) => {
        if (!process.alive) return
        gateway.locking = locking
        this.#note(name, 'serving')
        gateway.sequencer = startSequencer({
          journal: locking.journal,
          fencing,
          clock: process.clock,
          random: () => random.unit(),
          events: () => undefined,
          storm: profile.storm,
        })
      },
      (error: unknown) => {
        this.#note(name, 'start-failed')
        if (!(error instanceof StoreUnavailable))
          record({ kind: 'crashed', atMs: scheduler.nowMs, gateway: name, error: `start: ${String(error)}` })
        process.die()
      },
    )
  }

  crash(): void {
    this.#options.random.pick(this.#victims)?.process.die()
  }

  close(): void {
    const gateway = this.#options.random.pick(this.#victims.filter(({ locking }) => locking !== null))
    if (gateway === null || gateway.locking === null || gateway.closing) return
    gateway.closing = true
    const { locking, process, sequencer } = gateway
    const leave = async () => {
      await sequencer?.stop()
      await locking.close(this.#options.random.between(0, 3_000))
      this.#note(process.name, 'closed')
      process.die()
    }
    process.deliver(() => void leave())
  }

  stop(): void {
    const { random, scheduler } = this.#options
    const gateway = random.pick(this.#victims.filter(({ process }) => !process.stopped))
    if (gateway === null) return
    const { process } = gateway
    process.stop()
    if (!this.#options.profile.sharedStore) this.#options.state.goDown()
    this.#note(process.name, 'stopped')
    scheduler.after(random.between(100, random.chance(0.5) ? 3_000 : 20_000), () => this.#resume(process))
  }

  #resume(process: SimulatedProcess): void {
    if (!process.alive || !process.stopped) return
    this.#note(process.name, 'resumed')
    if (!this.#options.profile.sharedStore) this.#options.state.comeUp('remaining')
    process.resume()
  }

  partition(): void {
    const { random, scheduler, profile } = this.#options
    const gateway = random.pick(
      this.#victims.filter(({ process }) => !process.partitioned && this.#maySpare(process)),
    )
    if (gateway === null) return
    const { process } = gateway
    process.partitioned = true
    this.#note(process.name, 'partitioned')
    scheduler.after(random.between(200, random.chance(0.5) ? 3_000 : profile.partitionMsMax), () =>
      this.#join(process),
    )
  }

  /** Who has come back answers for what he had open until it is over: so long he stays, where others go by that. */
  #maySpare({ name }: SimulatedProcess): boolean {
    const { profile, scheduler } = this.#options
    const sinceMs = this.#registeredAtMs.get(name) ?? Number.NEGATIVE_INFINITY
    return !profile.hasty || scheduler.nowMs > sinceMs + profile.effectMsMax + 1_000
  }

  #join(process: SimulatedProcess): void {
    if (!process.alive || !process.partitioned) return
    process.partitioned = false
    this.#note(process.name, 'healed')
  }

  cut(kind: 'lost' | 'compacted'): void {
    this.#options.marks.hit(kind === 'lost' ? 'watch cut' : 'watch compacted')
    this.#options.random.pick(this.#victims)?.store.cutWatches(kind)
  }

  /** As where the whole store goes: each watch breaks, or, now and then, nobody says that it did. */
  cutAll(standing: number): void {
    for (const { store } of this.all)
      if (this.#options.random.chance(standing)) store.standWatches()
      else store.cutWatches('lost')
  }

  stand(): void {
    const gateway = this.#options.random.pick(this.#victims)
    if (gateway === null) return
    this.#options.marks.hit('watch stood still')
    gateway.store.standWatches()
  }

  /** Somebody, or something, sets a machine's clock. */
  jumpClock(): void {
    const { random, marks } = this.#options
    const gateway = random.pick(this.all)
    if (gateway === null) return
    marks.hit('wall clock set')
    gateway.process.wallOffsetMs = random.between(-1, 1) * 10 ** random.between(2, 9)
  }

  healAll(): void {
    for (const { process } of this.all) {
      this.#join(process)
      this.#resume(process)
    }
  }
}

/** A disk's file. */
class SimulatedMark implements StoreMark {
  memory: StoreMemory | null = null

  save(memory: StoreMemory): Promise<void> {
    this.memory = memory
    return Promise.resolve()
  }
}
