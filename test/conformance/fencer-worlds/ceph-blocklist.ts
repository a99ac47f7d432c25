// A client of a cluster that is a file: it is harmless once it is listed. A client that was started anew has another nonce.

import { type FakeCeph, fakeCeph } from '../../support/ceph.ts'
import type { WorldMaker } from './world.ts'

const CLIENT = '10.0.0.3:0/3710147553'

export default {
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  enter() {
    const ceph: FakeCeph = fakeCeph()
    return Promise.resolve({
      options: ceph.options,
      fenceInfo: { cephClient: CLIENT },
      isAlive: () => Promise.resolve(!ceph.lists(CLIENT)),
      destroy: () => Promise.resolve(ceph.add(CLIENT, '2199-01-01T00:00:00.000000+0000')),
      close: () => Promise.resolve(ceph.close()),
    })
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
