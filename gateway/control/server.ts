// The control listener: HTTP in, the plane's words out. The only place that starts fastify.

import { randomUUID } from 'node:crypto'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TlsOptions } from 'node:tls'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyReply } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatewayError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import { type Credential, createAuthentication } from './authentication.ts'
import { backendRoutes } from './backends.ts'
import { callbackRoutes } from './callbacks.ts'
import { type CheckSources, checkRoutes } from './check.ts'
import { clientCertificateOf } from './client-certificate.ts'
import { type EventFeed, eventRoutes } from './event-stream.ts'
import { fencerRoutes } from './fencers.ts'
import { fenceRoutes } from './fences.ts'
import { type Exposition, healthRoutes } from './health.ts'
import { takeOnlyJson } from './json-body.ts'
import { lockRoutes } from './locks.ts'
import { OfferedRoutes } from './offered.ts'
import { failureOf, isProgrammerFault, PROBLEM_TYPE, type Problem, problemOf } from './problems.ts'
import type { ControlApp, ControlRoom } from './room.ts'
import { sessionRoutes } from './sessions.ts'
import { validatorCompiler } from './validation.ts'

export interface ControlTls {
  readonly cert: string
  readonly key: string
  /** Who signs the certificates that clients may show; absent: none is asked for. */
  readonly clientCa?: string | undefined
}

export interface ControlOptions
  extends Omit<
    ControlRoom,
    'leaving' | 'closing' | 'fencers' | 'backends' | 'previewFence' | 'undoFence' | 'takeCallback' | 'callers'
  > {
  /** Absent: there are none. */
  readonly fencers?: ControlRoom['fencers']
  readonly backends?: ControlRoom['backends']
  /** Absent: it cannot be told. */
  readonly previewFence?: ControlRoom['previewFence']
  /** Absent: nothing can be undone. */
  readonly undoFence?: ControlRoom['undoFence']
  /** Absent: no fencer's service calls back. */
  readonly takeCallback?: ControlRoom['takeCallback']
  /** Absent: no backend knows its callers. */
  readonly callers?: ControlRoom['callers']
  readonly listen: { readonly host: string; readonly port: number }
  /** PEM; null: in the clear. */
  readonly tls: ControlTls | null
  /** Empty: open to everybody who can connect. Only for loopback; the configuration sees to that. */
  readonly credentials: readonly Credential[]
  readonly version: string
  readonly check: CheckSources
  readonly events: EventFeed
  readonly metrics: Exposition
}

export interface RunningControl {
  readonly address: { readonly host: string; readonly port: number }
  /** Says on `/readyz` that callers should go elsewhere, and does all else as before. Idempotent. */
  leave(): void
  /** Answers who waits, and ends event streams; what needs no waiting is still done. Idempotent. */
  dismiss(): void
  /** Answers who waits, ends event streams, and resolves when the last connection is closed. Idempotent. */
  close(): Promise<void>
}

const BODY_BYTES_MAX = 1_048_576
const HEAD_BYTES_MAX = 32_768
const REQUEST_MS_MAX = 30_000
const IDLE_MS_MAX = 75_000
const CONNECTIONS_MAX = 4096
/** How long `close` waits for answers that are being written. */
const CLOSING_MS_MAX = 5_000

/** Resolves when it listens; rejects where it cannot. */
export async function startControl(options: ControlOptions): Promise<RunningControl> {
  const leaving = new AbortController()
  const closing = new AbortController()
  const room: ControlRoom = {
    plane: options.plane,
    clock: options.clock,
    log: options.log,
    fencers: options.fencers ?? (() => []),
    backends: options.backends ?? (() => []),
    previewFence: options.previewFence ?? noPreview,
    undoFence: options.undoFence ?? noUndoing,
    takeCallback: options.takeCallback ?? noCallbacks,
    callers: options.callers ?? (() => null),
    ttlMsMin: options.ttlMsMin,
    ttlMsMax: options.ttlMsMax,
    leaving: leaving.signal,
    closing: closing.signal,
  }
  const app = await createApp(options, room)
  await app.listen({ host: options.listen.host, port: options.listen.port })
  const bound = app.server.address()
  invariant(typeof bound === 'object' && bound !== null, 'a TCP listener has an address')
  const address = { host: bound.address, port: bound.port }
  if (options.credentials.length === 0)
    options.log.warn(address, 'the control API is open: no credentials are configured')
  options.log.info(address, 'the control API listens')

  let closed: Promise<void> | null = null
  const dismiss = (): void => {
    leaving.abort()
    closing.abort(new Error('this gateway is going away'))
  }
  return {
    address,
    leave: () => leaving.abort(),
    dismiss,
    close() {
      closed ??= (async () => {
        dismiss()
        const impatience = options.clock.after(CLOSING_MS_MAX, () => app.server.closeAllConnections())
        try {
          await app.close()
        } finally {
          impatience.cancel()
        }
      })()
      return closed
    },
  }
}

