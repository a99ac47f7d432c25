// The HTTP servers of node, as they are set up here: what they refuse by themselves, and how each request gets its
// exchange. The only place of the data plane that makes servers.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TlsOptions } from 'node:tls'
import type { Refusal } from '../core/verdict.ts'
import type { Timer } from '../spi/clock.ts'
import type { Backend } from './backend.ts'
import { OrderedConnection } from './client-connection.ts'
import { Exchange } from './exchange.ts'
import { http1Message } from './http1-message.ts'
import { sayAndClose } from './last-words.ts'
import type { ProxyLimits } from './limits.ts'
import { PacedReading } from './paced-reading.ts'

export interface ServerTls {
  /** PEM contents. */
  readonly cert: string
  readonly key: string
  /** Who may sign clients' certificates; absent: they are not asked for one. */
  readonly clientCa?: string | undefined
  /** The protocols that are offered, the first before the second; only HTTP/1.1 where absent. */
  readonly protocols?: readonly string[]
}

/** `tls`: null for plain HTTP. */
export function openHttpServer(backend: Backend, tls: ServerTls | null): Server {
  const connections = new WeakMap<Duplex, OrderedConnection>()
  const server = makeHttpServer(
    tls,
    backend.limits,
    // Where a call is under way before it, it has to wait for that one's answer, and is a plain call then.
    (request) =>
      asksForUpgrade(request, backend.upgrades) && connections.get(request.socket)?.isIdle !== false,
  )
  serveHttp(server, backend, connections, tls === null ? 'connection' : 'secureConnection')
  return server
}

function makeHttpServer(
  tls: ServerTls | null,
  limits: ProxyLimits,
  mayUpgrade: (request: IncomingMessage) => boolean,
): Server {
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
    // Of all others what is asked for in Upgrade ends at this hop, and the call goes on as a plain one.
    shouldUpgradeCallback: mayUpgrade,
  }
  const server =
    tls === null
      ? createServer(http)
      : createTlsServer({ ...http, ...tlsTerms(tls), handshakeTimeout: limits.headMs })
  server.maxHeadersCount = 0
  server.timeout = 0
  return server
}

/** Who shows no certificate is let in all the same: it says who he is, not whether he may come. */
function tlsTerms({ cert, key, clientCa, protocols }: ServerTls): TlsOptions {
  return {
    cert,
    key,
    ALPNProtocols: protocols ?? ['http/1.1'],
    ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  }
}

function serveHttp(
  server: Server,
  backend: Backend,
  connections: WeakMap<Duplex, OrderedConnection>,
  openEvent: 'connection' | 'secureConnection',
): void {
  const readings = new WeakMap<Duplex, PacedReading>()
  const connectionOf = (socket: Socket): OrderedConnection => {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection = new OrderedConnection(socket)
    connections.set(socket, connection)
    socket.once('close', () => connection.closed())
    return connection
  }
  server.on(openEvent, (socket: Socket) => {
    readings.set(socket, new PacedReading(socket, connectionOf(socket)))
  })
  const accept = (request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) => {
    const connection = connectionOf(request.socket)
    const message = http1Message(backend, { request, response })
    const exchange = new Exchange(backend, connection, message, { awaitsContinue })
    response.on('close', () => {
      if (!response.writableFinished) exchange.clientGone()
      connection.left(exchange)
    })
    connection.enter(exchange)
  }
  server.on('request', (request, response) => accept(request, response, false))
  server.on('checkContinue', (request, response) => accept(request, response, true))
  server.on('checkExpectation', (request, response) => accept(request, response, false))
  server.on('upgrade', (request, socket, ahead) => {
    const connection = connectionOf(request.socket)
    const unreadBytes = readings.get(request.socket)?.stop() ?? 0
    if (ahead.length > 0 || unreadBytes > 0) {
      sayAndClose(socket, backend, UPGRADE_ALONE)
      return
    }
    const response = responseOn(socket, request)
    const protocol = (request.headers.upgrade ?? '').toLowerCase()
    const upgrade = { protocol, socket, detach: () => response.detachSocket(request.socket) }
    const message = http1Message(backend, { request, response })
    const exchange = new Exchange(backend, connection, message, { awaitsContinue: false, upgrade })
    response.on('close', () => exchange.clientGone())
    connection.enter(exchange)
  })
  server.on('connect', (request, socket) => {
    readings.get(request.socket)?.stop()
    sayAndClose(socket, backend, { code: 'bad-request', detail: 'CONNECT is not spoken here' })
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (connections.get(socket)?.framingBroken() === true) return
    readings.get(socket)?.stop()
    const refusal = framingRefusal(error)
    if (refusal === null || !socket.writable) socket.destroy()
    else sayAndClose(socket, backend, refusal)
  })
  sweepBodies(server, backend)
}

const UPGRADE_ALONE: Refusal = {
  code: 'bad-request',
  detail: 'nothing may be sent behind a request to change the protocol until that is answered',
}

function asksForUpgrade(
  { headers, httpVersion, method }: IncomingMessage,
  upgrades: ReadonlySet<string>,
): boolean {
  return (
    upgrades.has(headers.upgrade?.toLowerCase() ?? '') &&
    method === 'GET' &&
    httpVersion === '1.1' &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  )
}

/** For an answer on a connection that the server has let go of. */
function responseOn(socket: Duplex, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(request.socket)
  response.on('finish', () => socket.end())
  socket.on('error', () => socket.destroy())
  // A client that hangs up, or says anything before it is answered, is not waited for.
  socket.on('data', () => socket.destroy())
  socket.on('end', () => socket.destroy())
  return response
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
