// Finds the data and the end of a body in chunks, whatever pieces it comes in. Takes what RFC 9112 says and nothing else;
// extensions and trailers are bounded.

const EXTENSION_BYTES_MAX = 1_024
const TRAILER_BYTES_MAX = 8 * 1024
const SIZE_DIGITS_MAX = 12

const CR = 0x0d
const LF = 0x0a

type State = 'size' | 'extension' | 'size-end' | 'data' | 'data-end' | 'data-end-lf' | 'trailer' | 'over'

export class ChunkedReader {
  #state: State = 'size'
  #size = 0
  #digits = 0
  #extension = 0
  /** Lines behind the last chunk, as they came. */
  #trailer = ''
  /** Why the body cannot be read; null where it can. */
  fault: string | null = null

  get over(): boolean {
    return this.#state === 'over'
  }

  /** The lines of the trailer, each ended; empty where there are none. */
  get trailer(): string {
    return this.#trailer
  }

  reset(): void {
    this.#state = 'size'
    this.#size = 0
    this.#digits = 0
    this.#extension = 0
    this.#trailer = ''
    this.fault = null
  }

  /** Hands out the data in `bytes` from `at` on; gives back where it stopped: behind the body, or at the end. */
  read(bytes: Buffer, at: number, data: (start: number, end: number) => void): number {
    while (at < bytes.length && this.fault === null) {
      const byte = bytes[at] ?? 0
      switch (this.#state) {
        case 'size': {
          const digit = hexValue(byte)
          if (digit !== -1) {
            this.#size = this.#size * 16 + digit
            if (++this.#digits > SIZE_DIGITS_MAX) this.fault = 'a chunk is larger than can be meant'
          } else if (this.#digits === 0) this.fault = 'a chunk has no size'
          else if (byte === CR) this.#state = 'size-end'
          else if (byte === 0x3b) this.#state = 'extension'
          else this.fault = 'a size of a chunk is malformed'
          at++
          break
        }
        case 'extension':
          if (byte === CR) this.#state = 'size-end'
          else if (++this.#extension > EXTENSION_BYTES_MAX || (byte < 0x20 && byte !== 0x09) || byte === 0x7f)
            this.fault = 'an extension of a chunk is malformed'
          at++
          break
        case 'size-end':
          if (byte !== LF) this.fault = 'a size of a chunk is not followed by the end of the line'
          this.#state = this.#size === 0 ? 'trailer' : 'data'
          at++
          break
        case 'data': {
          const end = Math.min(bytes.length, at + this.#size)
          data(at, end)
          this.#size -= end - at
          if (this.#size === 0) this.#state = 'data-end'
          at = end
          break
        }
        case 'data-end':
          if (byte !== CR) this.fault = 'a chunk is longer than its size'
          this.#state = 'data-end-lf'
          at++
          break
        case 'data-end-lf':
          if (byte !== LF) this.fault = 'a chunk is longer than its size'
          this.#state = 'size'
          this.#digits = 0
          at++
          break
        case 'trailer':
          at = this.#readTrailer(bytes, at)
          break
        case 'over':
          return at
      }
    }
    return at
  }

  #readTrailer(bytes: Buffer, at: number): number {
    const newline = bytes.indexOf(LF, at)
    const end = newline === -1 ? bytes.length : newline + 1
    this.#trailer += bytes.toString('latin1', at, end)
    if (this.#trailer.length > TRAILER_BYTES_MAX) this.fault = 'the trailer is longer than is taken here'
    if (newline === -1) return end
    if (!this.#trailer.endsWith('\r\n')) this.fault = 'a line of the trailer is malformed'
    else if (this.#trailer === '\r\n' || this.#trailer.endsWith('\r\n\r\n')) {
      this.#trailer = this.#trailer.slice(0, -2)
      this.#state = 'over'
    }
    return end
  }
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const folded = byte | 0x20
  return folded >= 0x61 && folded <= 0x66 ? folded - 0x57 : -1
}
