// How other servers read bytes: each is a port to which they are sent as they are, and whose answers say in X-Read what was
// understood. Node's own parser, Go's net/http, and nginx and HAProxy in front of Node's.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findProgram } from '../../../house/availability.ts'
import { freePort } from '../../../support/free-port.ts'
import { RawClient } from '../../../support/raw-http.ts'

export interface Reading {
  readonly method: string
  readonly target: string
  readonly body: string
}

export interface Reader {
  readonly name: string
  readonly port: number
}

export interface Readers {
  readonly all: readonly Reader[]
  close(): Promise<void>
}

/** An HTTP server of Node that keeps the raw bytes of each connection, and what it has read of them. */
export class TappedServer {
  readonly #server: Server
  /** Of all connections, in the order in which they came to their ends. */
  readonly readings: Reading[] = []
  /** Why what came could not be read, where that is not only that it was cut off. */
  readonly malformed: string[] = []
  readonly #taken: { readonly bytes: Buffer[]; readonly readings: Reading[] }[] = []

  /** `keepsAlive`: whether a connection may have more than one request. */
  constructor(keepsAlive = true) {
    const readings = new WeakMap<Socket, Reading[]>()
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const chunks: Buffer[] = []
      request.on('error', () => response.destroy())
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const reading = {
          method: request.method ?? '',
          target: request.url ?? '',
          body: Buffer.concat(chunks).toString('latin1'),
        }
        readings.get(request.socket)?.push(reading)
        this.readings.push(reading)
        response.setHeader('X-Read', said(reading))
        if (!keepsAlive) response.setHeader('Connection', 'close')
        response.end()
      })
    })
    this.#server.maxHeadersCount = 0
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code?.startsWith('HPE_') === true && error.code !== 'HPE_INVALID_EOF_STATE')
        this.malformed.push(`${error.code}: ${error.message}`)
      socket.destroy()
    })
    this.#server.on('connection', (socket: Socket) => {
      const taken = { bytes: [] as Buffer[], readings: [] as Reading[] }
      readings.set(socket, taken.readings)
      this.#taken.push(taken)
      socket.on('data', (chunk: Buffer) => taken.bytes.push(chunk))
      socket.on('error', () => socket.destroy())
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The bytes of each connection of which a request was read to its end. */
  streams(): { readonly bytes: Buffer; readonly readings: readonly Reading[] }[] {
    return this.#taken
      .filter(({ readings }) => readings.length > 0)
      .map(({ bytes, readings }) => ({ bytes: Buffer.concat(bytes), readings }))
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

function said({ method, target, body }: Reading): string {
  const inner = { method, target, body: Buffer.from(body, 'latin1').toString('base64') }
  return Buffer.from(JSON.stringify(inner)).toString('base64')
}

function heard(field: string): Reading {
  const inner = JSON.parse(Buffer.from(field, 'base64').toString()) as Reading
  return { ...inner, body: Buffer.from(inner.body, 'base64').toString('latin1') }
}

/**
 * How a reader reads the bytes, and a last request behind them: as many requests as are expected, until it refuses (a status
 * of 400 and above, or the end of the connection) or says nothing, as who waits for more of a body.
 */
export async function readBy(
  { port }: Reader,
  bytes: Buffer,
  expected: readonly Reading[],
): Promise<{ readonly readings: readonly Reading[]; readonly end: 'all' | 'refused' | 'silent' }> {
  const client = await RawClient.open(port)
  const readings: Reading[] = []
  let isSilent = false
  const silence = setTimeout(() => {
    isSilent = true
    client.close()
  }, SILENT_MS)
  try {
    // With it whatever is understood as a further request gets an answer; without one the answers below are all.
    client.send(Buffer.concat([bytes, Buffer.from(LAST)]))
    for (let i = 0; i < expected.length; i++) {
      const answer = await client.answer({ head: expected[i]?.method === 'HEAD' })
      const field = answer.headers['x-read']
      if (answer.status >= 400 || field === undefined) return { readings, end: 'refused' }
      readings.push(heard(field))
    }
    return { readings, end: 'all' }
  } catch {
    return { readings, end: isSilent ? 'silent' : 'refused' }
  } finally {
    clearTimeout(silence)
    client.close()
  }
}

/** Far longer than any of them takes. */
const SILENT_MS = 10_000
export const LAST_READING: Reading = { method: 'GET', target: '/the-last', body: '' }
const LAST = 'GET /the-last HTTP/1.1\r\nHost: last\r\n\r\n'

/** Starts nginx, HAProxy and a server in Go, in front of `origin`. */
export async function startReaders(origin: TappedServer): Promise<Readers> {
  const folder = mkdtempSync(path.join(tmpdir(), 'fencegate-readers-'))
  const children: ChildProcess[] = []
  const close = async (): Promise<void> => {
    for (const child of children) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      if (child.exitCode === null && child.kill('SIGKILL')) await gone
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const [nginxPort, haproxyPort] = [await freePort(), await freePort()]
    writeFileSync(path.join(folder, 'nginx.conf'), nginxConfiguration(folder, nginxPort, origin.port))
    writeFileSync(path.join(folder, 'haproxy.cfg'), haproxyConfiguration(haproxyPort, origin.port))
    mkdirSync(path.join(folder, 'tmp'))
    const nginx = ['-p', folder, '-c', path.join(folder, 'nginx.conf'), '-e', 'stderr']
    children.push(spawn(findProgram('nginx') ?? 'nginx', nginx, { stdio: 'ignore' }))
    const haproxy = ['-db', '-f', path.join(folder, 'haproxy.cfg')]
    children.push(spawn(findProgram('haproxy') ?? 'haproxy', haproxy, { stdio: 'ignore' }))
    const goPort = await startGo(folder, children)
    for (const port of [nginxPort, haproxyPort, goPort]) await listening(port)
    return {
      all: [
        { name: 'nginx', port: nginxPort },
        { name: 'HAProxy', port: haproxyPort },
        { name: 'Go', port: goPort },
      ],
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function startGo(folder: string, children: ChildProcess[]): Promise<number> {
  const source = fileURLToPath(new URL('../../../support/go-reader/main.go', import.meta.url))
  const binary = path.join(folder, 'go-reader')
  const build = spawn('go', ['build', '-o', binary, source], {
    env: { ...process.env, GO111MODULE: 'off', GOCACHE: path.join(tmpdir(), 'fencegate-go-build') },
    stdio: 'ignore',
  })
  const code = await new Promise((resolve) => build.once('exit', resolve))
  if (code !== 0) throw new Error('go build failed')
  const child = spawn(binary, { stdio: ['ignore', 'pipe', 'ignore'] })
  children.push(child)
  for await (const line of createInterface({ input: child.stdout })) return Number(line)
  throw new Error('the Go server ended')
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen) return
    await new Promise<void>((resolve) => setTimeout(resolve, 20))
  }
}

function nginxConfiguration(folder: string, port: number, origin: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log /dev/null;
events { worker_connections 512; }
http {
  access_log off;
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/tmp/${kind};`).join(' ')}
  underscores_in_headers on;
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 0;
    location / { proxy_pass http://127.0.0.1:${origin}; proxy_http_version 1.1; }
  }
}
`
}

function haproxyConfiguration(port: number, origin: number): string {
  return `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server origin 127.0.0.1:${origin}
`
}
