// A machine behind a BMC of ours, reached over TLS with a pinned certificate.

import { type RedfishBmc, SYSTEM_UUID, startRedfishBmc } from '../../support/redfish-bmc.ts'
import { SECRET, type WorldMaker } from './world.ts'

const powerOf = (bmc: RedfishBmc): string => bmc.systems.get('1')?.power ?? ''

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  async enter() {
    const bmc = await startRedfishBmc({ password: SECRET, tls: true })
    return {
      options: {
        machines: { 'compute-3': { url: bmc.server.url, tls: { fingerprint: bmc.server.fingerprint } } },
        username: 'fencer',
        password: SECRET,
      },
      fenceInfo: { host: 'compute-3', systemUuid: SYSTEM_UUID },
      isAlive: () => Promise.resolve(powerOf(bmc) !== 'Off'),
      destroy: () => {
        const system = bmc.systems.get('1')
        if (system !== undefined) system.power = 'Off'
        return Promise.resolve()
      },
      close: () => bmc.server.close(),
    }
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
