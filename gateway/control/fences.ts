// Routes of fences: what is due, running, done or blocked, and the operator's word on it.

import { GatewayError } from '../core/errors.ts'
import { presentFence, presentPage } from './present.ts'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { Fence, FenceParams, FencesQuery, listOf, OperatorsWord, RetryWord } from './schemas.ts'

export function fenceRoutes(app: ControlApp, room: ControlRoom): void {
  const { plane } = room
  const tags = ['fences']

  app.get('/v1/fences', {
    config: { right: 'observe' },
    schema: {
      tags,
      summary: 'Lists fences with every attempt',
      querystring: FencesQuery,
      response: { 200: listOf(Fence), ...problems },
    },
    handler: (request) => {
      const { limit, after, state } = request.query
      const page = plane.fences({ limit, after: after ?? null }, state ?? null)
      return Promise.resolve(presentPage(page, presentFence))
    },
  })

  app.get('/v1/fences/:id', {
    config: { right: 'observe' },
    schema: { tags, summary: 'Shows a fence', params: FenceParams, response: { 200: Fence, ...problems } },
    handler: (request) => {
      const { id } = request.params
      const record = plane.fence(id)
      if (record === null) throw new GatewayError('fence-unknown', `there is no fence ${JSON.stringify(id)}`)
      // Of what is over it would say who happens to be there now.
      const neighbours = record.progress.state === 'closed' ? [] : (plane.neighbours?.(record) ?? [])
      return Promise.resolve({
        ...presentFence(record),
        neighbours: neighbours.map((neighbour) => ({ ...neighbour, locks: [...neighbour.locks] })),
      })
    },
  })

  app.post('/v1/fences/:id/retry', {
    config: { right: 'operate' },
    schema: {
      tags,
      summary: 'Starts a blocked fence again, from its first level',
      params: FenceParams,
      body: RetryWord.nullish(),
      response: { 200: Fence, ...problems },
    },
    handler: async (request) => {
      const record = await plane.retryFence(request.params.id)
      room.log.warn({ fence: record.id, ...request.body }, 'an operator had a fence retried')
      return presentFence(record)
    },
  })

  app.post('/v1/fences/:id/confirm', {
    config: { right: 'operate' },
    schema: {
      tags,
      summary: 'Takes an operator’s word that the holder is dead',
      description: 'Nothing verifies it. The next owner is let in on it.',
      params: FenceParams,
      body: OperatorsWord,
      response: { 200: Fence, ...problems },
    },
    handler: async (request) => {
      const { by, reason } = request.body
      const record = await plane.confirmFence(request.params.id, { by, reason })
      room.log.warn({ fence: record.id, by, reason }, 'an operator confirmed a fence')
      return presentFence(record)
    },
  })

  app.post('/v1/fences/:id/unfence', {
    config: { right: 'operate' },
    schema: {
      tags,
      summary: 'Undoes what a closed fence has left behind',
      description:
        'An account without rights, a blocklist entry, a machine without power. 409 while anything rests on it; what each fencer did, and saw afterwards, stands in `undone`.',
      params: FenceParams,
      body: OperatorsWord,
      response: { 200: Fence, ...problems },
    },
    handler: async (request) => {
      const { by, reason } = request.body
      const record = await room.undoFence(request.params.id, { by, reason })
      room.log.warn({ fence: record.id, by, reason }, 'an operator had a fence undone')
      return presentFence(record)
    },
  })
}
