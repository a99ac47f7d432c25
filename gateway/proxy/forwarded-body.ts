// A request's body on its way to the backend where it is too large to be held. Keeps undici's hands off the client's
// connection: it may destroy this stream, never the request that feeds it.

import { Readable } from 'node:stream'
import { BodyTooLong, LeaseOver, RequestCutOff } from './call-faults.ts'

export interface ForwardedBodyTerms {
  readonly onProgress: (bytes: number) => void
  /** 0: no bound. */
  readonly bytesMax: number
  /** Asked before each piece, when it comes in and when it goes out. */
  readonly mayGoOn: () => boolean
  /** Asked when all of it has come: why that must not be taken for the whole. */
  readonly fault?: () => Error | null
}

export class ForwardedBody extends Readable {
  readonly #request: Readable
  readonly #mayGoOn: () => boolean
  #complete = false

  constructor(
    request: Readable,
    prefix: readonly Buffer[],
    { onProgress, bytesMax, mayGoOn, fault }: ForwardedBodyTerms,
  ) {
    super({ highWaterMark: 64 * 1024 })
    this.#request = request
    this.#mayGoOn = mayGoOn
    let bytes = 0
    for (const chunk of prefix) {
      bytes += chunk.length
      this.push(chunk)
    }
    request.on('data', (chunk: Buffer) => {
      onProgress(chunk.length)
      bytes += chunk.length
      if (bytesMax > 0 && bytes > bytesMax && !this.destroyed) this.destroy(new BodyTooLong(bytesMax))
      if (this.#endedWithLease()) return
      if (!this.destroyed && !this.push(chunk)) request.pause()
    })
    request.on('end', () => {
      this.#complete = true
      if (this.destroyed) return
      const found = fault?.() ?? null
      if (found === null) this.push(null)
      else this.destroy(found)
    })
    this.on('error', ignoreReported)
  }

  /** Whether the client has sent all of it. */
  get complete(): boolean {
    return this.#complete
  }

  /** The client is gone or stands still: where the body is not whole, whoever forwards it gets a `RequestCutOff`. */
  cutOff(): void {
    if (!this.#complete && !this.destroyed) this.destroy(new RequestCutOff('request cut off by the client'))
  }

  /** What lies here already must not go out either, after a standstill of the process for instance. */
  override read(size?: number): Buffer | null {
    return this.#endedWithLease() ? null : super.read(size)
  }

  override _read(): void {
    this.#request.resume()
  }

  #endedWithLease(): boolean {
    if (this.#mayGoOn()) return false
    if (!this.destroyed)
      this.destroy(new LeaseOver('the gateway could not renew its lease while the request was on its way'))
    return true
  }
}

/** Who forwards the body learns of the error from undici; an error without any listener would end the process. */
function ignoreReported(_error: Error): void {
  return
}
