// node:http in front, undici behind, a map between: the least that a gateway in Node can cost.

import { fileURLToPath } from 'node:url'
import { startAnnounced } from '../../processes.ts'
import type { Peer } from '../peer.ts'
import type { BareOptions } from './server.ts'

export const nodeUndiciPeer: Peer = {
  id: 'node',
  title: 'bare node:http + undici with a map',
  checks: true,
  prepare: async () => null,
  start: async ({ mapFile, upstream, tls, locks, streamLock }) => {
    const options: BareOptions = { mapFile, upstreamPort: upstream.port, tls }
    const { started, port } = await startAnnounced({
      name: 'the bare Node proxy',
      command: process.execPath,
      args: [fileURLToPath(new URL('./server.ts', import.meta.url)), JSON.stringify(options)],
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
