// A backend listener: accepts connections, gives each request its exchange, and ends everything in order. The only
// place of the data plane that makes servers.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Refusal } from '../core/verdict.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { Gate } from '../spi/gate.ts'
import type { LoginBarrier } from '../spi/login-barrier.ts'
import type { Policy } from '../spi/policy.ts'
import type { Backend } from './backend.ts'
import { BufferGarbage } from './buffer-garbage.ts'
import { type CallCount, CallTally } from './call-tally.ts'
import { OrderedConnection } from './client-connection.ts'
import { Exchange } from './exchange.ts'
import { Flights } from './flights.ts'
import { JobWatch } from './jobs.ts'
import { DEFAULT_LIMITS, type ProxyLimits } from './limits.ts'
import { renderRefusal } from './refusals.ts'
import { CALL_ID_DEFAULT, Repeats } from './repeats.ts'
import { closeUpstream, openUpstream, poolTarget, type UpstreamTls } from './upstream.ts'
import type { ObserverCredentials } from './vsphere-tasks.ts'
import { FastPlane } from './wire/wire-plane.ts'

export interface BackendListenerOptions {
  /** The backend's name in the configuration. */
  readonly name: string
  readonly listen: { readonly host: string; readonly port: number }
  /** PEM contents; without them the listener speaks plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** `http(s)://host[:port]`, nothing more. */
  readonly upstream: string
  readonly upstreamTls?: UpstreamTls
  readonly policy: Policy
  readonly gate: Gate
  /** Who must not open a session at the backend now. Absent: nobody. */
  readonly logins?: LoginBarrier
  /** False is shadow mode: everything is checked and reported, nothing is refused but malformed framing. */
  readonly enforce: boolean
  readonly clock: Clock
  readonly events: EventSink
  readonly limits?: Partial<ProxyLimits>
  /** Fields, in lower case, by which a client names a call; `idempotency-key` where absent. */
  readonly callIds?: readonly string[]
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
  const upstream = openUpstream(options.upstream, options.upstreamTls ?? {}, limits)
  const callIds = options.callIds ?? [CALL_ID_DEFAULT]
  const backend: Backend = {
    name: options.name,
    policy: options.policy,
    gate: options.gate,
    logins: options.logins ?? null,
    enforce: options.enforce,
    clock: options.clock,
    events: options.events,
    limits,
    upstream,
    jobs: new JobWatch({ clock: options.clock, upstream, limits, observer: options.observer ?? null }),
    flights: new Flights(),
    tally: new CallTally(),
    repeats: new Repeats(callIds),
    garbage: new BufferGarbage(),
    closing: false,
    refusing: false,
  }
  const server = makeServer(options, limits)
  serve(server, backend)
  const fast = new FastPlane(backend, server, poolTarget(options.upstream, options.upstreamTls ?? {}))
  if (options.raw !== false) fast.attach(options.tls === undefined ? 'connection' : 'secureConnection')
  try {
    await listening(server, options.listen)
  } catch (error) {
    fast.close()
    await closeUpstream(upstream)
    throw error
  }
  return new RunningListener(server, backend, fast)
}

function makeServer(options: BackendListenerOptions, limits: ProxyLimits): Server {
  const http: ServerOptions = {
    insecureHTTPParser: false,
    requireHostHeader: false,
    joinDuplicateHeaders: true,
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headMs,
    // A body that moves may take any time; one that stands still is ended by the sweep below.
    requestTimeout: 0,
    keepAliveTimeout: limits.clientIdleMs,
    connectionsCheckingInterval: Math.max(100, Math.min(5_000, limits.headMs / 3)),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  }
  const server = options.tls === undefined ? createServer(http) : createTlsServer({ ...http, ...options.tls })
  server.maxConnections = limits.connectionsMax
  server.maxHeadersCount = 0
  server.timeout = 0
  return server
}

