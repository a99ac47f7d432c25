// nginx and HAProxy as the ends of HTTP/2 in front of a backend that is reached by HTTP/1.1, as the gateway is.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { findProgram } from '../../../house/availability.ts'
import { freePort } from '../../../support/free-port.ts'

export interface FrontServers {
  readonly nginxPort: number
  readonly haproxyPort: number
  close(): Promise<void>
}

interface Terms {
  /** PEM. */
  readonly cert: string
  readonly key: string
  readonly behindNginx: number
  readonly behindHaproxy: number
}

export async function startFrontServers({
  cert,
  key,
  behindNginx,
  behindHaproxy,
}: Terms): Promise<FrontServers> {
  const folder = mkdtempSync(path.join(tmpdir(), 'fencegate-fronts-'))
  const [nginxPort, haproxyPort] = [await freePort(), await freePort()]
  const file = (name: string, text: string): string => {
    const at = path.join(folder, name)
    writeFileSync(at, text, { mode: 0o600 })
    return at
  }
  mkdirSync(path.join(folder, 'tmp'))
  const certificate = { cert: file('cert.pem', cert), key: file('key.pem', key) }
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const nginxFile = file(
    'nginx.conf',
    `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log /dev/null;
events { worker_connections 512; }
http {
  access_log off;
  ${kinds.map((kind) => `${kind}_temp_path ${folder}/tmp/${kind};`).join(' ')}
  server {
    listen 127.0.0.1:${nginxPort} ssl http2;
    ssl_certificate ${certificate.cert};
    ssl_certificate_key ${certificate.key};
    location / {
      proxy_pass http://127.0.0.1:${behindNginx};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
    }
  }
}
`,
  )
  const haproxyFile = file(
    'haproxy.cfg',
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${haproxyPort} ssl crt ${file('both.pem', cert + key)} alpn h2
  default_backend back
backend back
  server origin 127.0.0.1:${behindHaproxy}
`,
  )
  const children: ChildProcess[] = []
  const run = (name: string, ...args: string[]) =>
    children.push(spawn(findProgram(name) ?? name, args, { stdio: 'ignore' }))
  const close = async (): Promise<void> => {
    for (const child of children) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      if (child.exitCode === null && child.kill('SIGKILL')) await gone
    }
    rmSync(folder, { recursive: true, force: true })
  }
  run('nginx', '-p', folder, '-c', nginxFile, '-e', 'stderr')
  run('haproxy', '-db', '-f', haproxyFile)
  for (const port of [nginxPort, haproxyPort]) await listening(port)
  return { nginxPort, haproxyPort, close }
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.once('error', () => resolve(false))
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
    })
    if (isOpen) return
    await new Promise<void>((resolve) => setTimeout(resolve, 20))
  }
}
