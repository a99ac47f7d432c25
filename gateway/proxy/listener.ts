// A backend listener: puts the parts of the data plane of one backend together, and ends everything in order.

import type { Server } from 'node:http'
import { type LookupFunction, Server as NetServer } from 'node:net'
import type { BackendState } from '../spi/backend-state.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { Gate } from '../spi/gate.ts'
import type { LoginBarrier } from '../spi/login-barrier.ts'
import type { Policy } from '../spi/policy.ts'
import type { Backend } from './backend.ts'
import { BufferGarbage } from './buffer-garbage.ts'
import { type CallCount, CallTally } from './call-tally.ts'
import type { CallerTerms } from './callers.ts'
import { ClientConnections } from './client-connections.ts'
import { Flights } from './flights.ts'
import { ForwardedFields, type ForwardedTerms } from './forwarded-fields.ts'
import { HealthChecks, type HealthCheckTerms } from './health-checks.ts'
import { HeldBodies } from './held-bodies.ts'
import { openHttpServer, type ServerTls } from './http-front.ts'
import { HTTP2_PROTOCOL, Http2Plane } from './http2/http2-plane.ts'
import { JobWatch } from './jobs.ts'
import { DEFAULT_LIMITS, type ProxyLimits } from './limits.ts'
import { CALL_ID_DEFAULT, Repeats } from './repeats.ts'
import { SessionCalls } from './session-calls.ts'
import { Shedding } from './shedding.ts'
import { Upstream } from './upstream.ts'
import { readUpstreamAddress, type UpstreamTls } from './upstream-address.ts'
import { type Balance, Upstreams } from './upstreams.ts'
import type { ObserverCredentials } from './vsphere-tasks.ts'
import { FastPlane } from './wire/wire-plane.ts'

export interface BackendListenerOptions {
  /** The backend's name in the configuration. */
  readonly name: string
  readonly listen: { readonly host: string; readonly port: number }
  /** PEM contents; without them the listener speaks plain HTTP. */
  readonly tls?: Omit<ServerTls, 'protocols'>
  /** Whether HTTP/2 is offered where the listener has TLS; it is where absent. */
  readonly http2?: boolean
  /** `http(s)://host[:port]`, nothing more; several where any of them can take any call. At least one. */
  readonly upstream: string | readonly string[]
  readonly upstreamTls?: UpstreamTls
  /** `first` where absent. */
  readonly balance?: Balance
  /** How to look after the addresses; nobody does where absent. */
  readonly health?: HealthCheckTerms
  /** In place of the system's look-up of names. */
  readonly lookup?: LookupFunction
  readonly policy: Policy
  readonly gate: Gate
  /** Who must not open a session at the backend now. Absent: nobody. */
  readonly logins?: LoginBarrier
  /** How callers without a token are known. Absent: not at all. */
  readonly callers?: CallerTerms
  /** False is shadow mode: everything is checked and reported, nothing is refused but malformed framing. */
  readonly enforce: boolean
  readonly clock: Clock
  readonly events: EventSink
  readonly limits?: Partial<ProxyLimits>
  /** Fields, in lower case, by which a client names a call; `idempotency-key` where absent. */
  readonly callIds?: readonly string[]
  /** What the backend is told of the client; what that says itself goes through untouched where absent. */
  readonly forwarded?: ForwardedTerms
  /** Protocols to which a connection may change, such as `websocket`; none where absent. */
  readonly upgrades?: readonly string[]
  /** False takes every call through node:http, plain ones too; for the tests that hold both ways to the same. */
  readonly raw?: boolean
  /** A login of the gateway's own that may look at vSphere tasks after the call's session has ended. */
  readonly observer?: ObserverCredentials
}

export interface BackendListener {
  readonly address: { readonly host: string; readonly port: number }
  /** Calls between their head and their end at the backend. */
  readonly inFlight: number
  /** All calls that are over, by effect and verdict. */
  readonly calls: Iterable<CallCount>
  /** Calls whose answer named a job that is not known to be over. */
  readonly jobs: number
  readonly state: BackendState
  /** Tells each client, with the next answer that it gets, to come back on another connection. Idempotent. */
  leave(): void
  /**
   * Stops accepting, refuses what still comes on connections that are open, lets what is in flight (jobs too) end within
   * `limits.closeMs`, then breaks it off: what had been sent is reported unknown. Idempotent; never rejects.
   */
  close(): Promise<void>
}

