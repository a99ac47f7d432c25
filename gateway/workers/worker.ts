// A worker's line to its parent: says that it lives, passes its events on, and gathers everybody's numbers. A worker whose
// parent is gone ends at once: nobody would stop it, and nobody would start it again.

import cluster from 'node:cluster'
import type { Clock } from '../spi/clock.ts'
import type { GatewayEvent } from '../spi/events.ts'
import type { Log, Metrics, RecordedEvent } from '../telemetry/index.ts'
import { type MetricFamily, mergeFamilies } from '../telemetry/metrics.ts'
import { type Address, type FromWorker, readFromParent } from './messages.ts'

export const WORKER_VARIABLE = 'FENCEGATE_WORKER'
export const RUN_VARIABLE = 'FENCEGATE_RUN'
export const ALIVE_MS = 1_000
/** Longer than the parent waits for a worker that does not answer. */
const GATHER_MS = 2_000
const BACKLOG_MAX = 4_096
const MESSAGES_UNDER_WAY_MAX = 64

/** What the gateway needs of being one of several workers. */
export interface WorkerLink {
  /** From 1; a worker that is started again has the number of the one before it. */
  readonly number: number
  /** Names the run of the parent, in whose order events are numbered. */
  readonly run: string
  /** Passes an event of this worker on. Never blocks. */
  relay(event: GatewayEvent, at: string): void
  /** Everybody's events in the parent's order, this worker's own too. */
  onEvents(listener: (events: readonly RecordedEvent[]) => void): void
  /** To be called once: where the numbers of this worker come from. */
  observe(own: Metrics): void
  /** The numbers of all workers; of this one alone where the parent does not answer. */
  expose(): ReturnType<Metrics['expose']>
}

export class ParentLink implements WorkerLink {
  readonly number: number
  readonly run: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #gathering = new Map<number, (families: readonly MetricFamily[]) => void>()
  #gathered = 0
  #own: Metrics | null = null
  #listener: ((events: readonly RecordedEvent[]) => void) | null = null
  /** What came before there was a listener. */
  readonly #early: RecordedEvent[] = []
  #backlog: { readonly at: string; readonly event: GatewayEvent }[] = []
  #dropped = 0
  #flushing = false
  #underWay = 0
  readonly #stop = Promise.withResolvers<void>()

  constructor(options: {
    readonly number: number
    readonly run: string
    readonly clock: Clock
    readonly log: Log
  }) {
    this.number = options.number
    this.run = options.run
    this.#clock = options.clock
    this.#log = options.log
    process.on('message', (message) => this.#receive(message))
    // Before Node's own listener, which would end the process as if all were well.
    process.prependOnceListener('disconnect', () => {
      process.stderr.write(`fencegate: worker ${this.number}: the parent is gone\n`)
      process.kill(process.pid, 'SIGKILL')
    })
    this.#sayAlive()
  }

  /** Resolves when the parent asks this worker to end. */
  get stopped(): Promise<void> {
    return this.#stop.promise
  }

  ready(control: Address, backends: Readonly<Record<string, Address>>): void {
    this.#send({ type: 'ready', control, backends: { ...backends } })
  }

  relay(event: GatewayEvent, at: string): void {
    if (this.#backlog.length >= BACKLOG_MAX) {
      this.#backlog.shift()
      this.#dropped++
    }
    this.#backlog.push({ at, event })
    this.#flushSoon()
  }

  onEvents(listener: (events: readonly RecordedEvent[]) => void): void {
    this.#listener = listener
    listener(this.#early.splice(0))
  }

  async expose(): ReturnType<Metrics['expose']> {
    const own = (await this.#own?.families()) ?? []
    const id = ++this.#gathered
    const others = await new Promise<readonly MetricFamily[]>((resolve) => {
      const timer = this.#clock.after(GATHER_MS, () => resolve([]))
      this.#gathering.set(id, (families) => {
        timer.cancel()
        resolve(families)
      })
      this.#send({ type: 'gather', id })
    })
    this.#gathering.delete(id)
    return mergeFamilies([...own, ...others])
  }

  observe(own: Metrics): void {
    this.#own = own
  }

  #receive(message: unknown): void {
    const known = readFromParent(message)
    switch (known?.type) {
      case 'stop':
        this.#stop.resolve()
        return
      case 'events':
        if (this.#listener === null) this.#early.push(...known.events)
        else this.#listener(known.events)
        return
      case 'metrics-wanted':
        void this.#tell(known.id)
        return
      case 'gathered':
        this.#gathering.get(known.id)?.(known.families)
        return
      case undefined:
        return
    }
  }

  async #tell(id: number): Promise<void> {
    this.#send({ type: 'metrics', id, families: [...((await this.#own?.families()) ?? [])] })
  }

  #sayAlive(): void {
    this.#send({ type: 'alive' })
    this.#clock.after(ALIVE_MS, () => this.#sayAlive())
  }

  #flushSoon(): void {
    if (this.#flushing || this.#underWay >= MESSAGES_UNDER_WAY_MAX) return
    this.#flushing = true
    // What happens in one turn goes in one message.
    setImmediate(() => {
      this.#flushing = false
      if (this.#dropped > 0)
        this.#log.warn({ dropped: this.#dropped }, 'events did not reach the other workers')
      this.#dropped = 0
      this.#send({ type: 'events', events: this.#backlog.splice(0) })
    })
  }

  #send(message: FromWorker): void {
    if (!process.connected) return
    this.#underWay++
    cluster.worker?.send(message, undefined, undefined, () => {
      this.#underWay--
      if (this.#backlog.length > 0) this.#flushSoon()
    })
  }
}
