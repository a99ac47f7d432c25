// A process of this machine, ended by a command.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startVictim } from '../../integration/fencers/support.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'any other ending is a failure, and what was printed is on record' },
    slow: SLOW,
    'wrong credentials': { test: 'any other ending is a failure, and what was printed is on record' },
    'partial success': { test: 'a verify command sees it gone, alive, or nothing, by its exit code' },
    'success that is not true': {
      test: 'a verify command sees it gone, alive, or nothing, by its exit code',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      never: 'the command is told all that the holder said; what names his incarnation is its own to know',
    },
    'garbage output': { never: 'what the commands print is for people, and nothing is read from it' },
    'huge output': { test: 'a flood of output is cut off, and is not waited for' },
    hanging: { test: 'a command that hangs is killed with all that it started, when the attempt is over' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const folder = mkdtempSync(join(tmpdir(), 'exec-'))
    const flag = join(folder, 'slow')
    const look = 'kill -0 "$FENCE_INFO_PID" 2>/dev/null && exit 1; exit 0'
    return {
      options: {
        command: [
          '/bin/sh',
          '-c',
          '[ -e "$SLOW_FLAG" ] && sleep 0.4; kill -9 "$FENCE_INFO_PID" 2>/dev/null; exit 0',
        ],
        verifyCommand: ['/bin/sh', '-c', look],
        env: { HOOK_PASSWORD: SECRET, SLOW_FLAG: flag },
      },
      fenceInfo: { pid: victim.pid },
      isAlive: () => Promise.resolve(victim.isAlive()),
      slow: () => writeFileSync(flag, ''),
      destroy: () => victim.end(),
      async close() {
        await victim.end()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