/** Rejects where the address cannot be listened on; throws a `TypeError` for an upstream that cannot be meant. */
export async function startBackendListener(options: BackendListenerOptions): Promise<BackendListener> {
  const limits: ProxyLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const upstreams = openUpstreams(options, limits)
  const callIds = options.callIds ?? [CALL_ID_DEFAULT]
  const backend: Backend = {
    name: options.name,
    policy: options.policy,
    gate: options.gate,
    logins: options.logins ?? null,
    callers: options.callers ?? null,
    enforce: options.enforce,
    clock: options.clock,
    events: options.events,
    limits,
    upstreams,
    jobs: new JobWatch({ clock: options.clock, upstreams, limits, observer: options.observer ?? null }),
    flights: new Flights(),
    sessions: new SessionCalls(limits.inFlightPerSessionMax),
    bodies: new HeldBodies(limits.bodiesBytesMax),
    tally: new CallTally(),
    shedding: new Shedding(options.name, options.clock, options.events),
    repeats: new Repeats(callIds),
    upgrades: new Set(options.upgrades?.map((protocol) => protocol.toLowerCase())),
    forwardedFields:
      options.forwarded === undefined || options.forwarded.send.length === 0
        ? null
        : new ForwardedFields(options.forwarded),
    garbage: new BufferGarbage(),
    closing: false,
    refusing: false,
  }
  const connections = new ClientConnections(backend)
  const protocols = options.http2 === false ? ['http/1.1'] : [HTTP2_PROTOCOL, 'http/1.1']
  const server = openHttpServer(backend, options.tls === undefined ? null : { ...options.tls, protocols })
  const fast = new FastPlane(backend, server)
  if (options.raw !== false) fast.attach(options.tls === undefined ? 'connection' : 'secureConnection')
  const http2 = new Http2Plane(backend, connections)
  if (options.tls !== undefined) http2.attach(server)
  connections.attach(server, options.tls !== undefined)
  try {
    await listening(server, options.listen)
  } catch (error) {
    fast.close()
    http2.close()
    connections.close()
    await upstreams.close()
    throw error
  }
  const checks =
    options.health === undefined ? null : new HealthChecks(upstreams.all, options.health, options.clock)
  return new RunningListener(server, backend, { fast, http2, connections, checks })
}

function openUpstreams(options: BackendListenerOptions, limits: ProxyLimits): Upstreams {
  const { balance, clock, events, lookup, name, upstream, upstreamTls } = options
  const [first, ...others] = (typeof upstream === 'string' ? [upstream] : upstream).map(
    (address) =>
      new Upstream(readUpstreamAddress(address, upstreamTls ?? {}), {
        clock,
        limits,
        lookup,
        onHealth: ({ address: { origin } }, isWell, reason) =>
          events({
            type: isWell ? 'upstream.recovered' : 'upstream.unhealthy',
            backend: name,
            detail: `${origin}: ${reason}`,
          }),
      }),
  )
  if (first === undefined) throw new TypeError(`backend ${name} has no upstream`)
  return new Upstreams([first, ...others], balance ?? 'first')
}

/** Connections that wait to be taken, as far as the kernel goes along: when a gateway ends, all its clients come at once. */
const BACKLOG = 4096

function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

interface ListenerParts {
  readonly fast: FastPlane
  readonly http2: Http2Plane
  readonly connections: ClientConnections
  readonly checks: HealthChecks | null
}

class RunningListener implements BackendListener {
  readonly address: { readonly host: string; readonly port: number }
  readonly #server: Server
  readonly #backend: Backend
  readonly #parts: ListenerParts
  #closed: Promise<void> | null = null

  constructor(server: Server, backend: Backend, parts: ListenerParts) {
    this.#parts = parts
    this.#server = server
    this.#backend = backend
    const address = server.address()
    this.address =
      address !== null && typeof address === 'object'
        ? { host: address.address, port: address.port }
        : { host: '', port: 0 }
  }

  get inFlight(): number {
    return this.#backend.flights.size
  }

  get calls(): Iterable<CallCount> {
    return this.#backend.tally
  }

  get jobs(): number {
    return this.#backend.jobs.size
  }

  get state(): BackendState {
    const { enforce, name, policy, upstreams } = this.#backend
    return {
      backend: name,
      policy: policy.name,
      enforced: enforce,
      inFlight: this.inFlight,
      connections: this.#parts.connections.size,
      jobs: this.jobs,
      shed: this.#backend.shedding.counts,
      upstreams: upstreams.all.map(({ state }) => state),
    }
  }

  leave(): void {
    this.#backend.closing = true
    this.#parts.http2.leave()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { clock, flights, jobs, limits, shedding, upstreams } = this.#backend
    const { checks, connections, fast, http2 } = this.#parts
    this.leave()
    this.#backend.refusing = true
    let connected = true
    const closed = new Promise<void>((resolve) => {
      // Not the HTTP server's own `close`, which drops idle connections: a call may be on its way on one of them.
      NetServer.prototype.close.call(this.#server, () => {
        connected = false
        resolve()
      })
    })
    jobs.hurry()
    for (const flight of flights.list()) flight.hurry()
    const startedMs = clock.monotonicMs()
    const sinceMs = () => clock.monotonicMs() - startedMs
    const isOpen = () => flights.size > 0 || jobs.size > 0
    while (
      (isOpen() && sinceMs() < limits.closeMs) ||
      (connected && sinceMs() < Math.min(limits.idleGraceMs, limits.closeMs))
    )
      await new Promise<void>((resolve) => clock.after(10, resolve))
    for (const flight of flights.list()) flight.breakOff('the gateway is shutting down')
    jobs.close('the gateway shut down while the job ran')
    this.#server.closeIdleConnections()
    fast.closeIdle()
    const timer = clock.after(Math.min(limits.lingerMs, limits.closeMs), () => {
      this.#server.closeAllConnections()
      fast.close()
      http2.close()
    })
    await closed
    timer.cancel()
    fast.close()
    http2.close()
    checks?.close()
    connections.close()
    shedding.close()
    await upstreams.close()
  }
}
