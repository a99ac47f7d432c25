// A process of this machine that a systemctl of ours calls a unit: systemd itself runs on few machines that run tests.

import { machine } from '../../../fencers/host/machine.ts'
import { startVictim } from '../../integration/fencers/support.ts'
import { fakeUnit } from '../../support/systemctl.ts'
import type { WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const fake = fakeUnit(victim.pid)
    const { bootId, host } = machine()
    return {
      options: { systemctl: fake.program, graceMs: 100 },
      fenceInfo: { unit: fake.unit, invocationId: fake.invocationId, bootId, host },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      async close() {
        await victim.end()
        fake.close()
      },
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
