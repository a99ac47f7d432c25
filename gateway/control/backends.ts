// The route of backends: how much they have to do, and which of their addresses are well.

import { pageOf, presentBackend, presentPage } from './present.ts'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { Backend, listOf, PageQuery } from './schemas.ts'

export function backendRoutes(app: ControlApp, room: ControlRoom): void {
  app.get('/v1/backends', {
    config: { right: 'observe' },
    schema: {
      tags: ['backends'],
      summary:
        'Lists the backends of this gateway, what they have to do, and which of their addresses are well',
      querystring: PageQuery,
      response: { 200: listOf(Backend), ...problems },
    },
    handler: (request) =>
      Promise.resolve(
        presentPage(
          pageOf(room.backends(), ({ backend }) => backend, request.query),
          presentBackend,
        ),
      ),
  })
}