function serve(server: Server, backend: Backend): void {
  const connections = new WeakMap<Duplex, OrderedConnection>()
  const connectionOf = (socket: Socket): OrderedConnection => {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection = new OrderedConnection(socket)
    connections.set(socket, connection)
    socket.once('close', () => connection.closed())
    return connection
  }
  const accept = (request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) => {
    const connection = connectionOf(request.socket)
    const exchange = new Exchange(backend, connection, { request, response }, awaitsContinue)
    response.on('close', () => {
      if (!response.writableFinished) exchange.clientGone()
      connection.left(exchange)
    })
    connection.enter(exchange)
  }
  server.on('request', (request, response) => accept(request, response, false))
  server.on('checkContinue', (request, response) => accept(request, response, true))
  server.on('checkExpectation', (request, response) => accept(request, response, false))
  server.on('connect', (_request, socket) =>
    sayAndClose(socket, backend, { code: 'bad-request', detail: 'CONNECT is not spoken here' }),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (connections.get(socket)?.framingBroken() === true) return
    const refusal = framingRefusal(error)
    if (refusal === null || !socket.writable) socket.destroy()
    else sayAndClose(socket, backend, refusal)
  })
  sweepBodies(server, backend)
}

function framingRefusal(error: NodeJS.ErrnoException): Refusal | null {
  const code = error.code ?? ''
  if (code === 'HPE_HEADER_OVERFLOW')
    return { code: 'too-large', detail: 'the head of the request is larger than is taken here' }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { code: 'bad-request', detail: 'the head of the request did not come in time' }
  if (code.startsWith('HPE_')) return { code: 'bad-request', detail: `malformed HTTP (${code})` }
  return null
}

/** An answer on a connection that has no exchange to give it. */
function sayAndClose(socket: Duplex, backend: Backend, refusal: Refusal): void {
  backend.events({
    type: 'call.refused',
    backend: backend.name,
    verdict: refusal.code,
    detail: refusal.detail,
  })
  const answer = renderRefusal(refusal, backend.policy.dialect)
  let head = `HTTP/1.1 ${answer.status} ${answer.status === 413 ? 'Content Too Large' : 'Bad Request'}\r\n`
  for (let i = 0; i + 1 < answer.headers.length; i += 2)
    head += `${answer.headers[i]}: ${answer.headers[i + 1]}\r\n`
  socket.on('error', () => socket.destroy())
  socket.end(Buffer.concat([Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1'), answer.body]))
  // Reads on for a moment, so that no reset overtakes the answer.
  socket.resume()
  const timer = backend.clock.after(backend.limits.lingerMs, () => socket.destroy())
  socket.once('close', () => timer.cancel())
}

/** One timer for all bodies under way instead of one for each. */
function sweepBodies(server: Server, backend: Backend): void {
  const { clock, flights, limits } = backend
  let timer: Timer | null = null
  const sweep = () => {
    const sinceMs = clock.monotonicMs() - limits.bodyIdleMs
    for (const flight of flights.list()) flight.endIdleBody(sinceMs)
    timer = clock.after(limits.bodyIdleMs / 4, sweep)
  }
  server.once('listening', sweep)
  server.once('close', () => timer?.cancel())
}

function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

class RunningListener implements BackendListener {
  readonly address: { readonly host: string; readonly port: number }
  readonly #server: Server
  readonly #backend: Backend
  readonly #fast: FastPlane
  #closed: Promise<void> | null = null

  constructor(server: Server, backend: Backend, fast: FastPlane) {
    this.#fast = fast
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

  leave(): void {
    this.#backend.closing = true
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { clock, flights, jobs, limits, upstream } = this.#backend
    this.#backend.closing = true
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
    this.#fast.closeIdle()
    const timer = clock.after(Math.min(limits.lingerMs, limits.closeMs), () => {
      this.#server.closeAllConnections()
      this.#fast.close()
    })
    await closed
    timer.cancel()
    this.#fast.close()
    await closeUpstream(upstream)
  }
}
