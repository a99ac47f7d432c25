// Real backends for tests of the data plane: one that speaks HTTP and records every request, and one that is only a
// socket, for everything that a well-behaved server cannot be made to do.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createRawServer, type Socket } from 'node:net'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly trailers: readonly string[]
}

export interface EchoBackend {
  readonly port: number
  readonly url: string
  readonly seen: SeenRequest[]
  /** Connections accepted so far. */
  readonly connections: number
  close(): Promise<void>
}

export type Answerer = (request: SeenRequest, response: ServerResponse) => void

/** Takes the whole body of each request, records it, then lets `answer` speak (200 with what was seen by default). */
export async function startEchoBackend(answer: Answerer = echo): Promise<EchoBackend> {
  const seen: SeenRequest[] = []
  return startHttpBackend((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => response.destroy())
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const record: SeenRequest = {
        method: request.method ?? '',
        target: request.url ?? '',
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body: Buffer.concat(chunks).toString('latin1'),
        trailers: request.rawTrailers,
      }
      seen.push(record)
      answer(record, response)
    })
  }, seen)
}

export async function startHttpBackend(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  seen: SeenRequest[] = [],
): Promise<EchoBackend> {
  let connections = 0
  const server = createServer({ keepAliveTimeout: 30_000 }, handle)
  server.on('connection', () => {
    connections++
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    seen,
    get connections() {
      return connections
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export interface RawBackend {
  readonly port: number
  readonly url: string
  readonly sockets: readonly Socket[]
  close(): Promise<void>
}

/** `handle` gets each connection, and all that has come on it so far whenever more comes. */
export async function startRawBackend(
  handle: (socket: Socket, received: string) => void,
  at = 0,
  host = '127.0.0.1',
): Promise<RawBackend> {
  const sockets: Socket[] = []
  const server = createRawServer((socket) => {
    sockets.push(socket)
    let received = ''
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      handle(socket, received)
    })
  })
  await new Promise<void>((resolve) => server.listen(at, host, resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    sockets,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

function echo(request: SeenRequest, response: ServerResponse): void {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(request))
}
