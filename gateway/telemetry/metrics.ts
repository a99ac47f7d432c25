// Numbers for Prometheus. Labels are only words of the configuration and of our own tables, never a lock, session or
// token: what clients invent must not grow a time series.

import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { BackendState } from '../spi/backend-state.ts'
import type { GatewayEvent } from '../spi/events.ts'
import { observeBackends } from './backend-gauges.ts'
import { type FencingSources, observeFencing } from './fencing-gauges.ts'
import { pairCounter } from './pair-counter.ts'

/** Asked at each scrape; must answer at once from memory. */
export interface GaugeSources {
  sessions(): number
  locks(): { readonly open: number; readonly handover: number; readonly blocked: number }
  inFlight(): number
  /** Calls in the ledger of which nobody knows what became. */
  unknown(): number
  /** Waiters in the queues of all locks. */
  waiting(): number
  /** Calls that wait for a handover. */
  parked(): number
}

export interface CallCount {
  readonly effect: string
  readonly verdict: string
  readonly count: number
}

export interface Metrics {
  /** Where the numbers of calls come from; asked at each scrape. Counting them there costs a call next to nothing. */
  observeCalls(backend: string, calls: Iterable<CallCount>): void
  /** What a backend listener knows of its backend; asked at each scrape. */
  observeBackend(backend: string, state: () => BackendState): void
  event(event: GatewayEvent): void
  /** Where the gauges get their numbers. Until it is called they are absent. */
  observe(sources: GaugeSources): void
  observeFencing(sources: FencingSources): void
  /** The same as values, for a process that puts several expositions together. */
  families(): Promise<readonly MetricFamily[]>
  /** The exposition, and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly body: string }>
  /** Forgets everything; for the end of a gateway in a process that goes on. */
  close(): void
}

