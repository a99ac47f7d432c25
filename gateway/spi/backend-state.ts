// What a backend listener knows of its backend: for the control API and the metrics.

export interface UpstreamState {
  /** As the configuration names it. */
  readonly upstream: string
  readonly healthy: boolean
  /** Why it is not healthy. */
  readonly reason: string | null
  /** Wall clock, RFC 3339: since when it is what it is. */
  readonly since: string
  /** Calls that it has, or that wait for a connection to it. */
  readonly inFlight: number
}

export interface BackendState {
  readonly backend: string
  readonly policy: string
  /** False in shadow mode. */
  readonly enforced: boolean
  /** Calls between their head and their end at the backend. */
  readonly inFlight: number
  /** Of clients. */
  readonly connections: number
  /** Calls whose answer named a job that is not known to be over. */
  readonly jobs: number
  /** What was turned away because there was too much of it, by the limit that was met. */
  readonly shed: Readonly<Record<string, number>>
  readonly upstreams: readonly UpstreamState[]
}
