// A process of this machine, ended by a command.

import { startVictim } from '../../integration/fencers/support.ts'
import { SECRET, type WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const look = 'kill -0 "$FENCE_INFO_PID" 2>/dev/null && exit 1; exit 0'
    return {
      options: {
        command: ['/bin/sh', '-c', 'kill -9 "$FENCE_INFO_PID" 2>/dev/null; exit 0'],
        verifyCommand: ['/bin/sh', '-c', look],
        env: { HOOK_PASSWORD: SECRET },
      },
      fenceInfo: { pid: victim.pid },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      close: () => victim.end(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
