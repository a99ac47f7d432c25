// node:http in front, undici behind, a map between: the least that a gateway in Node can cost.

import { fileURLToPath } from 'node:url'
import { startAnnounced } from '../../processes.ts'
import { type Peer, runningAlone } from '../peer.ts'
import type { BareOptions } from './server.ts'

export const nodeUndiciPeer: Peer = {
  id: 'node',
  title: 'bare node:http + undici with a map',
  checks: true,
  prepare: async () => null,
  start: async (ground) => {
    const { mapFile, upstream, tls } = ground
    const options: BareOptions = { mapFile, upstreamPort: upstream.port, tls }
    const { started, port } = await startAnnounced({
      name: 'the bare Node proxy',
      command: process.execPath,
      args: [fileURLToPath(new URL('./server.ts', import.meta.url)), JSON.stringify(options)],
    })
    return runningAlone(started, port, ground)
  },
}
