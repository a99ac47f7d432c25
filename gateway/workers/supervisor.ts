// The parent of several workers: it holds the ports and hands each connection to the next worker, starts again whoever
// dies, and ends them all when it is told to. It has no store and admits nothing: each worker is a gateway of its own.
//
// Connections are handed over one at a time, each when the worker has taken the one before. With ports that are shared in
// the kernel (SO_REUSEPORT) a worker that stands still would go on getting its share of all callers, and a second gateway
// on the same port, started by mistake, would not be noticed.

import cluster, { type Worker } from 'node:cluster'
import type { Clock, Timer } from '../spi/clock.ts'
import type { Log } from '../telemetry/index.ts'
import type { MetricFamily } from '../telemetry/metrics.ts'
import { EventOrder } from './event-order.ts'
import { HandedConnections } from './handed-connections.ts'
import { type Address, type FromParent, type FromWorker, readFromWorker } from './messages.ts'
import { ALIVE_MS, RUN_VARIABLE, WORKER_VARIABLE } from './worker.ts'

/** How long after its lease a silent worker is ended, which would end by itself if it could. */
const SILENCE_MS = 5_000
/** The same before its first word: it has no lease yet, and a busy machine is no fault of its own. */
const SILENT_START_MS_MAX = 120_000
const BACKOFF_MS = { first: 100, most: 10_000 }
/** Whoever ran for so long did not fail at its start. */
const STEADY_MS = 30_000
const GATHER_MS = 1_000
/** Of messages to a worker that does not read them; events past that are not for it. */
const UNREAD_MAX = 1_000

interface Place {
  readonly number: number
  worker: Worker | null
  startedMs: number
  heardMs: number
  /** It has said a word since it was started. */
  heard: boolean
  restarts: number
  /** In a row, each soon after its start. */
  failures: number
  unread: number
  ready: boolean
  timer: Timer | null
}

interface Gathering {
  readonly awaited: Set<Place>
  readonly families: MetricFamily[]
  readonly finish: () => void
}

