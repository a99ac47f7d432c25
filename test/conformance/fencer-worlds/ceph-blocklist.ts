// A client of a cluster that is a file: it is harmless once it is listed. A client that was started anew has another nonce.

import { type FakeCeph, fakeCeph } from '../../support/ceph.ts'
import { ALREADY_GONE, SLOW, type WorldMaker } from './world.ts'

const CLIENT = '10.0.0.3:0/3710147553'

export default {
  failures: {
    unreachable: { test: 'a list that fails, hangs, babbles, floods, or is cut off is unknown' },
    slow: SLOW,
    'wrong credentials': { test: 'a list that fails, hangs, babbles, floods, or is cut off is unknown' },
    'partial success': { test: 'an entry that has ended, or is about to, is none' },
    'success that is not true': { test: 'an entry that was confirmed and is not in the list is none' },
    'already gone': ALREADY_GONE,
    'new incarnation': { test: 'lists one instance of a client, and takes it off again' },
    'garbage output': { test: 'a list that fails, hangs, babbles, floods, or is cut off is unknown' },
    'huge output': { test: 'a list that fails, hangs, babbles, floods, or is cut off is unknown' },
    hanging: { test: 'a list that fails, hangs, babbles, floods, or is cut off is unknown' },
  },
  unavailable: () => null,
  prepare: () => Promise.resolve(),
  enter() {
    const ceph: FakeCeph = fakeCeph()
    return Promise.resolve({
      options: ceph.options,
      fenceInfo: { cephClient: CLIENT },
      isAlive: () => Promise.resolve(!ceph.lists(CLIENT)),
      slow: () => ceph.first('sleep 0.4'),
      destroy: () => Promise.resolve(ceph.add(CLIENT, '2199-01-01T00:00:00.000000+0000')),
      close: () => Promise.resolve(ceph.close()),
    })
  },
  leave: () => Promise.resolve(),
} satisfies WorldMaker
