// A process of this machine, behind a real sshd on the loopback. Its incarnations are tried in integration/fencers/ssh.test.ts.

import { programUnavailable } from '../../house/availability.ts'
import { whereabouts } from '../../integration/fencers/host-support.ts'
import { startVictim } from '../../integration/fencers/support.ts'
import { type Sshd, startSshd } from '../../support/sshd.ts'
import type { WorldMaker } from './world.ts'

let sshd: Sshd | null = null

export default {
  unavailable: () => programUnavailable('sshd', 'openssh-server'),
  async prepare() {
    sshd = await startSshd()
  },
  async enter() {
    if (sshd === null) throw new Error('no sshd')
    const victim = await startVictim()
    return {
      options: sshd.options,
      fenceInfo: { host: '127.0.0.1', ...whereabouts(victim.pid) },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      close: () => victim.end(),
    }
  },
  leave: async () => sshd?.stop(),
} satisfies WorldMaker
