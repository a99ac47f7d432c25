// What the monitoring of the fencers has found: for the control API, the command line and the metrics.

export interface FencerHealth {
  readonly fencer: string
  readonly driver: string
  /** `unknown`: nobody has looked yet, or monitoring is off. Nothing is ever taken for fenced or alive by it. */
  readonly state: 'unknown' | 'healthy' | 'unhealthy'
  /** Why it could not do its job; redacted. Null unless unhealthy. */
  readonly reason: string | null
  /** Wall clock, RFC 3339: the latest look, and when the state became what it is. */
  readonly monitoredAt: string | null
  readonly since: string | null
  /** Plans that have nothing left to try where this fencer fails. */
  readonly lastResortOf: readonly string[]
}
