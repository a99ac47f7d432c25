// nginx with `auth_request` to a checker in Go: what one would build today, and what the target is measured against.

import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buildGo, find, type Ground } from '../../ground.ts'
import { freePort, startServer } from '../../processes.ts'
import type { Peer } from '../peer.ts'

let nginx = ''
let checker = ''

export const nginxPeer: Peer = {
  id: 'nginx',
  title: 'nginx + auth_request + checker in Go',
  checks: true,
  prepare: async () => {
    const program = await find('nginx')
    if (program === null) return 'nginx is not installed'
    if ((await find('go')) === null) return 'go is not installed'
    nginx = program
    checker = await buildGo('checker', new URL('../checker/main.go', import.meta.url))
    return null
  },
  start: async (ground) => {
    const checkerPort = await freePort()
    const startedChecker = await startServer({
      name: 'the checker',
      command: checker,
      args: [ground.mapFile, `127.0.0.1:${checkerPort}`],
      env: { GOMAXPROCS: '1' },
      port: checkerPort,
    })
    const port = await freePort()
    const folder = path.join(ground.folder, 'nginx')
    mkdirSync(folder, { recursive: true })
    const file = path.join(folder, 'nginx.conf')
    writeFileSync(file, configuration({ ground, port, checkerPort, folder }))
    const started = await startServer({
      name: 'nginx',
      command: nginx,
      args: ['-p', folder, '-c', file, '-e', 'stderr'],
      port,
    })
    return {
      port,
      streamPort: port,
      readsBodies: false,
      roots: [started.pid, startedChecker.pid],
      locks: ground.locks,
      streamLock: ground.streamLock,
      stop: async () => {
        await started.stop()
        await startedChecker.stop()
      },
    }
  },
}

interface Configuration {
  readonly ground: Ground
  readonly port: number
  readonly checkerPort: number
  readonly folder: string
}

// Reads must not pay for the checker. `error_page 418` is how nginx takes another location by method.
function configuration({ ground, port, checkerPort, folder }: Configuration): string {
  const { tls, upstream } = ground
  const backend = tls === null ? 'http://backend' : 'https://backend'
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  upstream backend { server 127.0.0.1:${upstream.port}; keepalive 8192; keepalive_requests 1000000000; }
  upstream checker { server 127.0.0.1:${checkerPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port}${tls === null ? '' : ' ssl'} backlog=4096;
    ${tls === null ? '' : `ssl_certificate ${tls.certFile}; ssl_certificate_key ${tls.keyFile};`}
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header Fencing-Token "";
    error_page 418 = @read;
    error_page 403 =412 @refused;
    location / {
      if ($request_method = GET) { return 418; }
      auth_request /-/check;
      proxy_pass ${backend};
    }
    location /stream/ {
      if ($request_method = GET) { return 418; }
      auth_request /-/check;
      proxy_request_buffering off;
      proxy_pass ${backend};
    }
    location @read { proxy_max_temp_file_size 0; proxy_pass ${backend}; }
    location @refused { return 412; }
    location = /-/check {
      internal;
      proxy_pass http://checker;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header Fencing-Token $http_fencing_token;
      proxy_set_header X-Original-URI $request_uri;
    }
  }
}
`
}
