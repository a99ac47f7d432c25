// The route of backends: how much they have to do, and which of their addresses are well.

import { presentBackend } from './present.ts'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { Backend, listOf } from './schemas.ts'

export function backendRoutes(app: ControlApp, room: ControlRoom): void {
  app.get('/v1/backends', {
    config: { right: 'observe' },
    schema: {
      tags: ['backends'],
      summary:
        'Lists the backends of this gateway, what they have to do, and which of their addresses are well',
      response: { 200: listOf(Backend), ...problems },
    },
    handler: () => Promise.resolve({ items: room.backends().map(presentBackend) }),
  })
}
