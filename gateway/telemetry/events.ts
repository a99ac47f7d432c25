// The fan-out of what happens: to the log, the metrics, a bounded ring for late readers, and live subscribers.
// Never throws into the room that reports, never blocks it, and keeps nothing unbounded.

import type { Clock } from '../spi/clock.ts'
import type { EventSink, GatewayEvent } from '../spi/events.ts'
import type { Log, LogLevel } from './log.ts'
import type { Metrics } from './metrics.ts'

export interface RecordedEvent {
  /** `<run>-<number>`; numbers have no gaps within one run of one gateway. */
  readonly id: string
  readonly number: number
  /** Wall clock, RFC 3339. */
  readonly at: string
  readonly event: GatewayEvent
}

export interface EventRing {
  /** Id of the newest event; one that `after` knows also where nothing has happened yet. */
  latest(): string
  /**
   * What came after the event with this id, oldest first. `missed` is true where something between was forgotten, or
   * the id is of another run: then everything that is still known is in `events`.
   */
  after(id: string): { readonly events: readonly RecordedEvent[]; readonly missed: boolean }
}

export interface Events {
  readonly sink: EventSink
  /** Calls `listener` for each event from now on, in order. A listener that throws is dropped. */
  subscribe(listener: (event: RecordedEvent) => void): () => void
  readonly ring: EventRing
  /** Events that were numbered elsewhere, in order: for the ring and for whoever listens. See `relay`. */
  accept(events: readonly RecordedEvent[]): void
}

export interface EventsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Names this run of this gateway, so that an id of another run is recognised: no dash in it. */
  readonly run: string
  /** Events that are kept for readers that come back. */
  readonly kept?: number
  /** Where this is one of several workers: takes each event, to come back numbered through `accept`. */
  readonly relay?: (event: GatewayEvent, at: string) => void
}

const LEVELS: Readonly<Record<GatewayEvent['type'], Exclude<LogLevel, 'silent'>>> = {
  'session.opened': 'info',
  'session.closed': 'info',
  'session.expired': 'warn',
  'lock.queued': 'debug',
  'lock.granted': 'info',
  'lock.released': 'info',
  'caller.bound': 'info',
  'grant.sealed': 'info',
  'grant.upgraded': 'info',
  'grant.downgraded': 'info',
  'handover.drained': 'info',
  'handover.opened': 'info',
  'lock.blocked': 'error',
  'lock.vouched': 'warn',
  'fence.due': 'warn',
  'fence.started': 'warn',
  'fence.attempted': 'warn',
  'fence.closed': 'warn',
  'fence.blocked': 'error',
  'fence.held': 'error',
  'fence.undone': 'warn',
  'callback.taken': 'warn',
  'callback.contradicted': 'error',
  'calls.shed': 'warn',
  'upstream.unhealthy': 'warn',
  'upstream.recovered': 'info',
  'fencer.unhealthy': 'error',
  'fencer.recovered': 'info',
  'plan.unfit': 'error',
  'plan.recovered': 'info',
  'call.refused': 'info',
  'call.shadowed': 'info',
  'call.unknown': 'warn',
  'call.joined': 'info',
  'gateway.gone': 'warn',
  'view.lost': 'error',
  'view.current': 'info',
  'mark.failed': 'error',
  'mark.missing': 'warn',
}

/** An event as it is kept: the words around it are put together for those who ask, which a flood of refusals does not. */
type Slot = RecordedEvent | { readonly event: GatewayEvent; readonly wallMs: number }

export function createEvents(options: EventsOptions): Events {
  const kept = options.kept ?? 4096
  const slots: Slot[] = []
  const listeners = new Set<(event: RecordedEvent) => void>()
  let last = 0
  /** What came before is not known here. */
  let earliest = 1

  const sink: EventSink = (event) => {
    const wallMs = options.clock.wallMs()
    options.metrics.event(event)
    const level = LEVELS[event.type]
    if (options.log.writes(level)) {
      const { type, token, ...fields } = event
      // The log takes every field named `token` for a credential; here it is the number of a grant.
      options.log[level](token === undefined ? fields : { ...fields, grant: token }, type)
    }
    if (options.relay === undefined) record(last + 1, { event, wallMs })
    else options.relay(event, new Date(wallMs).toISOString())
  }

  const record = (number: number, slot: Slot): void => {
    if (number !== last + 1) earliest = number
    last = number
    slots[(number - 1) % kept] = slot
    if (listeners.size === 0) return
    const recorded = recordedAs(slot, number)
    for (const listener of listeners) {
      try {
        listener(recorded)
      } catch (error) {
        listeners.delete(listener)
        options.log.error({ error }, 'an event listener failed and was dropped')
      }
    }
  }

  const recordedAs = (slot: Slot, number: number): RecordedEvent =>
    'wallMs' in slot
      ? { id: `${options.run}-${number}`, number, at: new Date(slot.wallMs).toISOString(), event: slot.event }
      : slot

  const after = (id: string): ReturnType<EventRing['after']> => {
    const dash = id.lastIndexOf('-')
    const number = Number(id.slice(dash + 1))
    const known =
      id.slice(0, dash) === options.run && Number.isSafeInteger(number) && number >= 0 && number <= last
    const oldest = Math.max(earliest, last - kept + 1)
    const first = known ? Math.max(number + 1, oldest) : oldest
    const events: RecordedEvent[] = []
    for (let next = first; next <= last; next++) {
      const slot = slots[(next - 1) % kept]
      if (slot !== undefined) events.push(recordedAs(slot, next))
    }
    return { events, missed: !known || number + 1 < oldest }
  }

  return {
    sink,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    accept(events) {
      for (const recorded of events) record(recorded.number, recorded)
    },
    ring: { latest: () => `${options.run}-${last}`, after },
  }
}
