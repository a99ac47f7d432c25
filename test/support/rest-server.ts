// A small JSON API on loopback for tests of those who call one: routes of the test's own, a log of what came, and faults
// that the test plants: answers that are late, broken, huge, or not the API's at all.

import { X509Certificate } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSigned } from './certificates.ts'

export interface RestCall {
  readonly method: string
  /** Undecoded, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Null where there was none, or no JSON. */
  readonly json: unknown
  readonly text: string
}

export interface RestAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly text?: string
}

/**
 * `hang`: never answered. `slow`: answered late. `drop`: carried out, and the connection closed. `proxy-404`: somebody between answers, in HTML.
 * `empty`: 200 without a body. `huge`: an endless body. `redirect`: elsewhere. `lie`: nothing is done, and success reported.
 */
export type RestFault =
  | 'hang'
  | 'slow'
  | 'drop'
  | 'proxy-404'
  | 'empty'
  | 'garbage'
  | 'huge'
  | 'redirect'
  | 'error'
  | 'lie'

/** Answers from which nobody can see anything. */
export const BLINDING: readonly RestFault[] = [
  'proxy-404',
  'empty',
  'garbage',
  'huge',
  'redirect',
  'error',
  'drop',
  'lie',
]

export interface RestServer {
  readonly url: string
  /** SHA-256 of its certificate, and the certificate; null over plain HTTP. */
  readonly fingerprint: string | null
  readonly ca: string | null
  readonly calls: readonly RestCall[]
  /** Applies to the calls that it matches, until it is replaced; null ends it. */
  fault(kind: RestFault | null, matches?: (call: RestCall) => boolean): void
  close(): Promise<void>
}

export async function startRestServer(
  answer: (call: RestCall) => RestAnswer,
  options: { readonly tls?: boolean } = {},
): Promise<RestServer> {
  const calls: RestCall[] = []
  let planted: { readonly kind: RestFault; readonly matches: (call: RestCall) => boolean } | null = null
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const pieces: Buffer[] = []
    incoming.on('data', (piece: Buffer) => pieces.push(piece))
    incoming.on('error', () => outgoing.destroy())
    incoming.on('end', () => {
      const call = callOf(incoming, Buffer.concat(pieces).toString('utf8'))
      calls.push(call)
      const fault = planted?.matches(call) === true ? planted.kind : null
      if (fault === 'slow') setTimeout(() => respond(call, null, outgoing), 400)
      else respond(call, fault, outgoing)
    })
  }
  const respond = (
    call: RestCall,
    fault: Exclude<RestFault, 'slow'> | null,
    outgoing: ServerResponse,
  ): void => {
    if (fault === null || fault === 'drop') {
      const { status, headers = {}, json, text } = answer(call)
      if (fault === 'drop') outgoing.destroy()
      else {
        const type = json === undefined ? {} : { 'content-type': 'application/json' }
        outgoing
          .writeHead(status, { ...type, ...headers })
          .end(text ?? (json === undefined ? '' : JSON.stringify(json)))
      }
    } else misbehave(fault, outgoing)
  }
  const pair = options.tls === true ? certificate() : null
  const server = pair === null ? createServer(onRequest) : createTlsServer(pair, onRequest)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = addressOf(server.address())
  return {
    url: `${pair === null ? 'http' : 'https'}://127.0.0.1:${port}`,
    fingerprint: pair?.fingerprint ?? null,
    ca: pair?.cert ?? null,
    calls,
    fault(kind, matches = () => true) {
      planted = kind === null ? null : { kind, matches }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function misbehave(fault: Exclude<RestFault, 'drop' | 'slow'>, outgoing: ServerResponse): void {
  switch (fault) {
    case 'hang':
      return
    case 'proxy-404':
      outgoing.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404 Not Found</h1>')
      return
    case 'empty':
      outgoing.writeHead(200).end()
      return
    case 'garbage':
      outgoing.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[\u0000\u0001')
      return
    case 'redirect':
      outgoing.writeHead(307, { location: '/elsewhere' }).end()
      return
    case 'error':
      outgoing.writeHead(503, { 'content-type': 'application/json' }).end('{"error":{"code":503}}')
      return
    case 'lie':
      outgoing.writeHead(204).end()
      return
    case 'huge': {
      outgoing.writeHead(200, { 'content-type': 'application/json' })
      const piece = Buffer.alloc(256 * 1024, ' ')
      const pour = (): void => {
        if (!outgoing.destroyed) outgoing.write(piece, () => setImmediate(pour))
      }
      pour()
    }
  }
}

function callOf(incoming: IncomingMessage, text: string): RestCall {
  const target = incoming.url ?? '/'
  const question = target.indexOf('?')
  return {
    method: incoming.method ?? '',
    path: question === -1 ? target : target.slice(0, question),
    query: new URLSearchParams(question === -1 ? '' : target.slice(question)),
    headers: incoming.headers,
    json: jsonOf(text),
    text,
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function addressOf(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address
}

/** Of nobody that anyone trusts, under another name than 127.0.0.1. */
function certificate(): { readonly key: string; readonly cert: string; readonly fingerprint: string } {
  const pair = selfSigned('/CN=array.test')
  return { ...pair, fingerprint: new X509Certificate(pair.cert).fingerprint256 }
}
