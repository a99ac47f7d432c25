// A holder that a service of ours ends when it is told to.

import { startWebhookReceiver } from '../../support/webhook-receiver.ts'
import { SECRET, type WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const receiver = await startWebhookReceiver(SECRET)
    return {
      options: { url: receiver.server.url, secret: SECRET },
      fenceInfo: { host: 'compute-3' },
      isAlive: () => Promise.resolve(receiver.fenced.size === 0),
      destroy: () => {
        // As the attempts of the suite name their fence.
        receiver.fenced.add('f00')
        return Promise.resolve()
      },
      close: () => receiver.server.close(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
