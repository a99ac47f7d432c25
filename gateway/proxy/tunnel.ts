// A connection that has changed its protocol (a console over WebSocket): bytes both ways, and one call in the ledger from
// its check to its end. Once its grant is sealed no byte of the client goes on, and the backend is told that no more comes.

import type { Duplex } from 'node:stream'
import type { Timer } from '../spi/clock.ts'
import type { Backend } from './backend.ts'
import { BrokenOff, LeaseOver, unknownReason } from './call-faults.ts'
import type { OpenCall } from './open-call.ts'

export class Tunnel {
  readonly #backend: Backend
  readonly #client: Duplex
  readonly #upstream: Duplex
  /** Null where the call changes nothing. */
  readonly #open: OpenCall | null
  readonly #onOver: () => void
  #lastByteMs: number
  #timer: Timer | null = null
  /** Nothing more of the client goes on. */
  #isFinished = false
  /** The backend has said all that it had to say. */
  #isAnswered = false
  #isOver = false

  constructor(
    backend: Backend,
    ends: { readonly client: Duplex; readonly upstream: Duplex },
    open: OpenCall | null,
    onOver: () => void,
  ) {
    this.#backend = backend
    this.#client = ends.client
    this.#upstream = ends.upstream
    this.#open = open
    this.#onOver = onOver
    this.#lastByteMs = backend.clock.monotonicMs()
  }

  start(): void {
    const client = this.#client
    const upstream = this.#upstream
    client.on('data', (bytes: Buffer) => this.#fromClient(bytes))
    client.on('end', () => this.finish())
    client.on('error', () => client.destroy())
    client.on('close', () => this.finish())
    upstream.on('data', (bytes: Buffer) => this.#fromUpstream(bytes))
    upstream.on('end', () => {
      this.#isAnswered = true
      this.finish()
      client.end()
    })
    upstream.on('error', (error: Error) => this.#lost(error))
    upstream.on('close', () => {
      if (this.#isAnswered) this.#ended()
      else this.#lost(new BrokenOff('the backend broke the connection off'))
    })
    this.#lookLater()
    this.#open?.whenSealed(() => this.finish())
    this.#open?.whenAbandoned(() => this.breakOff('abandoned at the end of the drain limit'))
  }

  /** What the client has sent until now is all: the backend may still answer, and then it is over. */
  finish(): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.#lastByteMs = this.#backend.clock.monotonicMs()
    this.#upstream.end()
    // A client that takes nothing must not keep the backend's end from being seen.
    this.#upstream.resume()
    this.#client.resume()
  }

  breakOff(reason: string): void {
    this.#lost(new BrokenOff(reason))
  }

  #fromClient(bytes: Buffer): void {
    if (this.#isFinished) return
    if (this.#open?.leaseStands === false && this.#backend.enforce) {
      this.#lost(new LeaseOver('the gateway could not renew its lease while the connection was open'))
      return
    }
    this.#lastByteMs = this.#backend.clock.monotonicMs()
    if (this.#upstream.write(bytes)) return
    this.#client.pause()
    this.#upstream.once('drain', () => this.#client.resume())
  }

  #fromUpstream(bytes: Buffer): void {
    this.#lastByteMs = this.#backend.clock.monotonicMs()
    const client = this.#client
    if (!client.writable) return
    if (client.write(bytes)) return
    if (this.#isFinished) {
      client.destroy()
      return
    }
    this.#upstream.pause()
    client.once('drain', () => this.#upstream.resume())
  }

  /** An idle one is ended in order; by force where that does not help. */
  #lookLater(): void {
    const { clock, limits } = this.#backend
    this.#timer = clock.after(Math.min(limits.tunnelIdleMs, limits.answerIdleMs) / 4, () => {
      const limitMs = this.#isFinished ? limits.answerIdleMs : limits.tunnelIdleMs
      if (clock.monotonicMs() - this.#lastByteMs >= limitMs) {
        if (this.#isFinished) this.breakOff('the backend did not end the connection')
        else this.finish()
      }
      if (!this.#isOver) this.#lookLater()
    })
  }

  #ended(): void {
    if (this.#isOver) return
    this.#open?.ended()
    this.#over()
  }

  #lost(error: Error): void {
    if (this.#isOver) return
    this.#open?.unknown(unknownReason(error))
    this.#over()
  }

  #over(): void {
    this.#isOver = true
    this.#isFinished = true
    this.#timer?.cancel()
    this.#upstream.destroy()
    // What the backend said last may still be on its way to a client that reads.
    if (this.#isAnswered && !this.#client.destroyed) this.#client.end()
    else this.#client.destroy()
    this.#onOver()
  }
}
