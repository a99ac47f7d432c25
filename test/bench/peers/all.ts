// The peers, in the order in which they are measured and shown.

import { direct } from './direct/peer.ts'
import { fastifyPeer } from './fastify-http-proxy/peer.ts'
import { fencegatePeer, workerPeers } from './fencegate/peer.ts'
import { floorPeer } from './floor/peer.ts'
import { goReverseProxyPeer } from './go-reverse-proxy/peer.ts'
import { haproxyPeer } from './haproxy/peer.ts'
import { nginxPeer } from './nginx/peer.ts'
import { nodeUndiciPeer } from './node-undici/peer.ts'
import type { Peer } from './peer.ts'

export const PEERS: readonly Peer[] = [
  fencegatePeer,
  nginxPeer,
  haproxyPeer,
  goReverseProxyPeer,
  nodeUndiciPeer,
  fastifyPeer,
  floorPeer,
  direct,
  ...workerPeers,
]
