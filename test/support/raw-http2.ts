// A client of HTTP/2 that sends exactly the frames it is told to, malformed ones too: every field goes as a literal, so
// nothing has to agree with anybody's tables. Of an answer it reads what the frames say by themselves.

import { connect as connectTls, type TLSSocket } from 'node:tls'

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export type Field = readonly [name: string, value: string]

/** What became of a stream. */
export type Outcome =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  /** The code of RFC 9113 §7; an answer may have begun. */
  | { readonly kind: 'reset'; readonly code: number; readonly status: number | null }
  | { readonly kind: 'goaway'; readonly code: number }
  | { readonly kind: 'closed' }

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

export class RawHttp2 {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  #received = Buffer.alloc(0)
  #closed = false
  #waiters: (() => void)[] = []

  private constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => this.#wake())
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  /** Past the handshake, with the preface and empty settings sent. */
  static async open(port: number, ca: string): Promise<RawHttp2> {
    const client = await RawHttp2.openSilent(port, ca)
    client.send(Buffer.from(PREFACE, 'latin1'))
    client.frame(FRAME.settings, 0, 0)
    return client
  }

  /** Past the handshake of TLS, and nothing said. */
  static async openSilent(port: number, ca: string): Promise<RawHttp2> {
    const socket = connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost', ALPNProtocols: ['h2'] })
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
    })
    return new RawHttp2(socket)
  }

  get closed(): boolean {
    return this.#closed
  }

  send(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): void {
    this.send(frameOf(type, flags, stream, payload))
  }

  /** The head of a request on a stream, in one frame. */
  head(stream: number, fields: readonly Field[], isLast = true): void {
    const flags = FLAG.endHeaders | (isLast ? FLAG.endStream : 0)
    this.frame(FRAME.headers, flags, stream, literals(fields))
  }

  data(stream: number, body: string, isLast = true): void {
    this.frame(FRAME.data, isLast ? FLAG.endStream : 0, stream, Buffer.from(body, 'latin1'))
  }

  reset(stream: number, code = 8): void {
    this.frame(FRAME.reset, 0, stream, number32(code))
  }

  /** Waits for the end of a stream, or of everything. */
  async outcome(stream: number): Promise<Outcome> {
    let found: Outcome | null = null
    await this.until(() => {
      found = this.#outcomeOf(stream)
      return found !== null
    })
    return found ?? { kind: 'closed' }
  }

  /** Waits until the condition holds, or the connection is closed. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#closed) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  close(): void {
    this.socket.destroy()
  }

  #outcomeOf(stream: number): Outcome | null {
    let status: number | null = null
    let body = ''
    let goaway: number | null = null
    for (const frame of this.frames) {
      if (frame.type === FRAME.goaway) goaway = frame.payload.readUInt32BE(4)
      if (frame.stream !== stream) continue
      if (frame.type === FRAME.reset) return { kind: 'reset', code: frame.payload.readUInt32BE(0), status }
      if (frame.type === FRAME.headers) status ??= finalStatus(frame.payload)
      if (frame.type === FRAME.data) body += frame.payload.toString('latin1')
      if (frame.type !== FRAME.headers && frame.type !== FRAME.data) continue
      if ((frame.flags & FLAG.endStream) !== 0) return { kind: 'answered', status: status ?? 0, body }
    }
    return goaway !== null && goaway !== 0 ? { kind: 'goaway', code: goaway } : null
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    for (;;) {
      if (this.#received.length < 9) break
      const end = 9 + this.#received.readUIntBE(0, 3)
      if (this.#received.length < end) break
      this.frames.push({
        type: this.#received.readUInt8(3),
        flags: this.#received.readUInt8(4),
        stream: this.#received.readUInt32BE(5) & 0x7fff_ffff,
        payload: this.#received.subarray(9, end),
      })
      this.#received = this.#received.subarray(end)
    }
    this.#wake()
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}

export function frameOf(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** RFC 7541 §6.2.3: never indexed, a new name, nothing compressed. */
export function literals(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0x10]), text(name), text(value)]))
}

function text(value: string): Buffer {
  return Buffer.concat([integer(value.length), Buffer.from(value, 'latin1')])
}

/** RFC 7541 §5.1, with a prefix of seven bits. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}

const STATUSES = [200, 204, 206, 304, 400, 404, 500]

/** The status is the first field of an answer: of RFC 7541's table, or three digits in Huffman's code. Null for an interim one. */
function finalStatus(block: Buffer): number | null {
  const first = block[0] ?? 0
  if (first >= 0x88 && first <= 0x8e) return STATUSES[first - 0x88] ?? null
  const length = (block[1] ?? 0) & 0x7f
  const isHuffman = ((block[1] ?? 0) & 0x80) !== 0
  const value = block.subarray(2, 2 + length)
  const status = Number(isHuffman ? huffmanDigits(value) : value.toString('latin1'))
  return status >= 200 ? status : null
}

/** RFC 7541, appendix B: 0, 1 and 2 have five bits, the other digits six. */
function huffmanDigits(bytes: Buffer): string {
  let bits = ''
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0')
  let digits = ''
  for (let at = 0; at + 5 <= bits.length && digits.length < 3; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2)
    if (five <= 2) {
      digits += String(five)
      at += 5
    } else {
      digits += String(Number.parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3)
      at += 6
    }
  }
  return digits
}
