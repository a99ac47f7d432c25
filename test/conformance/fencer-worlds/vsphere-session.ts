// A session in the vCenter simulator.

import { createSoapClient } from '../../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { SECRET, type WorldMaker } from './world.ts'

let vcenter: VcenterSimulator | null = null

export default {
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
      destroy: async () => {
        await client.call('Logout', { type: 'SessionManager', value: 'SessionManager' })
      },
      close: () => client.close(),
    }
  },
  leave: async () => vcenter?.stop(),
} satisfies WorldMaker
