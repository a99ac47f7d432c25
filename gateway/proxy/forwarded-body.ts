// A request's body on its way to the backend where it is too large to be held. Keeps undici's hands off the client's
// connection: it may destroy this stream, never the request that feeds it.

import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'

/** The client took its connection away, or broke its framing, before the body was whole. */
export class RequestCutOff extends Error {
  override readonly name = 'RequestCutOff'
  readonly code = 'FENCEGATE_REQUEST_CUT_OFF'
}

export class ForwardedBody extends Readable {
  readonly #request: IncomingMessage
  #complete = false

  constructor(request: IncomingMessage, prefix: readonly Buffer[], onProgress: (bytes: number) => void) {
    super({ highWaterMark: 64 * 1024 })
    this.#request = request
    for (const chunk of prefix) this.push(chunk)
    request.on('data', (chunk: Buffer) => {
      onProgress(chunk.length)
      if (!this.destroyed && !this.push(chunk)) request.pause()
    })
    request.on('end', () => {
      this.#complete = true
      if (!this.destroyed) this.push(null)
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

  override _read(): void {
    this.#request.resume()
  }
}

/** Who forwards the body learns of the error from undici; an error without any listener would end the process. */
function ignoreReported(_error: Error): void {
  return
}
