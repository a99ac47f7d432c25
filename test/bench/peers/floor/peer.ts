// The smallest relay that Node's sockets allow, which checks nothing: what any gateway written for Node costs at least.

import { fileURLToPath } from 'node:url'
import { startAnnounced } from '../../processes.ts'
import type { Peer } from '../peer.ts'

export const floorPeer: Peer = {
  id: 'floor',
  title: 'the floor: a bare relay on node:net',
  checks: false,
  prepare: async () => null,
  start: async ({ upstream, locks, streamLock }) => {
    const { started, port } = await startAnnounced({
      name: 'the bare relay',
      command: process.execPath,
      args: [fileURLToPath(new URL('./relay.ts', import.meta.url)), String(upstream.port)],
    })
    return {
      port,
      streamPort: port,
      readsBodies: false,
      roots: [started.pid],
      locks,
      streamLock,
      stop: () => started.stop(),
    }
  },
}
