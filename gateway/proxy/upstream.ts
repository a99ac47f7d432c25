// One address of a backend and the connections to it. The only maker of undici pools here; nothing is pipelined,
// redirected or repeated.

import { isIP, type LookupFunction } from 'node:net'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { UpstreamState } from '../spi/backend-state.ts'
import type { Clock } from '../spi/clock.ts'
import { errorCode } from './call-faults.ts'
import type { ProxyLimits } from './limits.ts'
import type { UpstreamAddress } from './upstream-address.ts'
import { UpstreamHealth } from './upstream-health.ts'
import { Dialler } from './wire/dial.ts'
import { UpstreamPool } from './wire/upstream-pool.ts'

/** As `Dispatcher.DispatchOptions`; undici takes a server name as well, which its types do not say. */
export interface ForwardOptions extends Dispatcher.DispatchOptions {
  readonly servername: string
}

export interface UpstreamTerms {
  readonly clock: Clock
  readonly limits: ProxyLimits
  readonly lookup: LookupFunction | undefined
  readonly onHealth: (upstream: Upstream, isWell: boolean, reason: string) => void
}

export class Upstream {
  readonly address: UpstreamAddress
  readonly health: UpstreamHealth
  readonly dialler: Dialler
  /** For calls on node:http. */
  readonly pool: Pool
  /** For probes: calls that wait for a connection must not be able to hold up the proof that they are over. */
  readonly probes: Pool
  /** For calls on raw connections. */
  readonly wire: UpstreamPool
  /** Faults after which it is known that nothing was sent. */
  readonly #unsent = new WeakSet<Error>()

  constructor(address: UpstreamAddress, { clock, limits, lookup, onHealth }: UpstreamTerms) {
    this.address = address
    this.health = new UpstreamHealth({
      clock,
      asideMs: limits.asideMs,
      onChange: (isWell, reason) => onHealth(this, isWell, reason),
    })
    this.dialler = new Dialler(address, lookup)
    const options = poolOptions(address, limits, lookup, (error) => this.unreachable(error))
    this.pool = new Pool(address.origin, { ...options, connections: limits.upstreamConnectionsMax })
    this.probes = new Pool(address.origin, { ...options, connections: limits.probesMax })
    this.wire = new UpstreamPool(this.dialler, limits, clock, (error) => this.unreachable(error))
  }

  /** What undici takes beyond its published types: the one name for TLS, whatever Host the client sends. */
  get servername(): string {
    return this.address.servername
  }

  /** Calls that it has, or that wait for a connection to it. */
  get load(): number {
    return this.wire.load + this.pool.stats.size
  }

  get state(): UpstreamState {
    const { health } = this
    const healthy = health.isWell
    return {
      upstream: this.address.origin,
      healthy,
      reason: healthy ? null : health.reason,
      since: new Date(health.sinceWallMs).toISOString(),
      inFlight: this.load,
    }
  }

  /** Whether the fault is that no connection could be made. */
  couldNotConnect(error: Error): boolean {
    return this.#unsent.has(error)
  }

  unreachable(error: Error): void {
    this.#unsent.add(error)
    this.health.unreachable(`${errorCode(error)}: ${error.message.slice(0, 200)}`)
  }

  async close(): Promise<void> {
    this.wire.close()
    await Promise.all([this.pool.destroy(), this.probes.destroy()])
  }
}

function poolOptions(
  { origin, servername, tls }: UpstreamAddress,
  limits: ProxyLimits,
  lookup: LookupFunction | undefined,
  onFault: (error: Error) => void,
): Pool.Options {
  const connect = buildConnector({
    allowH2: false,
    timeout: limits.connectMs,
    ...(lookup === undefined ? {} : { lookup }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    ...(tls?.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: tls.rejectUnauthorized }),
  })
  return {
    // The default would name the server after the client's Host.
    connect: ({ servername: _fromHost, ...target }, callback) =>
      connect(
        origin.startsWith('https:') && isIP(servername) === 0 ? { ...target, servername } : target,
        (...outcome) => {
          if (outcome[0] !== null) onFault(outcome[0])
          callback(...outcome)
        },
      ),
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: limits.headerBytesMax,
    keepAliveTimeout: limits.upstreamIdleMs,
    // A server's own hint is honoured up to this, less the threshold that is for the way.
    keepAliveMaxTimeout: 60_000,
    keepAliveTimeoutThreshold: 1_000,
    clientTtl: limits.upstreamAgeMs,
    headersTimeout: limits.answerHeadMs,
    bodyTimeout: limits.answerIdleMs,
  }
}
