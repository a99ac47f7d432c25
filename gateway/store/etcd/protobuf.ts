// The wire format of protocol buffers, as much of it as etcd's messages need: https://protobuf.dev/programming-guides/encoding.
// A reader goes over bytes that are there already and copies nothing by itself; what it does not know it passes over.

const VARINT = 0
const FIXED_64 = 1
const BYTES = 2
const FIXED_32 = 5
const WORD = 2 ** 32

export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage'
}

export class ProtobufReader {
  readonly #bytes: Buffer
  #at: number
  readonly #end: number
  #wireType = 0
  /** Of the number read last: its two halves, as a 64-bit one may be more than a number holds. */
  low = 0
  high = 0

  constructor(bytes: Buffer, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** The number of the next field, of which the value is to be read or passed over next; 0 at the end. */
  field(): number {
    if (this.#at >= this.#end) return 0
    this.#varint()
    this.#wireType = this.low & 7
    return this.low >>> 3
  }

  passOver(): void {
    if (this.#wireType === VARINT) this.#varint()
    else if (this.#wireType === BYTES) this.#at = this.#endOfBytes()
    else if (this.#wireType === FIXED_64) this.#at += 8
    else if (this.#wireType === FIXED_32) this.#at += 4
    else throw new MalformedMessage(`wire type ${this.#wireType}`)
    if (this.#at > this.#end) throw new MalformedMessage('it ends too early')
  }

  /** Leaves the halves of all 64 bits behind. */
  number(): number {
    this.#expect(VARINT)
    this.#varint()
    return this.high * WORD + this.low
  }

  flag(): boolean {
    return this.number() !== 0
  }

  /** What is not UTF-8 is read with U+FFFD in the places that are not. */
  text(): string {
    this.#expect(BYTES)
    const end = this.#endOfBytes()
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end
    return text
  }

  /** Shares its memory with the message. */
  bytes(): Buffer {
    this.#expect(BYTES)
    const end = this.#endOfBytes()
    const bytes = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return bytes
  }

  /** Of a message inside this one. */
  message(): ProtobufReader {
    this.#expect(BYTES)
    const end = this.#endOfBytes()
    const inner = new ProtobufReader(this.#bytes, this.#at, end)
    this.#at = end
    return inner
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new MalformedMessage(`wire type ${this.#wireType} in place of ${wireType}`)
  }

  #endOfBytes(): number {
    this.#varint()
    const end = this.#at + this.high * WORD + this.low
    if (end > this.#end) throw new MalformedMessage('it ends too early')
    return end
  }

  #varint(): void {
    let low = 0
    let high = 0
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) throw new MalformedMessage('it ends too early')
      const byte = this.#bytes[this.#at++] ?? 0
      const bits = byte & 0x7f
      if (i < 4) low |= bits << (7 * i)
      else if (i === 4) {
        low |= bits << 28
        high |= bits >>> 4
      } else high |= bits << (7 * i - 32)
      if (byte < 0x80) {
        this.low = low >>> 0
        this.high = high >>> 0
        return
      }
    }
    throw new MalformedMessage('a number has more than ten bytes')
  }
}

/** Collects the fields of one message. */
export class ProtobufWriter {
  #chunks: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  /** From 0 to 2^53. */
  number(field: number, value: number): this {
    const chunk = Buffer.allocUnsafe(20)
    return this.#push(chunk.subarray(0, writeVarint(chunk, writeVarint(chunk, 0, field * 8), value)))
  }

  /** In 64 bits, as hexadecimal digits. */
  hexadecimal(field: number, digits: string): this {
    const chunk = Buffer.allocUnsafe(20)
    let at = writeVarint(chunk, 0, field * 8)
    for (let rest = BigInt(`0x${digits}`); ; rest >>= 7n) {
      const isLast = rest < 0x80n
      at = chunk.writeUInt8(Number(rest & 0x7fn) | (isLast ? 0 : 0x80), at)
      if (isLast) return this.#push(chunk.subarray(0, at))
    }
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value))
  }

  bytes(field: number, value: Buffer): this {
    return this.#head(field, value.length).#push(value)
  }

  message(field: number, inner: ProtobufWriter): this {
    this.#head(field, inner.length)
    for (const chunk of inner.#chunks) this.#chunks.push(chunk)
    this.#length += inner.length
    return this
  }

  finish(): Buffer {
    return Buffer.concat(this.#chunks, this.#length)
  }

  #head(field: number, length: number): this {
    const chunk = Buffer.allocUnsafe(20)
    return this.#push(chunk.subarray(0, writeVarint(chunk, writeVarint(chunk, 0, field * 8 + BYTES), length)))
  }

  #push(chunk: Buffer): this {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    return this
  }
}

function writeVarint(into: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest >= 0x80) {
    at = into.writeUInt8((rest % 0x80) | 0x80, at)
    rest = Math.floor(rest / 0x80)
  }
  return into.writeUInt8(rest, at)
}
