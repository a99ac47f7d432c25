// A holder that a service of ours ends when it is told to.

import { startWebhookReceiver } from '../../support/webhook-receiver.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'a receiver that is not there is unknown' },
    slow: SLOW,
    'wrong credentials': {
      test: 'a receiver that stalls ends with the attempt, and a wrong key orders nothing',
    },
    'partial success': { test: 'waits while the service works, and is not taken in by a boast' },
    'success that is not true': { test: 'waits while the service works, and is not taken in by a boast' },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      never: 'the service is told all that the holder said; what names his incarnation is its own to know',
    },
    'garbage output': { test: 'a status that is answered by "%s" shows nothing' },
    'huge output': { test: 'a status that is answered by "%s" shows nothing' },
    hanging: { test: 'a receiver that stalls ends with the attempt, and a wrong key orders nothing' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const receiver = await startWebhookReceiver(SECRET)
    return {
      options: { url: receiver.server.url, secret: SECRET },
      fenceInfo: { host: 'compute-3' },
      isAlive: () => Promise.resolve(receiver.fenced.size === 0),
      slow: () => receiver.server.fault('slow'),
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
