// A client that sends exactly the bytes it is told to, and reads answers without any opinion of its own.

import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Lower-case names; repeated fields joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly rawHead: string
  readonly body: string
  readonly trailers: string
}

export class RawClient {
  readonly socket: Socket
  #received = ''
  #closed = false
  #waiters: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1')
      this.#wake()
    })
    socket.on('error', () => this.#wake())
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1' })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawClient(socket)
  }

  get received(): string {
    return this.#received
  }

  get closed(): boolean {
    return this.#closed
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
  }

  /** Waits until what was received satisfies the condition; rejects where the connection closes before. */
  async until(condition: (received: string) => boolean): Promise<string> {
    while (!condition(this.#received)) {
      if (this.#closed) throw new Error(`closed after ${JSON.stringify(this.#received)}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
    return this.#received
  }

  /** Takes the next whole answer off the connection (interim answers too). */
  async answer(options: { readonly head?: boolean } = {}): Promise<RawAnswer> {
    for (;;) {
      const parsed = parseAnswer(this.#received, this.#closed, options.head === true)
      if (parsed !== null) {
        this.#received = this.#received.slice(parsed.length)
        return parsed.answer
      }
      if (this.#closed) throw new Error(`closed after ${JSON.stringify(this.#received)}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  async ended(): Promise<void> {
    while (!this.#closed) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  close(): void {
    this.socket.destroy()
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}

function parseAnswer(
  text: string,
  closed: boolean,
  headOnly: boolean,
): { answer: RawAnswer; length: number } | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return null
  const rawHead = text.slice(0, headEnd)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(rawHead)?.[1] ?? Number.NaN)
  const headers: Record<string, string> = {}
  for (const line of rawHead.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  const at = headEnd + 4
  const make = (body: string, trailers: string, length: number) => ({
    answer: { status, headers, rawHead, body, trailers },
    length,
  })
  if (headOnly || status < 200 || status === 204 || status === 304) return make('', '', at)
  if (headers['transfer-encoding'] === 'chunked') {
    const chunked = parseChunked(text, at)
    return chunked === null ? null : make(chunked.body, chunked.trailers, chunked.end)
  }
  if (headers['content-length'] !== undefined) {
    const length = Number(headers['content-length'])
    return text.length < at + length ? null : make(text.slice(at, at + length), '', at + length)
  }
  return closed ? make(text.slice(at), '', text.length) : null
}

function parseChunked(text: string, from: number): { body: string; trailers: string; end: number } | null {
  let body = ''
  for (let at = from; ; ) {
    const line = text.indexOf('\r\n', at)
    if (line === -1) return null
    const size = Number.parseInt(text.slice(at, line), 16)
    if (size === 0) {
      const end = text.startsWith('\r\n', line + 2) ? line + 2 : text.indexOf('\r\n\r\n', line)
      if (end === -1) return null
      return text.startsWith('\r\n', line + 2)
        ? { body, trailers: '', end: line + 4 }
        : { body, trailers: text.slice(line + 2, end), end: end + 4 }
    }
    if (text.length < line + 2 + size + 2) return null
    body += text.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
}
