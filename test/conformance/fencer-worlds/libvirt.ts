// A process of this machine that a virsh of ours calls a domain.

import { startVictim } from '../../integration/fencers/support.ts'
import { fakeDomain } from '../../support/virsh.ts'
import { ofVictim } from '../victim-world.ts'
import { ALREADY_GONE, SLOW, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown' },
    slow: SLOW,
    'wrong credentials': {
      test: 'a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown',
    },
    'partial success': {
      test: 'one that moved, was saved, or came back under another id is unknown, and is not touched',
    },
    'success that is not true': { test: 'success that is not true is found out' },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: 'never touches a domain that was started anew, and calls the old one gone' },
    'garbage output': {
      test: 'a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown',
    },
    'huge output': { test: 'a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown' },
    hanging: { test: 'a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const fake = fakeDomain(victim.pid)
    return {
      options: { uri: 'qemu:///system', virsh: fake.program },
      fenceInfo: { domainUuid: fake.domainUuid, domainId: fake.domainId },
      ...ofVictim(victim, fake),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
