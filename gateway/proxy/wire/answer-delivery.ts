// One answer on its way to a client piece by piece, and what is done about a client that does not keep up. Answers that
// come whole and small need none of it.

import type { Socket } from 'node:net'
import type { Timer } from '../../spi/clock.ts'
import type { Backend } from '../backend.ts'
import type { OpenCall } from '../open-call.ts'
import { trailerLines } from './answer-lines.ts'

/** A piece up to this goes out as text, in one write. */
const TEXT_BYTES_MAX = 16 * 1024

export interface AnswerReceiver {
  /** False where the client does not keep up; then `whenDrained` tells when it has. */
  write(bytes: string | Buffer): boolean
  whenDrained(listener: () => void): void
  /** The answer cannot be finished: the client must not take what it has for a whole one. */
  abort(): void
}

export class AnswerDelivery {
  readonly #backend: Backend
  readonly #client: AnswerReceiver
  /** Where the answer comes from: not read while the client does not keep up. */
  readonly #source: Socket
  readonly #open: OpenCall | null
  readonly #isChunked: boolean
  readonly #onResume: () => void
  #stall: Timer | null = null
  #isStopped = false
  #isOver = false

  constructor(
    backend: Backend,
    client: AnswerReceiver,
    answer: {
      readonly source: Socket
      readonly open: OpenCall | null
      readonly isChunked: boolean
      /** The source is read again after a time in which it was not. */
      readonly onResume: () => void
    },
  ) {
    this.#backend = backend
    this.#client = client
    this.#source = answer.source
    this.#open = answer.open
    this.#isChunked = answer.isChunked
    this.#onResume = answer.onResume
  }

  /** Whether nobody gets the rest of it. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  head(lines: string): void {
    this.#write(lines)
  }

  /** The bytes are the connection's again when this returns. */
  piece(bytes: Buffer): void {
    if (this.#isStopped) return
    if (bytes.length <= TEXT_BYTES_MAX) {
      const text = bytes.toString('latin1')
      this.#write(this.#isChunked ? `${bytes.length.toString(16)}\r\n${text}\r\n` : text)
      return
    }
    if (this.#isChunked) this.#write(`${bytes.length.toString(16)}\r\n`)
    this.#backend.garbage.moved(bytes.length)
    this.#write(Buffer.from(bytes))
    if (this.#isChunked) this.#write('\r\n')
  }

  end(trailer: string): void {
    if (this.#isChunked) this.#write(`0\r\n${trailerLines(trailer)}\r\n`)
    this.over()
  }

  /** The rest is read for the ledger's sake alone. */
  stop(): void {
    this.#isStopped = true
    this.#resume()
  }

  /** Nothing more comes. */
  over(): void {
    this.#isOver = true
    this.#stall?.cancel()
    this.#stall = null
  }

  #resume(): void {
    if (this.#isOver) return
    this.#onResume()
    this.#source.resume()
  }

  #write(bytes: string | Buffer): void {
    if (!this.#isStopped && !this.#client.write(bytes)) this.#waitForClient()
  }

  /** The client does not read. That may hold up a call whose holder is alive, not the drain of a sealed lock. */
  #waitForClient(): void {
    const source = this.#source
    if (source.isPaused()) return
    source.pause()
    this.#client.whenDrained(() => {
      this.#stall?.cancel()
      this.#stall = null
      this.#resume()
    })
    this.#open?.whenSealed(() => {
      if (this.#isOver || this.#stall !== null || !source.isPaused()) return
      this.#stall = this.#backend.clock.after(this.#backend.limits.sealedStallMs, () => {
        this.#stall = null
        if (this.#isOver || !source.isPaused()) return
        this.stop()
        this.#client.abort()
      })
    })
  }
}
