// A machine of Debian's fence_dummy: its power is the word in a file. A plug is a machine and no incarnation, so there
// is no other incarnation that must not be touched; which machine a plug stands for is the operator's list.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programUnavailable } from '../../house/availability.ts'
import { ALREADY_GONE, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'with a wrong password, and without an answer, nothing is known' },
    slow: { test: 'an agent that takes its time is waited for' },
    'wrong credentials': { test: 'with a wrong password, and without an answer, nothing is known' },
    'partial success': {
      test: 'an agent that fails after it has switched off is a failure, and the machine is seen to be off',
    },
    'success that is not true': {
      test: 'an agent that reports success while the machine runs on is believed by nobody',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      never:
        'a plug is a machine, and whatever runs on it by then is struck: the power brake and the records say so',
    },
    'garbage output': { test: 'a program that is no fence agent is never told to strike' },
    'huge output': { test: 'a status that fails, dies, hangs or floods is unknown' },
    hanging: { test: 'an agent that hangs is killed with all that it started' },
  },
  unavailable: () => programUnavailable('fence_dummy', 'fence-agents'),
  prepare: () => Promise.resolve(),
  enter() {
    const folder = mkdtempSync(join(tmpdir(), 'fence-agent-'))
    const file = join(folder, 'power')
    writeFileSync(file, 'on')
    return Promise.resolve({
      options: { agent: 'fence_dummy', machines: { 'compute-3': { status_file: file } } },
      fenceInfo: { plug: 'compute-3' },
      isAlive: () => Promise.resolve(readFileSync(file, 'utf8') === 'on'),
      destroy: () => Promise.resolve(writeFileSync(file, 'off')),
      close: () => Promise.resolve(rmSync(folder, { recursive: true, force: true })),
    })
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
