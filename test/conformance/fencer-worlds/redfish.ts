// A machine behind a BMC of ours, reached over TLS with a pinned certificate.

import { type RedfishBmc, SYSTEM_UUID, startRedfishBmc } from '../../support/redfish-bmc.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

const powerOf = (bmc: RedfishBmc): string => bmc.systems.get('1')?.power ?? ''

export default {
  failures: {
    unreachable: { test: 'a BMC that is not there is unknown' },
    slow: SLOW,
    'wrong credentials': { test: 'a BMC that hangs ends with the attempt; wrong credentials are not named' },
    'partial success': { test: 'a machine that is switching off is not off yet' },
    'success that is not true': { test: 'a success that is reported and not true is seen through' },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      test: 'a machine that was reset since the holder started is left alone, and its holder gone',
    },
    'garbage output': { test: 'a look that is answered by "%s" shows nothing' },
    'huge output': { test: 'a look that is answered by "%s" shows nothing' },
    hanging: { test: 'a BMC that hangs ends with the attempt; wrong credentials are not named' },
  },
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
      slow: () => bmc.server.fault('slow'),
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
