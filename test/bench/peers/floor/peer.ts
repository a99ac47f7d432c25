// The smallest relay that Node's sockets allow, which checks nothing: what any gateway written for Node costs at least.

import { fileURLToPath } from 'node:url'
import { startAnnounced } from '../../processes.ts'
import { type Peer, runningAlone } from '../peer.ts'

export const floorPeer: Peer = {
  id: 'floor',
  title: 'the floor: a bare relay on node:net',
  checks: false,
  prepare: async () => null,
  start: async (ground) => {
    const { upstream } = ground
    const { started, port } = await startAnnounced({
      name: 'the bare relay',
      command: process.execPath,
      args: [fileURLToPath(new URL('./relay.ts', import.meta.url)), String(upstream.port)],
    })
    return runningAlone(started, port, ground)
  },
}