async function createApp(options: ControlOptions, room: ControlRoom): Promise<ControlApp> {
  const app = Fastify({
    serverFactory: (listener) => createServer(options.tls, listener),
    bodyLimit: BODY_BYTES_MAX,
    exposeHeadRoutes: true,
    return503OnClosing: false,
    routerOptions: { maxParamLength: HEAD_BYTES_MAX },
    clientErrorHandler: (error, socket) => answerMalformed(error, socket),
    frameworkErrors: (error, _request, reply) => {
      send(reply, failureOf(error, randomUUID).problem)
    },
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.decorateRequest('text')
  takeOnlyJson(app)
  const offered = new OfferedRoutes()
  app.addHook('onRoute', ({ method, url, config }) => {
    offered.add(method, url)
    invariant(config?.right !== undefined, `the route ${url} does not say who may use it`)
  })
  authenticate(app, options, room)
  answerErrors(app, room, offered)

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'fencegate control API',
        description: 'Locks, sessions and fences of a fencing-token gateway.',
        version: options.version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
    },
    transform: jsonSchemaTransform,
  })
  sessionRoutes(app, room)
  lockRoutes(app, room)
  fenceRoutes(app, room)
  callbackRoutes(app, room)
  fencerRoutes(app, room)
  backendRoutes(app, room)
  checkRoutes(app, options.check)
  eventRoutes(app, room, options.events)
  healthRoutes(app, room, options.metrics)
  app.get('/openapi.json', {
    config: { right: 'open' },
    schema: { hide: true },
    handler: (_request, reply) =>
      reply.type('application/json').send(JSON.stringify(describedWithSecurity(app, options.credentials))),
  })
  return app
}

function noUndoing(): Promise<never> {
  return Promise.reject(new GatewayError('not-found', 'this gateway has no fencers that could undo anything'))
}

function noCallbacks(): Promise<never> {
  return Promise.reject(new GatewayError('unauthorized', 'no fencer of this gateway takes callbacks'))
}

function noPreview(): never {
  throw new GatewayError('not-found', 'this gateway cannot tell what a fence would do')
}

/** Added by hand: the types of the description know no certificates. */
function describedWithSecurity(app: ControlApp, credentials: readonly Credential[]) {
  const described = app.swagger()
  const securitySchemes = { bearer: { type: 'http', scheme: 'bearer' }, certificate: { type: 'mutualTLS' } }
  return {
    ...described,
    components: { ...('components' in described ? described.components : {}), securitySchemes },
    ...(credentials.length === 0 ? {} : { security: [{ bearer: [] }, { certificate: [] }] }),
  }
}

function createServer(tls: ControlOptions['tls'], listener: RequestListener): Server {
  const limits = {
    maxHeaderSize: HEAD_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    headersTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  }
  const server =
    tls === null
      ? createHttpServer(limits, listener)
      : createHttpsServer({ ...limits, ...tlsTerms(tls) }, listener)
  server.maxConnections = CONNECTIONS_MAX
  return server
}

/** Who shows no certificate may have a token; health is open to all. */
function tlsTerms({ cert, key, clientCa }: ControlTls): TlsOptions {
  return clientCa === undefined
    ? { cert, key }
    : { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: false }
}

function authenticate(app: ControlApp, options: ControlOptions, room: ControlRoom): void {
  const authentication = createAuthentication(options.credentials)
  app.decorateRequest('caller')
  app.addHook('onRequest', (request, reply, done) => {
    if (room.leaving.aborted) reply.header('connection', 'close')
    const { authorization, host, origin } = request.headers
    request.caller = authentication.admit(
      { authorization, host, origin, certificate: () => clientCertificateOf(request.raw.socket) },
      request.routeOptions.config.right ?? 'open',
    )
    done()
  })
}

function answerErrors(app: ControlApp, room: ControlRoom, offered: OfferedRoutes): void {
  app.setNotFoundHandler((request, reply) => {
    const { problem, allow } = offered.explain(request.method, request.url.split('?')[0] ?? '')
    if (allow.length > 0) reply.header('allow', allow.join(', '))
    return send(reply, problem)
  })
  app.setErrorHandler((error, request, reply) => {
    // Nothing may catch a programmer's fault: out of the framework's reach it ends the process.
    if (isProgrammerFault(error))
      setImmediate(() => {
        throw error
      })
    const { problem, ours } = failureOf(error, randomUUID)
    if (ours)
      room.log.error(
        { error, incident: problem['incident'], method: request.method, route: request.routeOptions.url },
        'a request of the control API failed',
      )
    return send(reply, problem)
  })
}

function send(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  if (problem.status === 503) reply.header('retry-after', '1')
  return reply
    .code(problem.status)
    .type(PROBLEM_TYPE)
    .serializer((value: unknown) => JSON.stringify(value))
    .send(problem)
}

/** What is not HTTP at all reaches no route, but is answered in the same form. */
function answerMalformed(error: Error & { readonly code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? problemOf('too-large', 'the request line and header fields are too long')
      : problemOf('bad-request', 'this is not well-formed HTTP/1.1')
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.status === 413 ? 'Content Too Large' : 'Bad Request'}\r\n` +
      `content-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
