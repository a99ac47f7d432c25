// Messages as gRPC frames them on a stream: a byte that says whether it is compressed, four of its length, and the message.

const HEAD_BYTES = 5
/** More than etcd puts into one answer. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024

/** What became of a call that was not answered, in the member's words or ours. */
export class GrpcFailure extends Error {
  override readonly name: string = 'GrpcFailure'
}

/** Less may be asked for at once. */
export class MessageTooLarge extends GrpcFailure {
  override readonly name = 'MessageTooLarge'
}

export function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, HEAD_BYTES)
  return frame
}

export class GrpcMessages {
  #parts: Buffer[] = []
  #bytes = 0
  /** Of the frame that has begun, with its head. */
  #wanted = HEAD_BYTES

  push(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#bytes += chunk.length
  }

  /** The next message that has come as a whole, sharing its memory with what was pushed; null where there is none. */
  next(): Buffer | null {
    if (this.#bytes < this.#wanted) return null
    // A large one is put together once, when it has come.
    const whole = this.#whole()
    const size = whole.readUInt32BE(1)
    if (whole[0] !== 0) throw new GrpcFailure('a message that is compressed')
    if (size > MESSAGE_BYTES_MAX)
      throw new MessageTooLarge(`a message of ${size} bytes, and not of ${MESSAGE_BYTES_MAX} at most`)
    this.#wanted = HEAD_BYTES + size
    if (this.#bytes < this.#wanted) return null
    const message = whole.subarray(HEAD_BYTES, this.#wanted)
    const rest = whole.subarray(this.#wanted)
    this.#parts = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
    this.#wanted = HEAD_BYTES
    return message
  }

  #whole(): Buffer {
    const [first] = this.#parts
    const whole = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts)
    this.#parts = [whole]
    return whole
  }
}
