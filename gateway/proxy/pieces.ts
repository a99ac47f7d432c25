// A body as it comes, in memory. A client may send it a byte at a time, and each byte must not cost what an object costs,
// nor keep all that was read with it.

/** A smaller piece is copied. */
const SMALL_BYTES = 4 * 1024
const FIRST_ROOM_BYTES = 1024
const ROOM_BYTES = 16 * 1024
const NOTHING = Buffer.alloc(0)

export class Pieces {
  readonly #whole: Buffer[] = []
  /** Small ones in a row, as far as it is filled. */
  #room = NOTHING
  #filled = 0
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  add(piece: Buffer): void {
    this.#bytes += piece.length
    if (piece.length >= SMALL_BYTES) {
      this.#seal()
      this.#whole.push(piece)
      return
    }
    if (this.#filled + piece.length > this.#room.length) {
      this.#seal()
      const room = this.#bytes <= FIRST_ROOM_BYTES ? FIRST_ROOM_BYTES : ROOM_BYTES
      this.#room = Buffer.allocUnsafe(room)
    }
    piece.copy(this.#room, this.#filled)
    this.#filled += piece.length
  }

  /** All that has come, in its order. Takes nothing more from then on. */
  list(): readonly Buffer[] {
    this.#seal()
    return this.#whole
  }

  #seal(): void {
    if (this.#filled > 0) this.#whole.push(this.#room.subarray(0, this.#filled))
    this.#room = NOTHING
    this.#filled = 0
  }
}
