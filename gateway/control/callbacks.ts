// The route on which a fencer's service says by itself what became of an order. No operator's token is asked for, but the
// signature of that service.

import { z } from 'zod'
import { type ControlApp, type ControlRoom, problems } from './room.ts'
import { FenceParams } from './schemas.ts'

const BODY_BYTES_MAX = 16_384

const CallbackParams = FenceParams.extend({
  fencer: z.string().max(64).describe('Its name in the configuration.'),
})
const Callback = z.object({
  fence: z.string().max(64).describe('The same as in the path.'),
  ticket: z.string().max(128).describe('Of the order that this answers, from its `callback`.'),
  state: z.enum(['fenced', 'failed']),
  evidence: z.string().max(4096).optional().describe('What was seen; it goes on record, cut to 500.'),
})
const CallbackAnswer = z.object({
  result: z.enum(['taken', 'known']).describe('`known`: it had been said, or nobody needs it any more.'),
})

export function callbackRoutes(app: ControlApp, room: ControlRoom): void {
  app.post('/v1/fences/:id/callback/:fencer', {
    // Who has no credentials, but the fencer's key: the driver asks for its signature.
    config: { right: 'open', signed: true },
    bodyLimit: BODY_BYTES_MAX,
    schema: {
      tags: ['fences'],
      summary: 'Takes the word of a fencer’s service about an order that it was given',
      description:
        'At any gateway. No token: `Fencegate-Timestamp` and `Fencegate-Signature`, as on the order, over `<timestamp>.<body>`. Send it again until the answer is 2xx, 401 or 409.',
      params: CallbackParams,
      body: Callback,
      response: { 200: CallbackAnswer, ...problems },
    },
    handler: async (request) => {
      const { id, fencer } = request.params
      const header = (name: string): string | undefined => {
        const value = request.headers[name]
        return typeof value === 'string' ? value : undefined
      }
      return { result: await room.takeCallback({ fencer, fenceId: id, header, text: request.text ?? '' }) }
    },
  })
}
