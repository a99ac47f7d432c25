// A session of an API of ours, listed and deleted by id.

import { startSessionApi } from '../../support/session-api.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'an API that hangs, or is not there, ends with the attempt' },
    slow: SLOW,
    'wrong credentials': {
      test: 'wrong credentials are a failure that does not name them, for monitor, too',
    },
    'partial success': { test: 'an action that is answered by "%s" is followed by a look, which decides' },
    'success that is not true': { test: 'a success that is reported and not true is seen through' },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: 'a pod that was made anew under the name is left alone' },
    'garbage output': { test: 'a look that is answered by "%s" shows nobody gone' },
    'huge output': { test: 'a look that is answered by "%s" shows nobody gone' },
    hanging: { test: 'an API that hangs, or is not there, ends with the attempt' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const api = await startSessionApi({ password: SECRET })
    const id = api.open('nova')
    return {
      options: api.fencerOptions(SECRET),
      fenceInfo: { sessionId: id },
      isAlive: () => Promise.resolve(api.isOpen(id)),
      slow: () => api.server.fault('slow'),
      destroy: () => {
        api.end(id)
        return Promise.resolve()
      },
      close: () => api.server.close(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
