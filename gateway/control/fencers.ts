// The route of fencers: which of them could do its job when it was last asked.

import { pageOf, presentFencer, presentPage } from './present.ts'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { FencerState, listOf, PageQuery } from './schemas.ts'

export function fencerRoutes(app: ControlApp, room: ControlRoom): void {
  app.get('/v1/fencers', {
    config: { right: 'observe' },
    schema: {
      tags: ['fences'],
      summary: 'Lists the configured fencers and what this gateway found when it last asked them',
      description:
        'Nothing is struck to find this out. A fencer that is unhealthy is still tried when it is needed.',
      querystring: PageQuery,
      response: { 200: listOf(FencerState), ...problems },
    },
    handler: (request) =>
      Promise.resolve(
        presentPage(
          pageOf(room.fencers(), ({ fencer }) => fencer, request.query),
          presentFencer,
        ),
      ),
  })
}
