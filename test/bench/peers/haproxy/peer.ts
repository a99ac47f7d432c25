// HAProxy that compares the token with a map of its own: the fastest check there is, as long as nobody has to keep the
// map true.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { find, type Ground } from '../../ground.ts'
import { freePort, startServer } from '../../processes.ts'
import type { Peer } from '../peer.ts'

let haproxy = ''

export const haproxyPeer: Peer = {
  id: 'haproxy',
  title: 'HAProxy with a map',
  checks: true,
  prepare: async () => {
    haproxy = (await find('haproxy')) ?? ''
    return haproxy === '' ? 'haproxy is not installed' : null
  },
  start: async (ground) => {
    const port = await freePort()
    const file = path.join(ground.folder, 'haproxy.cfg')
    writeFileSync(file, configuration(ground, port))
    const started = await startServer({
      name: 'haproxy',
      command: haproxy,
      args: ['-db', '-f', file],
      port,
    })
    return {
      port,
      streamPort: port,
      readsBodies: false,
      roots: [started.pid],
      locks: ground.locks,
      streamLock: ground.streamLock,
      stop: () => started.stop(),
    }
  },
}

function configuration({ upstream, mapFile, tls }: Ground, port: number): string {
  return `global
  nbthread 1
  maxconn 19000
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend gateway
  bind 127.0.0.1:${port}${tls === null ? '' : ` ssl crt ${tls.bundleFile}`}
  acl reads method GET
  http-request set-var(txn.token) path,map_str(${mapFile})
  http-request return status 412 unless reads or { var(txn.token) -m found } { req.hdr(Fencing-Token),strcmp(txn.token) eq 0 }
  http-request del-header Fencing-Token
  default_backend backend
backend backend
  server backend 127.0.0.1:${upstream.port} pool-max-conn 8192${tls === null ? '' : ' ssl verify none'}
`
}
