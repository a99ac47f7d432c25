// Go's httputil.ReverseProxy with a map in front of it: the shortest program that does the check.

import { buildGo, find } from '../../ground.ts'
import { freePort, startServer } from '../../processes.ts'
import { type Peer, runningAlone } from '../peer.ts'

let program = ''

export const goReverseProxyPeer: Peer = {
  id: 'go',
  title: "Go's ReverseProxy with a map",
  checks: true,
  prepare: async () => {
    if ((await find('go')) === null) return 'go is not installed'
    program = await buildGo('go-reverse-proxy', new URL('./main.go', import.meta.url))
    return null
  },
  start: async (ground) => {
    const { mapFile, upstream, tls } = ground
    const port = await freePort()
    const scheme = tls === null ? 'http' : 'https'
    const started = await startServer({
      name: 'the Go proxy',
      command: program,
      args: [
        mapFile,
        `127.0.0.1:${port}`,
        `${scheme}://127.0.0.1:${upstream.port}`,
        ...(tls === null ? [] : [tls.certFile, tls.keyFile]),
      ],
      env: { GOMAXPROCS: '1' },
      port,
    })
    return runningAlone(started, port, ground)
  },
}