export interface SupervisorOptions {
  readonly workers: number
  /** Of each worker's registration. */
  readonly leaseMs: number
  /** Names this run for those who read events. */
  readonly run: string
  readonly clock: Clock
  readonly log: Log
  /** All of them serve for the first time. */
  readonly onReady: (control: Address, backends: Readonly<Record<string, Address>>) => void
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #order: EventOrder
  readonly #places: Place[]
  readonly #gatherings = new Map<number, Gathering>()
  readonly #over = Promise.withResolvers<number>()
  #gathered = 0
  #hasServed = false
  #stopping = false
  #exitCode = 0
  #watch: Timer | null = null
  #watchedMs = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#order = new EventOrder(options.run)
    this.#places = Array.from({ length: options.workers }, (_, i) => ({
      number: i + 1,
      worker: null,
      startedMs: 0,
      heardMs: 0,
      heard: false,
      restarts: 0,
      failures: 0,
      unread: 0,
      ready: false,
      timer: null,
    }))
  }

  /** Resolves with the exit code once every worker is gone for good: told to, or because the first start failed. */
  run(): Promise<number> {
    cluster.schedulingPolicy = cluster.SCHED_RR
    for (const place of this.#places) this.#start(place)
    this.#watchSilence()
    return this.#over.promise
  }

  /** Tells every worker to end in order. Idempotent. */
  stop(): void {
    this.#stopping = true
    for (const place of this.#places) {
      place.timer?.cancel()
      place.timer = null
      this.#send(place, { type: 'stop' })
    }
    this.#settle()
  }

  /** Ends every worker at once: what they had in flight is unknown. */
  kill(): void {
    this.#stopping = true
    for (const { worker } of this.#places) worker?.process.kill('SIGKILL')
  }

  /** For SIGHUP. */
  signal(signal: NodeJS.Signals): void {
    for (const { worker } of this.#places) worker?.process.kill(signal)
  }

  #start(place: Place): void {
    const nowMs = this.#options.clock.monotonicMs()
    const worker = cluster.fork({
      [WORKER_VARIABLE]: String(place.number),
      [RUN_VARIABLE]: this.#options.run,
    })
    Object.assign(place, {
      worker,
      startedMs: nowMs,
      heardMs: nowMs,
      heard: false,
      unread: 0,
      ready: false,
      timer: null,
    })
    worker.on('message', (message) => this.#receive(place, message))
    worker.on('error', (error) => this.#options.log.error({ error, worker: place.number }, 'worker'))
    const handed = new HandedConnections(worker)
    worker.once('exit', (code, signal) => {
      handed.closeAll()
      this.#exited(place, code, signal)
    })
    if (this.#order.kept.length > 0) this.#send(place, { type: 'events', events: [...this.#order.kept] })
  }

  #exited(place: Place, code: number | null, signal: string | null): void {
    const { clock, log } = this.#options
    place.worker = null
    for (const gathering of this.#gatherings.values()) this.#heardFrom(place, gathering)
    if (this.#stopping || !this.#hasServed) {
      if (code !== 0) this.#exitCode = 1
      // The first start of one came to nothing, and it has said why: as one gateway would, all end.
      if (!this.#stopping) this.stop()
      else this.#settle()
      return
    }
    if (clock.monotonicMs() - place.startedMs > STEADY_MS) place.failures = 0
    const backoffMs = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** place.failures)
    const delayMs = code === 0 ? 0 : backoffMs
    place.failures++
    place.restarts++
    log.error(
      { worker: place.number, code, signal, restartMs: delayMs },
      'a worker ended; it is started again',
    )
    place.timer = clock.after(delayMs, () => this.#start(place))
  }

  #settle(): void {
    if (this.#stopping && this.#places.every(({ worker }) => worker === null)) {
      this.#watch?.cancel()
      this.#over.resolve(this.#exitCode)
    }
  }

  #receive(place: Place, message: unknown): void {
    const known: FromWorker | null = readFromWorker(message)
    if (known === null) return
    place.heardMs = this.#options.clock.monotonicMs()
    place.heard = true
    switch (known.type) {
      case 'alive':
        return
      case 'ready':
        place.ready = true
        this.#options.log.info({ worker: place.number, pid: place.worker?.process.pid }, 'a worker serves')
        if (this.#hasServed || this.#places.some(({ ready }) => !ready)) return
        this.#hasServed = true
        this.#options.onReady(known.control, known.backends)
        return
      case 'events': {
        const events = this.#order.number(known.events)
        for (const other of this.#places)
          if (other.unread < UNREAD_MAX) this.#send(other, { type: 'events', events: [...events] })
        return
      }
      case 'gather':
        this.#gather(place, known.id)
        return
      case 'metrics': {
        const gathering = this.#gatherings.get(known.id)
        if (gathering === undefined) return
        gathering.families.push(...known.families)
        this.#heardFrom(place, gathering)
        return
      }
    }
  }

  /** The asking worker has its own numbers; the others are asked, and not waited for if they do not answer. */
  #gather(asking: Place, theirId: number): void {
    const id = ++this.#gathered
    const awaited = new Set(
      this.#places.filter((place) => place !== asking && place.ready && place.worker !== null),
    )
    const answering = new Set([asking])
    const finish = (): void => {
      if (!this.#gatherings.delete(id)) return
      timer.cancel()
      for (const place of this.#places)
        if (!awaited.has(place) && place.worker !== null && place.ready) answering.add(place)
      const families = [...gathering.families, ...this.#ownFamilies(answering)]
      this.#send(asking, { type: 'gathered', id: theirId, families })
    }
    const gathering: Gathering = { awaited, families: [], finish }
    const timer = this.#options.clock.after(GATHER_MS, finish)
    this.#gatherings.set(id, gathering)
    for (const place of awaited) this.#send(place, { type: 'metrics-wanted', id })
    if (awaited.size === 0) finish()
  }

  #heardFrom(place: Place, gathering: Gathering): void {
    gathering.awaited.delete(place)
    if (gathering.awaited.size === 0) gathering.finish()
  }

  #ownFamilies(answering: ReadonlySet<Place>): MetricFamily[] {
    const family = (name: string, help: string, read: (place: Place) => number): MetricFamily => ({
      name,
      help,
      type: 'gauge',
      values: this.#places.map((place) => ({ labels: { worker: String(place.number) }, value: read(place) })),
    })
    return [
      family('fencegate_worker_up', 'Whether the worker answered this scrape.', (place) =>
        answering.has(place) ? 1 : 0,
      ),
      family(
        'fencegate_worker_restarts',
        'How often the worker was started again.',
        ({ restarts }) => restarts,
      ),
    ]
  }

  #watchSilence(): void {
    const { clock, log } = this.#options
    const nowMs = clock.monotonicMs()
    // Where this process stood still itself, it has heard nobody, and nobody is to blame.
    const stoodStill = this.#watchedMs > 0 && nowMs - this.#watchedMs > 3 * ALIVE_MS
    this.#watchedMs = nowMs
    for (const place of this.#places) {
      if (stoodStill) place.heardMs = nowMs
      const silenceMsMax = place.heard ? this.#options.leaseMs + SILENCE_MS : SILENT_START_MS_MAX
      if (place.worker === null || nowMs - place.heardMs <= silenceMsMax) continue
      log.error({ worker: place.number }, 'a worker does not answer and is ended')
      place.heardMs = nowMs
      place.worker.process.kill('SIGKILL')
    }
    this.#watch = clock.after(ALIVE_MS, () => this.#watchSilence())
  }

  #send(place: Place, message: FromParent): void {
    const { worker } = place
    if (worker === null || !worker.isConnected()) return
    place.unread++
    worker.send(message, undefined, undefined, () => {
      if (place.worker === worker) place.unread--
    })
  }
}
