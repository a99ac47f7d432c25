// A process of this machine.

import { startVictim } from '../../integration/fencers/support.ts'
import { ALREADY_GONE, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: {
      test: 'never touches a process of another machine or pid namespace, and knows nothing of it',
    },
    slow: { test: 'kills a process that ignores SIGTERM' },
    'wrong credentials': { test: 'a process that it may not signal is a failure, and is not fenced' },
    'partial success': {
      test: 'ends with the holder, those that ignore SIGTERM too, and is not taken for gone before',
    },
    'success that is not true': {
      test: 'a process whose first thread has ended while others go on is alive',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: 'is another process, and is not touched (kill: %s)' },
    'garbage output': { never: 'it reads /proc, which the kernel writes' },
    'huge output': { never: 'it reads /proc, which the kernel writes' },
    hanging: { never: 'it starts no program, and waits for the grace alone, within the attempt' },
  },
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
