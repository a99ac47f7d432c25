// Routes of locks: acquire and wait, change the mode, release, look.

import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { GatewayError } from '../core/errors.ts'
import { asLeaseId } from '../core/names.ts'
import { hangUpOf } from './hang-up.ts'
import { presentLock, presentOwner, presentPage } from './present.ts'
import { type ControlApp, type ControlRoom, lockNamed, ownSession, problems, sessionNamed } from './room.ts'
import {
  AcquireLock,
  ChangeMode,
  Grant,
  Lock,
  LockParams,
  LocksQuery,
  listOf,
  ReleaseQuery,
  Vouched,
  VouchForCalls,
} from './schemas.ts'

export function lockRoutes(app: ControlApp, room: ControlRoom): void {
  const { plane } = room
  const tags = ['locks']

  app.post('/v1/locks/:name', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Acquires a lock, waiting in the queue where asked to',
      description:
        'Answers when the handover is over. A caller that hangs up leaves the queue. Asked again by the session that ' +
        'holds the lock, it answers the same grant with 200. When not got in time: 409 with `owner` and `waiters`.',
      params: LockParams,
      body: AcquireLock,
      response: { 200: Grant, 201: Grant, ...problems },
    },
    handler: async (request, reply) => {
      const lock = lockNamed(request.params.name)
      const session = sessionNamed(request.body.session)
      const { mode, wait, note } = request.body
      return await whileListening(room, reply, async (gone) => {
        await ownSession(room, request.caller, session)
        const waitMs = Math.round(wait * 1000)
        const sinceMs = room.clock.monotonicMs()
        const result = await plane.acquire({ lock, session, mode, waitMs, note: note ?? null }, gone)
        if (result.kind === 'granted') return reply.code(result.already ? 200 : 201).send(result.grant)
        if (room.closing.aborted) throw goingAway()
        const isEarly = room.clock.monotonicMs() - sinceMs < waitMs
        throw new GatewayError(
          'lock-held',
          whyHeld(request.params.name, request.body, { ...result, isEarly }),
          {
            ...(result.own === undefined ? {} : { mode: result.own }),
            lock,
            owner: result.owner === null ? null : presentOwner(result.owner),
            waiters: result.waiters,
          },
        )
      })
    },
  })

  app.put('/v1/locks/:name/mode', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Upgrades or downgrades a grant that is held',
      description:
        'To `shared`: at once, with the same token; others are let in when the calls that needed the lock exclusively are ' +
        'over, and a writer who waits does not get it in between. To `exclusive`: with a new token, when all other readers ' +
        'are gone and the session’s own shared calls are over; until then the shared grant stays. 409 `mode-held` where a ' +
        'writer waits already (he waits for this grant, so waiting for him would never end; of two readers that upgrade, ' +
        'the second gets this), or where other readers are still there after `wait`. 409 `mode-pending` where there is no ' +
        'way back any more, but calls still drain: nobody else gets the lock; ask again. Asked again with the old token, ' +
        'it answers the same grant.',
      params: LockParams,
      body: ChangeMode,
      response: { 200: Grant, ...problems },
    },
    handler: async (request, reply) => {
      const lock = lockNamed(request.params.name)
      const session = sessionNamed(request.body.session)
      const { token, mode, wait } = request.body
      return await whileListening(room, reply, async (gone) => {
        await ownSession(room, request.caller, session)
        const waitMs = Math.round(wait * 1000)
        return await plane.changeMode({ lock, session, token, mode, waitMs }, gone)
      })
    },
  })

  app.delete('/v1/locks/:name', {
    config: { right: 'hold' },
    schema: {
      tags,
      summary: 'Releases a lock',
      description:
        'Name the `token` where you have one: then it is told for certain what is meant, also by a gateway that has not seen ' +
        'it yet, and while the store cannot be asked; and a late repetition takes nothing newer.',
      params: LockParams,
      querystring: ReleaseQuery,
      response: { 204: z.undefined().describe('Not held by this session, now or before.'), ...problems },
    },
    handler: async (request, reply) => {
      const lock = lockNamed(request.params.name)
      const session = asLeaseId(request.query.session)
      if (session !== null) {
        await ownSession(room, request.caller, session)
        await plane.release(lock, session, request.query.token ?? null)
      }
      return reply.code(204).send()
    },
  })

  app.post('/v1/locks/:name/vouch', {
    config: { right: 'operate' },
    schema: {
      tags,
      summary: 'Takes an operator’s word that calls of unknown fate will not act any more',
      description:
        'Nothing verifies it: the next owner need not wait out the quiet time. It holds for what is unknown now (`unknown` ' +
        'of the lock), all that a gateway that is gone may have had open and jobs past the drain limit included; never for other calls that run, ' +
        'nor for what becomes unknown later. 409 `nothing-unknown` where there is nothing to vouch for.',
      params: LockParams,
      body: VouchForCalls,
      response: { 200: Vouched, ...problems },
    },
    handler: async (request) => {
      const lock = lockNamed(request.params.name)
      const { by, reason, gateways, token } = request.body
      const answer = await plane.vouch({
        lock,
        by,
        reason,
        incarnations: gateways ?? null,
        token: token ?? null,
      })
      room.log.warn({ lock, by, reason, vouched: answer.vouched }, 'an operator vouched for unknown calls')
      return { ...answer, vouched: [...answer.vouched] }
    },
  })

  app.get('/v1/locks', {
    config: { right: 'read' },
    schema: {
      tags,
      summary: 'Lists locks: owners, waiters, handovers, calls in flight',
      querystring: LocksQuery,
      response: { 200: listOf(Lock), ...problems },
    },
    handler: (request) => {
      const { prefix, limit, after } = request.query
      return Promise.resolve(presentPage(plane.locks(prefix, { limit, after: after ?? null }), presentLock))
    },
  })

  app.get('/v1/locks/:name', {
    config: { right: 'read' },
    schema: {
      tags,
      summary: 'Shows a lock; one that nobody ever took is free',
      params: LockParams,
      response: { 200: Lock, ...problems },
    },
    handler: (request) => Promise.resolve(presentLock(plane.lock(lockNamed(request.params.name)))),
  })
}

function whyHeld(
  lock: string,
  { wait }: { readonly wait: number },
  { own, isEarly }: { readonly own?: string; readonly isEarly: boolean },
): string {
  if (own !== undefined)
    return `this session holds ${lock} already, ${own}: change that with PUT /v1/locks/${encodeURIComponent(lock)}/mode`
  if (wait === 0) return `${lock} is not free`
  return isEarly
    ? `the session gave up its place in the queue of ${lock} meanwhile`
    : `${lock} was not to be had in ${wait} seconds`
}

/** Whoever waited has left the queue: elsewhere he waits at its end, and is not told that he could not have it. */
function goingAway(): GatewayError {
  return new GatewayError('store-unavailable', 'this gateway is going away: ask another one')
}

/** Runs what may wait for long; a caller that hangs up, and the end of this gateway, abort it. */
async function whileListening<Answer>(
  room: ControlRoom,
  reply: FastifyReply,
  act: (gone: AbortSignal) => Promise<Answer>,
): Promise<Answer | FastifyReply> {
  const caller = hangUpOf(reply.raw)
  try {
    return await act(AbortSignal.any([caller.signal, room.closing]))
  } catch (error) {
    if (caller.signal.aborted) return reply.hijack()
    if (room.closing.aborted && !(error instanceof GatewayError)) throw goingAway()
    throw error
  } finally {
    caller.release()
  }
}
