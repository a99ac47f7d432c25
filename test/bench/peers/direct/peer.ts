// No proxy at all: the load generator talks to the backend. Whatever is slower than this is the proxy.

import type { Peer } from '../peer.ts'

export const direct: Peer = {
  id: 'direct',
  title: 'no proxy: the backend alone',
  checks: false,
  prepare: async () => null,
  start: async ({ upstream, locks, streamLock }) => ({
    port: upstream.port,
    streamPort: upstream.port,
    readsBodies: false,
    roots: [upstream.pid],
    locks,
    streamLock,
    stop: async () => undefined,
  }),
}
