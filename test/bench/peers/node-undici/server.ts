// The bare prototype: node:http, a map lookup, undici's dispatch. It has none of a gateway's duties: no ledger, no
// limits, no policy. Started as `node server.ts '<BareOptions as JSON>'`; writes its port to standard output.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { Pool } from 'undici'

export interface BareOptions {
  readonly mapFile: string
  readonly upstreamPort: number
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
}

const text = process.argv[2]
if (text === undefined) throw new Error('server.ts needs options')
const options: BareOptions = JSON.parse(text)

const tokens = new Map<string, string>()
for (const line of readFileSync(options.mapFile, 'utf8').split('\n')) {
  const [target, token] = line.split(' ')
  if (target !== undefined && token !== undefined) tokens.set(target, token)
}

const upstream = new Pool(`${options.tls === null ? 'http' : 'https'}://127.0.0.1:${options.upstreamPort}`, {
  connections: 256,
  connect: { rejectUnauthorized: false },
})
const OWN_HEADERS = new Set(['fencing-token', 'connection', 'transfer-encoding'])

function handle(request: http.IncomingMessage, response: http.ServerResponse): void {
  const target = request.url ?? '/'
  const reads = request.method === 'GET'
  const token = tokens.get(target)
  if (!reads && (token === undefined || request.headers['fencing-token'] !== token)) {
    request.resume()
    response.writeHead(412, { 'content-length': 0 }).end()
    return
  }
  const headers: string[] = []
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? ''
    if (!OWN_HEADERS.has(name.toLowerCase())) headers.push(name, request.rawHeaders[i + 1] ?? '')
  }
  upstream.dispatch(
    { path: target, method: reads ? 'GET' : 'POST', headers, body: reads ? null : request },
    {
      onRequestStart: () => undefined,
      onResponseStart: (controller, status, answered) => {
        response.writeHead(status, answered)
        response.on('drain', () => controller.resume())
      },
      onResponseData: (controller, chunk) => {
        if (!response.write(chunk)) controller.pause()
      },
      onResponseEnd: () => response.end(),
      onResponseError: () => {
        if (response.headersSent) response.destroy()
        else response.writeHead(502, { 'content-length': 0 }).end()
      },
    },
  )
}

const server =
  options.tls === null
    ? http.createServer(handle)
    : https.createServer(
        { cert: readFileSync(options.tls.certFile), key: readFileSync(options.tls.keyFile) },
        handle,
      )
server.keepAliveTimeout = 600_000
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy got no port')
  process.stdout.write(`${address.port}\n`)
})
process.once('SIGTERM', () => process.exit(0))
process.stdin.once('end', () => process.exit(0)).resume()