/** One metric with its values, as the library tells it. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  /** `counter`, `gauge`, … */
  readonly type: unknown
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string | number | undefined>>
    readonly value: number
  }[]
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** `worker`: one of several processes of one gateway's ports; a label on all of its numbers. */
export function createMetrics(options: {
  readonly processMetrics: boolean
  readonly worker?: number
}): Metrics {
  const registry = new Registry()
  if (options.worker !== undefined) registry.setDefaultLabels({ worker: String(options.worker) })
  if (options.processMetrics) collectDefaultMetrics({ register: registry, prefix: 'fencegate_' })
  const registers = [registry]

  const tallies = new Map<string, Iterable<CallCount>>()
  new Counter({
    name: 'fencegate_calls_total',
    help: 'Calls on backend listeners, by what the policy and the locks said.',
    labelNames: ['backend', 'effect', 'verdict'],
    registers,
    collect() {
      this.reset()
      for (const [backend, calls] of tallies)
        for (const { effect, verdict, count } of calls) this.inc({ backend, effect, verdict }, count)
    },
  })
  const backends = observeBackends(registry)
  const refused = pairCounter({
    name: 'fencegate_calls_refused_total',
    help: 'Calls that the gateway refused.',
    labelNames: ['backend', 'verdict'],
    registers,
  })
  const shadowed = pairCounter({
    name: 'fencegate_calls_shadowed_total',
    help: 'Calls that would have been refused if the backend were enforced.',
    labelNames: ['backend', 'verdict'],
    registers,
  })
  const unknown = new Counter({
    name: 'fencegate_calls_unknown_total',
    help: 'Calls whose outcome at the backend could not be known.',
    labelNames: ['backend'],
    registers,
  })
  const handoverSeconds = new Histogram({
    name: 'fencegate_handover_duration_seconds',
    help: 'From the seal of the old token to the opening of the new one.',
    buckets: SECONDS,
    registers,
  })
  const drainSeconds = new Histogram({
    name: 'fencegate_drain_duration_seconds',
    help: 'From the seal of a token to the end of the last call under it.',
    buckets: SECONDS,
    registers,
  })
  const fences = new Counter({
    name: 'fencegate_fences_total',
    help: 'Fences by what came of them.',
    labelNames: ['outcome'],
    registers,
  })
  const fenceSeconds = new Histogram({
    name: 'fencegate_fence_duration_seconds',
    help: 'From a fence falling due to its record being closed.',
    buckets: SECONDS,
    registers,
  })
  const attempts = new Counter({
    name: 'fencegate_fence_attempts_total',
    help: 'Attempts of fencers by outcome.',
    labelNames: ['fencer', 'outcome'],
    registers,
  })
  const attemptSeconds = new Histogram({
    name: 'fencegate_fence_attempt_duration_seconds',
    help: 'Of one attempt of a fencer: act and look.',
    labelNames: ['fencer'],
    buckets: SECONDS,
    registers,
  })
  const events = pairCounter({
    name: 'fencegate_events_total',
    help: 'What happened, by the type of the event.',
    labelNames: ['type'],
    registers,
  })

  const seconds = (histogram: { observe(value: number): void }, event: GatewayEvent): void => {
    if (event.durationMs !== undefined) histogram.observe(event.durationMs / 1000)
  }

  return {
    observeCalls(backend, calls) {
      tallies.set(backend, calls)
    },
    observeBackend: (backend, state) => void backends.set(backend, state),
    event(event) {
      events.inc(event.type)
      const backend = event.backend ?? 'none'
      const verdict = event.verdict ?? 'none'
      switch (event.type) {
        case 'call.refused':
          return refused.inc(backend, verdict)
        case 'call.shadowed':
          return shadowed.inc(backend, verdict)
        case 'call.unknown':
          return unknown.inc({ backend })
        case 'handover.opened':
          return seconds(handoverSeconds, event)
        case 'handover.drained':
          return seconds(drainSeconds, event)
        case 'fence.attempted':
          if (event.durationMs !== undefined)
            attemptSeconds.observe({ fencer: event.fencer ?? 'none' }, event.durationMs / 1000)
          return attempts.inc({ fencer: event.fencer ?? 'none', outcome: event.verdict ?? 'unknown' })
        case 'fence.closed':
          seconds(fenceSeconds, event)
          return fences.inc({ outcome: event.verdict ?? 'fenced' })
        case 'fence.blocked':
          return fences.inc({ outcome: 'blocked' })
        case 'fence.held':
          return fences.inc({ outcome: 'held' })
        case 'session.opened':
        case 'session.closed':
        case 'session.expired':
        case 'caller.bound':
        case 'lock.queued':
        case 'lock.granted':
        case 'lock.released':
        case 'grant.sealed':
        case 'grant.upgraded':
        case 'grant.downgraded':
        case 'lock.blocked':
        case 'lock.vouched':
        case 'fence.due':
        case 'fence.started':
        case 'fence.undone':
        case 'callback.taken':
        case 'callback.contradicted':
        case 'call.joined':
        case 'calls.shed':
        case 'upstream.unhealthy':
        case 'upstream.recovered':
        case 'fencer.unhealthy':
        case 'fencer.recovered':
        case 'plan.unfit':
        case 'plan.recovered':
        case 'gateway.gone':
        case 'view.lost':
        case 'view.current':
        case 'mark.failed':
        case 'mark.missing':
          return
      }
    },
    observe: (sources) => observe(registry, sources),
    observeFencing: (sources) => observeFencing(registry, sources),
    families: () => registry.getMetricsAsJSON(),
    async expose() {
      return { contentType: registry.contentType, body: await registry.metrics() }
    },
    close: () => registry.clear(),
  }
}

function observe(registry: Registry, sources: GaugeSources): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    registry.removeSingleMetric(name)
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  }
  gauge('fencegate_sessions', 'Sessions that are alive.', () => sources.sessions())
  gauge('fencegate_calls_in_flight', 'Calls in the ledger.', () => sources.inFlight())
  gauge('fencegate_calls_unresolved', 'Calls in the ledger whose outcome is unknown.', () =>
    sources.unknown(),
  )
  gauge('fencegate_waiters', 'Waiters in the queues of all locks.', () => sources.waiting())
  gauge('fencegate_calls_parked', 'Calls that wait for a handover.', () => sources.parked())
  registry.removeSingleMetric('fencegate_locks')
  new Gauge({
    name: 'fencegate_locks',
    help: 'Locks by phase.',
    labelNames: ['phase'],
    registers: [registry],
    collect() {
      for (const [phase, count] of Object.entries(sources.locks())) this.set({ phase }, count)
    },
  })
}

/** One exposition of the families of several processes, whose labels tell their values apart. */
export async function mergeFamilies(
  families: readonly MetricFamily[],
): Promise<{ readonly contentType: string; readonly body: string }> {
  // Nothing is summed: no two values have the same labels. The library would leave out what makes no sense as a sum.
  const registry = AggregatorRegistry.aggregate([
    families.map((family) => ({ ...family, aggregator: 'sum' })),
  ])
  return { contentType: registry.contentType, body: await registry.metrics() }
}
