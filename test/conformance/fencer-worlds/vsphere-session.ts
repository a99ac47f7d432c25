// A session in the vCenter simulator.

import { createSoapClient } from '../../support/soap-client.ts'
import {
  slowDown,
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

let vcenter: VcenterSimulator | null = null

export default {
  failures: {
    unreachable: { test: 'a vCenter that cannot be reached is unknown' },
    slow: SLOW,
    'wrong credentials': {
      test: 'wrong credentials are a failure without the password in it, and never "fenced"',
    },
    'partial success': {
      test: 'a REST session that cannot be ended or asked for is not taken for gone, and does not keep the other',
    },
    'success that is not true': {
      test: 'a termination that is confirmed while the session is still listed is not believed',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: "leaves every other session alone, the same user's too" },
    'garbage output': { test: 'a proxy that answers HTML is unknown' },
    'huge output': { test: 'of %s that babbles, floods, or is not there shows nothing, and strikes nobody' },
    hanging: { test: 'a vCenter that accepts and never answers ends with the attempt' },
  },
  unavailable: vcenterSimulatorUnavailable,
  async prepare() {
    vcenter = await startVcenterSimulator({ users: { fencer: SECRET, nova: 'n' } })
  },
  async enter() {
    if (vcenter === null) throw new Error('no vCenter')
    const simulator = vcenter
    const client = createSoapClient({ url: simulator.url })
    const { key } = await client.login('nova', 'n')
    return {
      options: { url: simulator.url, username: 'fencer', password: SECRET },
      fenceInfo: { sessionKey: key },
      isAlive: async () => (await simulator.sessions()).some((session) => session.key === key),
      slow: () => slowDown(vcenter, 'TerminateSession'),
      destroy: async () => {
        await client.call('Logout', { type: 'SessionManager', value: 'SessionManager' })
      },
      close: () => client.close(),
    }
  },
  leave: async () => vcenter?.stop(),
} satisfies WorldMaker
