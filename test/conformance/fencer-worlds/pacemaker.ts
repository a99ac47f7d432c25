// A node of a Pacemaker cluster, whose power is the word in a file. A node is a machine and no incarnation; that one which was fenced
// since is left alone, is tried in integration/fencers/pacemaker.test.ts.

import { type PacemakerCluster, pacemakerUnavailable, startPacemaker } from '../../support/pacemaker.ts'
import { ALREADY_GONE, type WorldMaker } from './world.ts'

let cluster: PacemakerCluster | null = null

export default {
  failures: {
    unreachable: { test: 'stonith_admin says that there is no connection, and nothing is known' },
    slow: { test: 'a device that is slow is waited for, and nobody is fenced meanwhile' },
    'wrong credentials': {
      test: 'somebody whom the cluster does not let in is a failure, and nothing is known',
    },
    'partial success': { test: 'a device that fails is a failure, and the node is not fenced' },
    'success that is not true': { test: 'success that is reported and not in the history is found out' },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      test: 'a node that was fenced since the holder started is left alone, and its holder gone',
    },
    'garbage output': {
      test: 'a history that fails, hangs, babbles, floods, or is cut off is unknown, and nothing is struck',
    },
    'huge output': {
      test: 'a history that fails, hangs, babbles, floods, or is cut off is unknown, and nothing is struck',
    },
    hanging: { test: 'one that hangs is killed, and the cluster was given less time than the attempt has' },
  },
  unavailable: pacemakerUnavailable,
  async prepare() {
    cluster = await startPacemaker()
  },
  enter() {
    if (cluster === null) throw new Error('no cluster')
    const here = cluster
    const node = here.addNode()
    return Promise.resolve({
      options: { stonithAdmin: here.program, nodes: [node] },
      fenceInfo: { node, lastFenced: 'never' },
      isAlive: () => Promise.resolve(here.power(node) === 'on'),
      destroy: () => Promise.resolve(void here.admin(`--fence=${node}`, '--timeout=10')),
      close: () => Promise.resolve(),
    })
  },
  leave: async () => cluster?.stop(),
} satisfies WorldMaker
