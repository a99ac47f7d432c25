// A node of a Pacemaker cluster, whose power is the word in a file. A node is a machine and no incarnation; that one which was fenced
// since is left alone, is tried in integration/fencers/pacemaker.test.ts.

import { type PacemakerCluster, pacemakerUnavailable, startPacemaker } from '../../support/pacemaker.ts'
import type { WorldMaker } from './world.ts'

let cluster: PacemakerCluster | null = null

export default {
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
