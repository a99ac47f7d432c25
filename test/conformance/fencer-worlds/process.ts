// A process of this machine.

import { startVictim } from '../../integration/fencers/support.ts'
import type { WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    return {
      options: { graceMs: 100 },
      fenceInfo: { pid: victim.pid },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      close: () => victim.end(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
