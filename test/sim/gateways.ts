// The gateways of a run: the shipped locking code in processes that are started, killed, stopped, closed and cut off.

import { type Locking, startLocking } from '../../gateway/locking/locking.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import { SOURCE } from './foreign.ts'
import type { HistoryEvent } from './history.ts'
import { DRAIN_MS, GATEWAY_LEASE_MS, type Profile, QUIET_MS } from './profile.ts'
import type { Random } from './random.ts'
import { type Scheduler, SimulatedProcess } from './scheduler.ts'
import { SimulatedSequencer, simulatedPlanner } from './sequencer.ts'
import { type NetworkFaults, type SharedState, SimulatedStore } from './store.ts'

export const PREFIX = '/fencegate'

export interface RunningGateway {
  readonly process: SimulatedProcess
  readonly store: SimulatedStore
  locking: Locking | null
  closing: boolean
}

export interface GatewaysOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly state: SharedState
  readonly faults: () => NetworkFaults
  readonly record: (event: HistoryEvent) => void
  readonly flush: (session: string) => void
  readonly calm: () => boolean
}

export class Gateways {
  readonly #options: GatewaysOptions
  readonly #slots: (RunningGateway | null)[] = []
  #count = 0

  constructor(options: GatewaysOptions) {
    this.#options = options
    for (let slot = 0; slot < options.profile.gateways; slot++) {
      this.#slots.push(null)
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

  #note(gateway: string, what: Extract<HistoryEvent, { kind: 'gateway' }>['what']): void {
    this.#options.record({ kind: 'gateway', atMs: this.#options.scheduler.nowMs, gateway, what })
  }

  #start(slot: number): void {
    const { scheduler, random, profile, state, faults, record, flush, calm } = this.#options
    if (this.#slots[slot] !== null) return
    const name = `gateway-${slot + 1}-${++this.#count}`
    const rate = 1 + random.between(-profile.driftMax, profile.driftMax)
    const process = new SimulatedProcess({ name, scheduler, random, rate })
    const store = new SimulatedStore({
      state,
      process,
      scheduler,
      random,
      faults,
      onRead: (prefixes) => {
        if (Array.isArray(prefixes)) record({ kind: 'snapshot', atMs: scheduler.nowMs, gateway: name })
      },
    })
    const gateway: RunningGateway = { process, store, locking: null, closing: false }
    this.#slots[slot] = gateway
    this.#note(name, 'started')
    process.onDeath.push(() => {
      gateway.locking = null
      this.#slots[slot] = null
      this.#note(name, 'died')
      scheduler.after(random.between(100, calm() ? 500 : 8_000), () => this.#start(slot))
    })
    let ids = 0
    startLocking({
      store,
      prefix: PREFIX,
      sources: profile.sourced ? [SOURCE] : [],
      clock: process.clock,
      events: () => undefined,
      mark: { revision: 0, raise: () => Promise.resolve() },
      planner: simulatedPlanner(profile.defaultPlan),
      name,
      newId: () => `${name}-${++ids}`,
      quietMs: QUIET_MS,
      leaseMs: GATEWAY_LEASE_MS,
      drainMs: DRAIN_MS,
      parkedMax: 16,
      ttlMsMin: 100,
      ttlMsMax: 3_600_000,
      signing: null,
      onStopped: () => process.die(),
    }).then(
      (locking) => {
        if (!process.alive) return
        gateway.locking = locking
        this.#note(name, 'serving')
        new SimulatedSequencer({ journal: locking.journal, process, random, profile, flush, calm })
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
    this.#options.random.pick(this.all)?.process.die()
  }

  close(): void {
    const gateway = this.#options.random.pick(this.all.filter(({ locking }) => locking !== null))
    if (gateway === null || gateway.locking === null || gateway.closing) return
    gateway.closing = true
    const { locking, process } = gateway
    process.deliver(() => {
      void locking.close(this.#options.random.between(0, 3_000)).then(() => {
        this.#note(process.name, 'closed')
        process.die()
      })
    })
  }

  stop(): void {
    const { random, scheduler } = this.#options
    const gateway = random.pick(this.all.filter(({ process }) => !process.stopped))
    if (gateway === null) return
    const { process } = gateway
    process.stop()
    this.#note(process.name, 'stopped')
    scheduler.after(random.between(100, random.chance(0.5) ? 3_000 : 20_000), () => this.#resume(process))
  }

  #resume(process: SimulatedProcess): void {
    if (!process.alive || !process.stopped) return
    this.#note(process.name, 'resumed')
    process.resume()
  }

  partition(): void {
    const { random, scheduler } = this.#options
    const gateway = random.pick(this.all.filter(({ process }) => !process.partitioned))
    if (gateway === null) return
    const { process } = gateway
    process.partitioned = true
    this.#note(process.name, 'partitioned')
    scheduler.after(random.between(200, random.chance(0.5) ? 3_000 : 25_000), () => this.#join(process))
  }

  #join(process: SimulatedProcess): void {
    if (!process.alive || !process.partitioned) return
    process.partitioned = false
    this.#note(process.name, 'healed')
  }

  cut(kind: 'lost' | 'compacted'): void {
    this.#options.random.pick(this.all)?.store.cutWatches(kind)
  }

  healAll(): void {
    for (const { process } of this.all) {
      this.#join(process)
      this.#resume(process)
    }
  }
}
