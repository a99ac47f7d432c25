// A machine of Debian's fence_dummy: its power is the word in a file. A plug is a machine and no incarnation, so there
// is no other incarnation that must not be touched; which machine a plug stands for is the operator's list.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programUnavailable } from '../../house/availability.ts'
import type { WorldMaker } from './world.ts'

export default {
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
