// Takes the body of one request into memory, up to a bound, and knows when it last moved.

import type { Readable } from 'node:stream'
import type { Clock } from '../spi/clock.ts'

const EMPTY = Buffer.alloc(0)

export class BodyIntake {
  readonly #request: Readable
  readonly #clock: Clock
  /** Null where nobody takes it. */
  #chunks: Buffer[] | null = null
  #bytes = 0
  /** 0 while none is being received. */
  #lastByteMs = 0

  constructor(request: Readable, clock: Clock) {
    this.#request = request
    this.#clock = clock
  }

  /** Hands over the whole body; or, where it is longer than `max`, what came of it, and reads no further. */
  take(max: number, whole: (body: Buffer) => void, tooLarge: (prefix: readonly Buffer[]) => void): void {
    const request = this.#request
    this.#chunks = []
    this.moved()
    request.on('data', (chunk: Buffer) => {
      const chunks = this.#chunks
      if (chunks === null) return
      this.moved()
      this.#bytes += chunk.length
      chunks.push(chunk)
      if (this.#bytes <= max) return
      this.end()
      request.pause()
      tooLarge(chunks)
    })
    request.on('end', () => {
      const chunks = this.#chunks
      if (chunks === null) return
      this.end()
      whole(chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks))
    })
  }

  /** A piece has come, or is waited for from now on. */
  moved(): void {
    this.#lastByteMs = this.#clock.monotonicMs()
  }

  /** Nothing is waited for any more, and nothing kept. */
  end(): void {
    this.#chunks = null
    this.#lastByteMs = 0
  }

  /** Whether the body is waited for and has not moved since before `sinceMs`. */
  isIdle(sinceMs: number): boolean {
    return this.#lastByteMs !== 0 && this.#lastByteMs <= sinceMs
  }
}
