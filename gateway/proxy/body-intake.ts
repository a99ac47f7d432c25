// Takes the body of one request into memory, up to a bound, and knows when it last moved.

import type { Readable } from 'node:stream'
import type { Clock } from '../spi/clock.ts'
import type { HeldBodies } from './held-bodies.ts'
import { Pieces } from './pieces.ts'

const EMPTY = Buffer.alloc(0)

export class BodyIntake {
  readonly #request: Readable
  readonly #clock: Clock
  readonly #bodies: HeldBodies
  readonly #crowded: () => void
  /** Of the bodies of all. */
  #heldBytes = 0
  /** Null where nobody takes it. */
  #pieces: Pieces | null = null
  /** 0 while none is being received. */
  #lastByteMs = 0

  /** `crowded`: there is no room for more of it, and no further byte is read. */
  constructor(request: Readable, clock: Clock, bodies: HeldBodies, crowded: () => void) {
    this.#request = request
    this.#clock = clock
    this.#bodies = bodies
    this.#crowded = crowded
  }

  /** Hands over the whole body; or, where it is longer than `max`, what came of it, and reads no further. */
  take(max: number, whole: (body: Buffer) => void, tooLarge: (prefix: readonly Buffer[]) => void): void {
    const request = this.#request
    this.#pieces = new Pieces()
    this.moved()
    request.on('data', (chunk: Buffer) => {
      const pieces = this.#pieces
      if (pieces === null) return
      this.moved()
      if (!this.#bodies.take(chunk.length)) {
        this.end()
        request.pause()
        this.#crowded()
        return
      }
      this.#heldBytes += chunk.length
      pieces.add(chunk)
      if (pieces.bytes <= max) return
      this.end()
      request.pause()
      tooLarge(pieces.list())
    })
    request.on('end', () => {
      const list = this.#pieces?.list()
      if (list === undefined) return
      this.end()
      whole(list.length === 1 ? (list[0] ?? EMPTY) : Buffer.concat(list))
    })
  }

  /** A piece has come, or is waited for from now on. */
  moved(): void {
    this.#lastByteMs = this.#clock.monotonicMs()
  }

  /** Nothing is waited for any more, and nothing kept here. */
  end(): void {
    this.#pieces = null
    this.#lastByteMs = 0
  }

  /** The call is over, and whoever was given the body has no more use for it. */
  release(): void {
    this.end()
    this.#bodies.give(this.#heldBytes)
    this.#heldBytes = 0
  }

  /** Whether the body is waited for and has not moved since before `sinceMs`. */
  isIdle(sinceMs: number): boolean {
    return this.#lastByteMs !== 0 && this.#lastByteMs <= sinceMs
  }
}
