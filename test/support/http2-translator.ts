// HTTP/1.1 in, HTTP/2 out, a connection for each: so that what a suite says of calls in HTTP/1.1 can be tried of calls in
// HTTP/2. It knows nothing of the gateway, and mends nothing.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'

export interface Translator {
  readonly port: number
  close(): Promise<void>
}

const LEFT_OUT = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** `ca`: who signed the certificate of the gateway on `port`, which is for `localhost`. */
export async function startTranslator(port: number, ca: string): Promise<Translator> {
  const sessions = new WeakMap<Socket, ClientHttp2Session>()
  const sessionOf = (socket: Socket): ClientHttp2Session => {
    const known = sessions.get(socket)
    if (known !== undefined && !known.closed && !known.destroyed) return known
    // What is said twice goes on twice; the types of the option lag behind.
    const options = { ca, servername: 'localhost', strictSingleValueFields: false }
    const session = connect(`https://127.0.0.1:${port}`, options)
    session.on('error', () => session.destroy())
    session.on('goaway', () => undefined)
    socket.once('close', () => session.destroy())
    sessions.set(socket, session)
    return session
  }
  const server = createServer({ keepAliveTimeout: 30_000, maxHeaderSize: 1_048_576 })
  const serve = (request: IncomingMessage, response: ServerResponse) =>
    translate(sessionOf(request.socket), request, response)
  for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, serve)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function translate(session: ClientHttp2Session, request: IncomingMessage, response: ServerResponse): void {
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0'
  const stream = session.request(fieldsOf(request), { endStream: !hasBody })
  if (hasBody) {
    request.on('data', (piece: Buffer) => {
      if (!stream.closed && !stream.write(piece)) request.pause()
    })
    stream.on('drain', () => request.resume())
    request.on('end', () => stream.end())
    // Whoever does not read hears nothing of a body, and not that its client is gone either.
    request.on('error', () => stream.close(constants.NGHTTP2_CANCEL))
  }
  response.on('close', () => {
    if (!response.writableFinished) stream.close(constants.NGHTTP2_CANCEL)
  })
  stream.on('headers', (head) => {
    const status = head[':status']
    if (status === 100) response.writeContinue()
    if (status === 102) response.writeProcessing()
    if (status === 103) hint(response, head['link'] ?? [])
  })
  stream.on('response', (head, _flags, raw) => {
    const fields = raw.flatMap((text, i) =>
      i % 2 === 1 || text.startsWith(':') ? [] : [text, raw[i + 1] ?? ''],
    )
    response.writeHead(head[':status'] ?? 0, fields)
    response.write(Buffer.alloc(0))
  })
  stream.on('trailers', (_trailers: unknown, _flags: number, raw: string[]) => {
    if (response.chunkedEncoding)
      response.addTrailers(
        raw.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, raw[i + 1] ?? '']] : [])),
      )
  })
  stream.on('data', (piece: Buffer) => {
    if (!response.write(piece)) stream.pause()
  })
  response.on('drain', () => stream.resume())
  stream.on('end', () => {
    if (stream.rstCode === 0) response.end()
  })
  stream.on('error', () => response.destroy())
  stream.on('close', () => {
    if (stream.rstCode !== 0) response.destroy()
  })
}

function fieldsOf(request: IncomingMessage): OutgoingHttpHeaders {
  const named = (request.headers.connection ?? '').toLowerCase().split(',')
  const gone = new Set([...LEFT_OUT, ...named.map((name) => name.trim())])
  const fields = new Map<string, string[]>()
  const { rawHeaders } = request
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase()
    const value = rawHeaders[i + 1] ?? ''
    if (!gone.has(name) && (name !== 'te' || value === 'trailers'))
      fields.set(name, [...(fields.get(name) ?? []), value])
  }
  return {
    ':method': request.method ?? '',
    ':path': request.url ?? '',
    ':scheme': 'https',
    ':authority': request.headers.host ?? '',
    ...Object.fromEntries(fields),
  }
}

function hint(response: ServerResponse, link: string | string[]): void {
  try {
    response.writeEarlyHints({ link })
  } catch {
    // node writes no other hints than its own.
    return
  }
}
