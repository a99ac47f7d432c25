// A process of this machine that a virsh of ours calls a domain.

import { startVictim } from '../../integration/fencers/support.ts'
import { fakeDomain } from '../../support/virsh.ts'
import type { WorldMaker } from './world.ts'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const fake = fakeDomain(victim.pid)
    return {
      options: { uri: 'qemu:///system', virsh: fake.program },
      fenceInfo: { domainUuid: fake.domainUuid, domainId: fake.domainId },
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
