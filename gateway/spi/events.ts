// What happens, as past participles; one stream for the log, the metrics and `GET /v1/events`.

export interface GatewayEvent {
  readonly type:
    | 'session.opened'
    | 'session.closed'
    | 'session.expired'
    /** A mark by which calls are known was bound to the session. */
    | 'caller.bound'
    | 'lock.queued'
    | 'lock.granted'
    | 'lock.released'
    | 'grant.sealed'
    | 'grant.upgraded'
    | 'grant.downgraded'
    | 'handover.drained'
    | 'handover.opened'
    | 'lock.blocked'
    | 'lock.vouched'
    | 'fence.due'
    | 'fence.started'
    | 'fence.attempted'
    | 'fence.closed'
    | 'fence.blocked'
    | 'fence.held'
    /** At an operator's word, of a closed fence. */
    | 'fence.undone'
    /** A fencer's service has said what became of an order; it has said the opposite as well. */
    | 'callback.taken'
    | 'callback.contradicted'
    /** A fencer could not do its job when it was asked; it can again. */
    | 'fencer.unhealthy'
    | 'fencer.recovered'
    /** The last level of a plan would fail now; it would succeed again. */
    | 'plan.unfit'
    | 'plan.recovered'
    /** An address of a backend is not well, or is again. */
    | 'upstream.unhealthy'
    | 'upstream.recovered'
    /** Too many at once: how many since the last such word, and by which limits. */
    | 'calls.shed'
    | 'call.refused'
    | 'call.shadowed'
    | 'call.unknown'
    | 'call.joined'
    /** A gateway went without a clean exit; said by the one that wrote it down. */
    | 'gateway.gone'
    | 'view.lost'
    | 'view.current'
    | 'mark.failed'
    | 'mark.missing'
  readonly lock?: string
  readonly session?: string
  readonly token?: string
  readonly backend?: string
  readonly fence?: string
  /** By its name in the configuration. */
  readonly fencer?: string
  readonly verdict?: string
  readonly detail?: string
  /** For measurements: how long the thing took. */
  readonly durationMs?: number
}

/** Takes an event; never throws, never blocks, keeps nothing unbounded. */
export type EventSink = (event: GatewayEvent) => void
