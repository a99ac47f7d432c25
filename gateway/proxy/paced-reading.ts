// Gives the parser of node:http what a client sends in slices. Left to itself it takes 64 KiB in one turn of the loop, which may
// be thousands of small requests, and everybody else waits until each of them has its objects.

import type { Socket } from 'node:net'

/** Where requests begin: about a hundred of the smallest. */
const SLICE_BYTES = 2 * 1024
/** Within a body, at whose end requests may begin; more where that end is further away. */
const BODY_SLICE_BYTES = 16 * 1024

/** What has been read from the connection until now. */
export interface ReadSoFar {
  /** As many requests wait as may. Whoever takes one of them away resumes the socket. */
  readonly isFull: boolean
  /** The last request where it is not whole. */
  readonly inBody: BodyBegun | null
}

export interface BodyBegun {
  /** 0 where it is not known. */
  readonly contentLength: number
}

export class PacedReading {
  readonly #socket: Socket
  readonly #soFar: ReadSoFar
  readonly #parsers: readonly ((bytes: Buffer) => void)[]
  #unreadBytes = 0
  #sliceBytes = 0
  #body: BodyBegun | null = null
  /** At least so much of the body is to come. */
  #bodyBytes = 0
  #isOver = false

  /** To be made when the server has begun to read the socket. */
  constructor(socket: Socket, soFar: ReadSoFar) {
    this.#socket = socket
    this.#soFar = soFar
    this.#parsers = socket.listeners('data').map((listener) => (bytes) => listener.call(socket, bytes))
    socket.removeAllListeners('data')
    // With a listener that is not its own the server takes nothing past it.
    socket.on('data', this.#onData)
  }

  readonly #onData = (bytes: Buffer): void => {
    const socket = this.#socket
    for (let at = 0; at < bytes.length && !this.#isOver && !socket.destroyed; ) {
      if (this.#soFar.isFull) socket.pause()
      if (socket.isPaused()) {
        socket.unshift(bytes.subarray(at))
        return
      }
      const end = Math.min(bytes.length, at + this.#nextBytes())
      this.#unreadBytes = bytes.length - end
      this.#sliceBytes = end - at
      this.#bodyBytes -= end - at
      const slice = bytes.subarray(at, end)
      for (const parse of this.#parsers) parse(slice)
      at = end
    }
  }

  #nextBytes(): number {
    const body = this.#soFar.inBody
    if (body !== this.#body) {
      this.#body = body
      // Of the slice in which it began all may have been of it.
      this.#bodyBytes = (body?.contentLength ?? 0) - this.#sliceBytes
    }
    return body === null ? SLICE_BYTES : Math.max(BODY_SLICE_BYTES, this.#bodyBytes)
  }

  /** The server reads the socket no more. Gives back how much it has not seen of what has come. */
  stop(): number {
    this.#isOver = true
    this.#socket.off('data', this.#onData)
    return this.#unreadBytes
  }
}
