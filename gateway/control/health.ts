// Is the process there, does it admit calls, and its numbers.

import { z } from 'zod'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { Live, Ready } from './schemas.ts'

export type Exposition = () => Promise<{ readonly contentType: string; readonly body: string }>

export function healthRoutes(app: ControlApp, room: ControlRoom, metrics: Exposition): void {
  const tags = ['health']

  app.get('/livez', {
    config: { right: 'open' },
    schema: { tags, summary: 'The process answers', response: { 200: Live, ...problems } },
    handler: () => Promise.resolve({ live: true as const }),
  })

  app.get('/readyz', {
    config: { right: 'open' },
    schema: {
      tags,
      summary: 'Mutating calls are admitted, or why not',
      description:
        'A fencer that could not do its job makes no gateway unready: calls are admitted all the same. It is named.',
      response: { 200: Ready, 503: Ready, ...problems },
    },
    handler: async (_request, reply) => {
      const readiness = room.leaving.aborted
        ? { ready: false, reason: 'this gateway is going away' }
        : room.plane.readiness()
      const unhealthy = room
        .fencers()
        .filter(({ state }) => state === 'unhealthy')
        .map(({ fencer }) => fencer)
      return reply
        .code(readiness.ready ? 200 : 503)
        .send({ ...readiness, ...(unhealthy.length === 0 ? {} : { unhealthyFencers: unhealthy }) })
    },
  })

  app.get('/metrics', {
    config: { right: 'read' },
    schema: {
      tags,
      summary: 'Numbers for Prometheus',
      response: {
        200: { description: 'The exposition.', content: { 'text/plain': { schema: z.string() } } },
        ...problems,
      },
    },
    handler: async (_request, reply) => {
      const { contentType, body } = await metrics()
      return reply
        .type(contentType)
        .serializer((text: unknown) => String(text))
        .send(body)
    },
  })
}
