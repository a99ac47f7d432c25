// A process of this machine that a systemctl of ours calls a unit: systemd itself runs on few machines that run tests.

import { machine } from '../../../fencers/host/machine.ts'
import { startVictim } from '../../integration/fencers/support.ts'
import { fakeUnit } from '../../support/systemctl.ts'
import { ofVictim } from '../victim-world.ts'
import { ALREADY_GONE, SLOW, type WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { test: 'a systemctl that fails, hangs, babbles, floods, or says half is unknown' },
    slow: SLOW,
    'wrong credentials': {
      test: 'a systemctl that is denied the strike is a failure, and the unit is not fenced',
    },
    'partial success': { test: 'knows nothing of a unit of which former processes may be left' },
    'success that is not true': {
      test: 'a systemctl that says that it has stopped the unit, and has not, is found out',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: 'never touches a unit that was started anew, and calls the old one gone' },
    'garbage output': { test: 'a systemctl that fails, hangs, babbles, floods, or says half is unknown' },
    'huge output': { test: 'a systemctl that fails, hangs, babbles, floods, or says half is unknown' },
    hanging: { test: 'a systemctl that fails, hangs, babbles, floods, or says half is unknown' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const victim = await startVictim()
    const fake = fakeUnit(victim.pid)
    const { bootId, host } = machine()
    return {
      options: { systemctl: fake.program, graceMs: 100 },
      fenceInfo: { unit: fake.unit, invocationId: fake.invocationId, bootId, host },
      ...ofVictim(victim, fake),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
