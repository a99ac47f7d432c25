// Asks every fencer at the start and then on a schedule whether it could do its job, so that one that is broken is known
// before it is needed. It only looks: it must never strike, and its findings must never close a fence.

import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { FencerHealth } from '../spi/fencer-health.ts'
import { pause, wallTime } from './attempt.ts'
import type { ConfiguredFencer, Fencing } from './plans.ts'

export interface MonitoringOptions {
  readonly fencing: Fencing
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly events: EventSink
  /** Between two looks at one fencer, give or take a quarter; 0: never. */
  readonly everyMs: number
  /** Of one look. */
  readonly timeoutMs: number
  /** In their place, for fencers by name. */
  readonly fencers?: Readonly<
    Record<string, { readonly everyMs?: number | undefined; readonly timeoutMs?: number | undefined }>
  >
}

export interface Monitoring extends FencerDoubts {
  /** In the order of the configuration. */
  health(): readonly FencerHealth[]
  /** Breaks off what looks. Idempotent. */
  stop(): void
}

/** What the sequencer asks of the monitoring, and tells it. Neither keeps a fencer from being tried. */
export interface FencerDoubts {
  /** It could not do its job when it was last asked. */
  isUnhealthy(fencer: string): boolean
  /** An attempt has failed: the fencer is asked at once. */
  doubt(fencer: string): void
}

const REASON_MAX = 500
/** A quarter less or more, so that gateways that were started together do not look together for ever. */
const JITTER = 0.5

interface Watched {
  readonly configured: ConfiguredFencer
  readonly lastResortOf: readonly string[]
  state: FencerHealth['state']
  reason: string | null
  monitoredAt: string | null
  since: string | null
  /** A driver's look that outlasted its time: another one beside it would only pile up. */
  isLooking: boolean
  timer: Timer | null
}

export function startMonitoring(options: MonitoringOptions): Monitoring {
  const { fencing, clock, random, events } = options
  const everyMsOf = (name: string): number => options.fencers?.[name]?.everyMs ?? options.everyMs
  const over = new AbortController()
  const unfit = new Set<string>()
  const watched = new Map<string, Watched>(
    fencing.fencers.map((configured) => [
      configured.name,
      {
        configured,
        lastResortOf: fencing.plans.filter((plan) => fencing.levels(plan)?.at(-1)?.includes(configured.name)),
        state: 'unknown',
        reason: null,
        monitoredAt: null,
        since: null,
        isLooking: false,
        timer: null,
      },
    ]),
  )

  async function look(one: Watched): Promise<void> {
    one.timer?.cancel()
    const reason = one.isLooking ? 'it has not come back from the look before' : await failureOf(one)
    if (over.signal.aborted) return
    conclude(one, reason)
    const everyMs = everyMsOf(one.configured.name)
    one.timer = clock.after(everyMs * (1 - JITTER / 2 + JITTER * random()), () => void look(one))
  }

  /** Null where the fencer could do its job. */
  async function failureOf(one: Watched): Promise<string | null> {
    const { configured } = one
    const limit = new AbortController()
    const signal = AbortSignal.any([limit.signal, over.signal])
    one.isLooking = true
    const note = (): void => undefined
    const looking = begin(() => configured.fencer.monitor({ clock, note, signal }))
      .then(
        () => null,
        (error: unknown) => reasonOf(error),
      )
      .finally(() => {
        one.isLooking = false
      })
    const patience = new AbortController()
    const timeoutMs = options.fencers?.[configured.name]?.timeoutMs ?? options.timeoutMs
    const late = pause(clock, timeoutMs, AbortSignal.any([patience.signal, over.signal])).then(
      () => `no answer within ${timeoutMs / 1000} s`,
    )
    const failure = await Promise.race([looking, late])
    patience.abort()
    limit.abort(new Error('the time of the look is over'))
    return failure === null ? null : configured.redact(failure).slice(0, REASON_MAX)
  }

  function conclude(one: Watched, reason: string | null): void {
    const state = reason === null ? 'healthy' : 'unhealthy'
    const { name } = one.configured
    const before = one.state
    one.monitoredAt = wallTime(clock)
    one.reason = reason
    if (state !== before) {
      one.state = state
      one.since = one.monitoredAt
      if (reason !== null) events({ type: 'fencer.unhealthy', fencer: name, detail: `${name}: ${reason}` })
      else if (before === 'unhealthy') events({ type: 'fencer.recovered', fencer: name })
    }
    judgePlans()
  }

  /** Says of each plan, once for each change, that nothing would be left where the levels before have failed. */
  function judgePlans(): void {
    for (const plan of fencing.plans) {
      const levels = fencing.levels(plan) ?? []
      const broken = (levels.at(-1) ?? []).filter((name) => watched.get(name)?.state === 'unhealthy')
      if (broken.length === 0) {
        if (unfit.delete(plan)) events({ type: 'plan.recovered', detail: `plan ${plan}` })
      } else if (!unfit.has(plan)) {
        unfit.add(plan)
        const which = levels.length === 1 ? 'its only level' : 'its last level, which nothing comes after,'
        events({
          type: 'plan.unfit',
          detail: `plan ${plan}: ${which} would fail now, because ${broken.join(', ')} could not do its job; mend it before somebody has to be fenced`,
        })
      }
    }
  }

  for (const [name, one] of watched) if (everyMsOf(name) > 0) void look(one)
  return {
    isUnhealthy: (fencer) => watched.get(fencer)?.state === 'unhealthy',
    doubt(fencer) {
      const one = watched.get(fencer)
      if (one !== undefined && everyMsOf(fencer) > 0 && !one.isLooking && !over.signal.aborted) void look(one)
    },
    health: () =>
      [...watched.values()].map(({ configured, lastResortOf, state, reason, monitoredAt, since }) => ({
        fencer: configured.name,
        driver: configured.driver.id,
        state,
        reason,
        monitoredAt,
        since,
        lastResortOf,
      })),
    stop() {
      over.abort(new Error('the gateway stops'))
      for (const { timer } of watched.values()) timer?.cancel()
    },
  }
}

/** A driver that throws where it should reject has failed, and no more. */
async function begin(action: () => Promise<void>): Promise<void> {
  await action()
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
