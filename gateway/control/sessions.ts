// Routes of sessions: open, renew, look, close. Renewing is the hot path of this room: one look-up, one call.

import { z } from 'zod'
import { GatewayError } from '../core/errors.ts'
import { asLeaseId } from '../core/names.ts'
import { mustSpeakFor } from './authentication.ts'
import { bindable } from './bindings.ts'
import { presentFence, presentKeptAlive, presentPage, presentPreview, presentSession } from './present.ts'
import {
  type ControlApp,
  type ControlRoom,
  ownSession,
  problems,
  sessionNamed,
  sessionUnknown,
} from './room.ts'
import {
  BindSession,
  Bound,
  FenceOrdered,
  FencePreview,
  FenceSession,
  KeptAlive,
  listOf,
  OpenedSession,
  OpenSession,
  PageQuery,
  PlanQuery,
  Session,
  SessionParams,
} from './schemas.ts'

export function sessionRoutes(app: ControlApp, room: ControlRoom): void {
  const { plane } = room
  const tags = ['sessions']

  app.post('/v1/sessions', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Opens a session',
      description: 'The holder renews it in time, or loses every lock of it and is fenced.',
      body: OpenSession,
      response: { 201: OpenedSession, ...problems },
    },
    handler: async (request, reply) => {
      const { ttl, holder, fenceInfo, plan } = request.body
      mustSpeakFor(request.caller, holder.id)
      const ttlMs = Math.round(ttl * 1000)
      if (ttlMs < room.ttlMsMin || ttlMs > room.ttlMsMax)
        throw new GatewayError(
          'bad-request',
          `ttl is ${ttl}; this gateway takes from ${room.ttlMsMin / 1000} to ${room.ttlMsMax / 1000} seconds`,
        )
      const session = await plane.openSession({ ttlMs, holder, fenceInfo, plan: plan ?? null })
      return reply
        .code(201)
        .header('location', `/v1/sessions/${session.session}`)
        .send({ session: session.session, ...presentKeptAlive(session) })
    },
  })

  app.post('/v1/sessions/:id/keepalive', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Renews a session',
      description: '404 once it is gone: the holder must stop.',
      params: SessionParams,
      response: { 200: KeptAlive, ...problems },
    },
    handler: async (request) => {
      const session = sessionNamed(request.params.id)
      const { caller } = request
      if (caller.role === 'holder' && caller.holder !== null) {
        const known = plane.session(session)
        if (known !== null) mustSpeakFor(caller, known.holder?.id ?? null)
      }
      const renewed = await plane.keepAlive(session)
      if (renewed === null) throw sessionUnknown(session)
      mustSpeakFor(caller, renewed.holder?.id ?? null)
      return presentKeptAlive(renewed)
    },
  })

  app.get('/v1/sessions', {
    config: { right: 'read' },
    schema: {
      tags,
      summary: 'Lists sessions',
      description:
        'With credentials of one holder: those of that holder; a page may then have fewer than `limit`.',
      querystring: PageQuery,
      response: { 200: listOf(Session), ...problems },
    },
    handler: (request) => {
      const { limit, after } = request.query
      const { caller } = request
      const page = plane.sessions({ limit, after: after ?? null })
      const items =
        caller.role === 'holder' && caller.holder !== null
          ? page.items.filter((session) => session.holder?.id === caller.holder)
          : page.items
      return Promise.resolve(presentPage({ items, next: page.next }, presentSession))
    },
  })

  app.get('/v1/sessions/:id', {
    config: { right: 'read' },
    schema: {
      tags,
      summary: 'Shows a session, what it holds and waits for',
      params: SessionParams,
      response: { 200: Session, ...problems },
    },
    handler: (request) => {
      const session = plane.session(sessionNamed(request.params.id))
      if (session === null) throw sessionUnknown(request.params.id)
      mustSpeakFor(request.caller, session.holder?.id ?? null)
      return Promise.resolve(presentSession(session))
    },
  })

  app.delete('/v1/sessions/:id', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Releases all locks of a session and closes it',
      params: SessionParams,
      response: { 204: z.undefined().describe('Closed, now or before.'), ...problems },
    },
    handler: async (request, reply) => {
      const session = asLeaseId(request.params.id)
      if (session !== null) {
        await ownSession(room, request.caller, session)
        await plane.closeSession(session)
      }
      return reply.code(204).send()
    },
  })

  app.get('/v1/sessions/:id/fence', {
    config: { right: 'observe' },
    schema: {
      tags: ['fences'],
      summary: 'Shows what fencing a holder now would do',
      description: 'Nobody is struck, and nobody is asked: it is what this gateway knows.',
      params: SessionParams,
      querystring: PlanQuery,
      response: { 200: FencePreview, ...problems },
    },
    handler: (request) => {
      const session = sessionNamed(request.params.id)
      const fence = plane.fence(session)
      if (fence !== null)
        throw new GatewayError(
          'fence-state',
          `session ${session} has a fence already: GET /v1/fences/${session}`,
        )
      return Promise.resolve(presentPreview(room.previewFence(session, request.query.plan ?? null)))
    },
  })

  app.post('/v1/sessions/:id/bindings', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Binds a session to what its calls to a backend bear',
      description:
        'For clients that cannot send a header. Gone with the session; 409 where another session has it.',
      params: SessionParams,
      body: BindSession,
      response: { 201: Bound, ...problems },
    },
    handler: async (request, reply) => {
      const session = sessionNamed(request.params.id)
      const { backend, by, value } = request.body
      await ownSession(room, request.caller, session)
      const bound = bindable(room.callers(backend), request.body)
      await plane.bind({ session, ...bound })
      room.log.info({ session, backend, by, ...(by === 'session' ? {} : { value }) }, 'a session was bound')
      return reply.code(201).send({ backend, by })
    },
  })

  app.post('/v1/sessions/:id/fence', {
    config: { right: 'operate' },
    schema: {
      tags: ['fences'],
      summary: 'Fences a holder now',
      params: SessionParams,
      body: FenceSession,
      response: { 202: FenceOrdered, ...problems },
    },
    handler: async (request, reply) => {
      const session = sessionNamed(request.params.id)
      const { by, reason, plan } = request.body
      const record = await plane.fenceSession(session, { by, reason, plan: plan ?? null })
      room.log.warn({ session, by, reason, fence: record.id }, 'an operator had a session fenced')
      return reply
        .code(202)
        .header('location', `/v1/fences/${record.id}`)
        .send({ fence: presentFence(record).id })
    },
  })
}
