// What the parser of Node.js (llhttp, strict) makes of bytes, without a network: the other reader that ours is held against.

import { createServer, type IncomingMessage, request } from 'node:http'
import { Duplex } from 'node:stream'

export interface NodeReading {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly status: number
  readonly rawHeaders: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
}

/** A connection whose other end says `bytes` and then nothing, or ends. */
class Saying extends Duplex {
  readonly #bytes: Buffer
  readonly #ends: boolean
  #said = false

  constructor(bytes: Buffer, ends: boolean) {
    super()
    this.#bytes = bytes
    this.#ends = ends
  }

  override _read(): void {
    if (this.#said) return
    this.#said = true
    this.push(this.#bytes)
    if (this.#ends) this.push(null)
  }

  override _write(_chunk: Buffer, _encoding: string, callback: () => void): void {
    callback()
  }
}

async function bodyOf(message: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    message.on('data', (chunk: Buffer) => chunks.push(chunk))
    message.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')))
    message.on('error', () => resolve(null))
    message.on('close', () => resolve(null))
  })
}

/** The first request in the bytes, with its whole body; null where the parser refuses or waits for more. */
export async function requestByNode(bytes: string): Promise<NodeReading | null> {
  const server = createServer({ insecureHTTPParser: false, requireHostHeader: false, maxHeaderSize: 65_536 })
  server.maxHeadersCount = 0
  const socket = new Saying(Buffer.from(bytes, 'latin1'), true)
  try {
    return await new Promise((resolve) => {
      const take = async (message: IncomingMessage): Promise<void> => {
        const body = await bodyOf(message)
        resolve(body === null ? null : reading(message, body))
      }
      server.once('request', (message) => void take(message))
      server.once('checkContinue', (message) => void take(message))
      server.once('checkExpectation', (message) => void take(message))
      server.once('upgrade', (message) => resolve(reading(message, '')))
      server.once('connect', (message) => resolve(reading(message, '')))
      server.once('clientError', () => resolve(null))
      socket.once('close', () => setImmediate(() => resolve(null)))
      server.emit('connection', socket)
    })
  } finally {
    socket.destroy()
  }
}

/** The answer in the bytes to a request of this method, with its whole body; null where the parser refuses it. */
export async function answerByNode(bytes: string, method: string): Promise<NodeReading | null> {
  const socket = new Saying(Buffer.from(bytes, 'latin1'), true)
  try {
    return await new Promise((resolve) => {
      const call = request({ method, path: '/', createConnection: () => socket })
      call.once('response', (message) => {
        void bodyOf(message).then((body) => resolve(body === null ? null : reading(message, body)))
      })
      call.once('error', () => resolve(null))
      call.once('close', () => setImmediate(() => resolve(null)))
      call.end()
    })
  } finally {
    socket.destroy()
  }
}

function reading(message: IncomingMessage, body: string): NodeReading {
  return {
    method: message.method ?? '',
    target: message.url ?? '',
    version: message.httpVersion,
    status: message.statusCode ?? 0,
    rawHeaders: message.rawHeaders,
    body,
    trailers: message.rawTrailers,
  }
}
