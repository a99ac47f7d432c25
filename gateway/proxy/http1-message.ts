// A request of HTTP/1.1 and its answer on node:http. Makes sure that an answer reaches a client that is still sending, and
// that it goes out in one write where it is small.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { Backend } from './backend.ts'
import type { ClientAnswer, ClientMessage, ClientRequest } from './client-message.ts'
import type { Peer } from './forwarded-fields.ts'

const ONE_WRITE_BYTES_MAX = 16 * 1024
const EMPTY = Buffer.alloc(0)

export function http1Message(
  backend: Backend,
  message: { readonly request: IncomingMessage; readonly response: ServerResponse },
): ClientMessage {
  const request = new Http1Request(message.request)
  return { request, answer: new Http1Answer(backend, request, message.response) }
}

class Http1Request implements ClientRequest {
  /** The parser refuses those before anybody sees them. */
  readonly fault = null
  readonly #request: IncomingMessage
  readonly #hasBody: boolean

  constructor(request: IncomingMessage) {
    this.#request = request
    const { headers } = request
    this.#hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  }

  get method(): string {
    return this.#request.method ?? ''
  }

  get target(): string {
    return this.#request.url ?? ''
  }

  get version(): string {
    return this.#request.httpVersion
  }

  get fields(): readonly string[] {
    return this.#request.rawHeaders
  }

  get joined(): Readonly<Record<string, string | string[] | undefined>> {
    return this.#request.headers
  }

  get body(): Readable {
    return this.#request
  }

  get trailers(): readonly string[] {
    return this.#request.rawTrailers
  }

  /** The parser says so of a request without a body, too, only after it has given it to us. */
  get isComplete(): boolean {
    return !this.#hasBody || this.#request.complete
  }

  get peer(): Peer {
    const { socket } = this.#request
    return { address: socket.remoteAddress ?? '', isTls: 'encrypted' in socket }
  }
}

class Http1Answer implements ClientAnswer {
  readonly #backend: Backend
  readonly #request: ClientRequest
  readonly #response: ServerResponse

  constructor(backend: Backend, request: ClientRequest, response: ServerResponse) {
    this.#backend = backend
    this.#request = request
    this.#response = response
  }

  get headSent(): boolean {
    return this.#response.headersSent
  }

  get isOver(): boolean {
    return this.#response.writableFinished
  }

  endConnection(): void {
    if (!this.#response.headersSent) this.#response.shouldKeepAlive = false
  }

  continue(): void {
    this.#response.writeContinue()
  }

  processing(): void {
    if (this.#request.version !== '1.0') this.#response.writeProcessing()
  }

  earlyHints(link: string | string[]): void {
    if (this.#request.version === '1.0') return
    try {
      this.#response.writeEarlyHints({ link })
    } catch {
      // A hint that node will not write is not worth the call.
      return
    }
  }

  head(status: number, reason: string | null, fields: readonly string[]): void {
    const response = this.#response
    if (this.#backend.closing || !this.#request.isComplete) response.shouldKeepAlive = false
    if (reason === null) response.writeHead(status, [...fields])
    else response.writeHead(status, reason, [...fields])
  }

  /** Not `flushHeaders`, which writes the bytes of fields above ASCII as UTF-8. */
  flush(): void {
    this.#response.write(EMPTY)
  }

  write(piece: Buffer): boolean {
    return this.#response.write(piece)
  }

  whenDrained(listener: () => void): void {
    this.#response.once('drain', listener)
  }

  end(last: Buffer | null, trailers: readonly [string, string][] | null): void {
    const response = this.#response
    if (trailers !== null && response.chunkedEncoding) response.addTrailers(trailers)
    if (this.#request.isComplete) {
      if (last === null) response.end()
      // As text node joins it with the head: one write of one string instead of a gathered one.
      else if (last.length <= ONE_WRITE_BYTES_MAX) response.end(last.toString('latin1'), 'latin1')
      else response.end(last)
      return
    }
    // Closing now would reset the connection under a client that still sends, and the answer might be lost with it.
    response.write(last ?? EMPTY)
    this.#linger()
  }

  #linger(): void {
    const { clock, limits } = this.#backend
    const { body } = this.#request
    let left = limits.lingerBytesMax
    const end = () => {
      timer.cancel()
      this.#response.end()
    }
    const timer = clock.after(limits.lingerMs, end)
    body.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) end()
    })
    body.once('end', end)
    body.once('close', () => timer.cancel())
    body.resume()
  }

  abort(): void {
    this.#response.destroy()
  }
}
