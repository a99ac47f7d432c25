// A process of this machine, behind a real sshd on the loopback. Its incarnations are tried in integration/fencers/ssh.test.ts.

import { programUnavailable } from '../../house/availability.ts'
import { whereabouts } from '../../integration/fencers/host-support.ts'
import { startVictim } from '../../integration/fencers/support.ts'
import { type Sshd, startSshd } from '../../support/sshd.ts'
import { ALREADY_GONE, type WorldMaker } from './world.ts'

let sshd: Sshd | null = null

export default {
  failures: {
    unreachable: { test: 'a host that is not there is unknown' },
    slow: { test: 'a far end that is slow is waited for' },
    'wrong credentials': {
      test: 'talks to no host whose key is not the known one, and with no key of a stranger',
    },
    'partial success': { test: 'asks with SIGTERM, then kills, all over one login' },
    'success that is not true': {
      test: 'a far end that babbles, floods, echoes, lies without the mark, or fails is unknown',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      test: 'never touches a process that took over the pid, that belongs to an earlier boot, or to a container',
    },
    'garbage output': {
      test: 'a far end that babbles, floods, echoes, lies without the mark, or fails is unknown',
    },
    'huge output': {
      test: 'a far end that babbles, floods, echoes, lies without the mark, or fails is unknown',
    },
    hanging: { test: 'a far end that hangs is left at the deadline, and nothing is known' },
  },
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
