// Fields of protocol buffers, one after the other, without a schema compiled to objects: what is read of etcd's messages becomes
// the store's words at once. Reading and writing a single field is protobufjs'.

import { Reader, Writer } from 'protobufjs/minimal.js'
import { StoreUnavailable } from '../../spi/store.ts'

const VARINT = 0
const BYTES = 2
const WORD = 2 ** 32
const SMALL_MAX = 2 ** 31 - 1

/** An answer that nobody can read is none: what was asked for may have happened. */
export class MalformedMessage extends StoreUnavailable {
  override readonly name = 'MalformedMessage'
}

export class ProtobufReader {
  readonly #reader: Reader
  #wireType = 0
  /** Of the number read last: its two halves, as a 64-bit one may be more than a number holds. */
  low = 0
  high = 0

  constructor(bytes: Uint8Array) {
    this.#reader = Reader.create(bytes)
  }

  /** The number of the next field, of which the value is to be read or passed over next; 0 at the end. */
  field(): number {
    const reader = this.#reader
    if (reader.pos >= reader.len) return 0
    const tag = whole(() => reader.uint32())
    this.#wireType = tag & 7
    return tag >>> 3
  }

  passOver(): void {
    whole(() => this.#reader.skipType(this.#wireType))
  }

  /** Leaves the halves of all 64 bits behind. */
  number(): number {
    this.#expect(VARINT)
    const { low, high } = whole(() => this.#reader.uint64())
    this.low = low >>> 0
    this.high = high >>> 0
    // What comes of an arithmetic with large numbers would be kept as an object of its own, were it not said to be small.
    return this.high === 0 && this.low <= SMALL_MAX ? this.low | 0 : this.high * WORD + this.low
  }

  flag(): boolean {
    return this.number() !== 0
  }

  /** What is not UTF-8 is read with U+FFFD in the places that are not. */
  text(): string {
    this.#expect(BYTES)
    return whole(() => this.#reader.string())
  }

  /** Shares its memory with the message. */
  bytes(): Buffer {
    this.#expect(BYTES)
    return asBuffer(whole(() => this.#reader.bytes()))
  }

  /** Of a message inside this one. */
  message(): ProtobufReader {
    return new ProtobufReader(this.bytes())
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new MalformedMessage(`wire type ${this.#wireType} in place of ${wireType}`)
  }
}

/** The library's errors say where the message ends too early, or what is no field. */
function whole<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new MalformedMessage(error instanceof Error ? error.message : String(error))
  }
}

/** Collects the fields of one message. */
export class ProtobufWriter {
  readonly #writer = Writer.create()

  /** From 0 to 2^53. */
  number(field: number, value: number): this {
    this.#writer.uint32(tagOf(field, VARINT)).uint64(value)
    return this
  }

  /** In 64 bits, as hexadecimal digits. */
  hexadecimal(field: number, digits: string): this {
    const value = BigInt(`0x${digits}`)
    const low = Number(BigInt.asUintN(32, value))
    const high = Number(value >> 32n)
    this.#writer.uint32(tagOf(field, VARINT)).uint64({ low, high, unsigned: true })
    return this
  }

  text(field: number, value: string): this {
    this.#writer.uint32(tagOf(field, BYTES)).string(value)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#writer.uint32(tagOf(field, BYTES)).bytes(value)
    return this
  }

  message(field: number, inner: ProtobufWriter): this {
    return this.bytes(field, inner.finish())
  }

  finish(): Buffer {
    return asBuffer(this.#writer.finish())
  }
}

/** It is one already, but for the types. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function tagOf(field: number, wireType: number): number {
  return ((field << 3) | wireType) >>> 0
}
