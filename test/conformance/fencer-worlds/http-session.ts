// A session of an API of ours, listed and deleted by id.

import { startSessionApi } from '../../support/session-api.ts'
import { SECRET, type WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const api = await startSessionApi({ password: SECRET })
    const id = api.open('nova')
    return {
      options: api.fencerOptions(SECRET),
      fenceInfo: { sessionId: id },
      isAlive: () => Promise.resolve(api.isOpen(id)),
      destroy: () => {
        api.end(id)
        return Promise.resolve()
      },
      close: () => api.server.close(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
