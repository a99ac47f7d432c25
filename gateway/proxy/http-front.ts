// The HTTP servers of node, as they are set up here: what they refuse by themselves, and how each request gets its
// exchange. The only place of the data plane that makes servers.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Refusal } from '../core/verdict.ts'
import type { Timer } from '../spi/clock.ts'
import type { Backend } from './backend.ts'
import { OrderedConnection } from './client-connection.ts'
import { Exchange } from './exchange.ts'
import { sayAndClose } from './last-words.ts'
import type { ProxyLimits } from './limits.ts'

export interface ServerTls {
  /** PEM contents. */
  readonly cert: string
  readonly key: string
}

/** `tls`: null for plain HTTP. */
export function makeHttpServer(tls: ServerTls | null, limits: ProxyLimits): Server {
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
  const server =
    tls === null ? createServer(http) : createTlsServer({ ...http, ...tls, handshakeTimeout: limits.headMs })
  server.maxHeadersCount = 0
  server.timeout = 0
  return server
}

export function serveHttp(server: Server, backend: Backend): void {
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
