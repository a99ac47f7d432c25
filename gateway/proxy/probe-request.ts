// One small request of the gateway's own to a backend, with its whole answer; bounded in bytes and time.

import type { Dispatcher, Pool } from 'undici'
import type { ForwardOptions } from './upstream.ts'

export interface ProbeAnswer {
  readonly status: number
  readonly cookies: readonly string[]
  readonly body: string
}

const ANSWER_BYTES_MAX = 1024 * 1024

/** Rejects where no whole answer came, or one that is too long. Never repeated here. */
export function probeRequest(pool: Pool, options: ForwardOptions): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    pool.dispatch(options, new Collector(resolve, reject))
  })
}

class Collector implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: ProbeAnswer) => void
  readonly #reject: (error: Error) => void
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #status = 0
  #cookies: readonly string[] = []

  constructor(resolve: (answer: ProbeAnswer) => void, reject: (error: Error) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  onRequestStart(): void {
    this.#chunks.length = 0
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | string[]>,
  ): void {
    this.#status = status
    const cookies = headers['set-cookie']
    this.#cookies = cookies === undefined ? [] : typeof cookies === 'string' ? [cookies] : cookies
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes > ANSWER_BYTES_MAX) controller.abort(new Error('the answer to a probe is too long'))
    else this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#resolve({
      status: this.#status,
      cookies: this.#cookies,
      body: Buffer.concat(this.#chunks).toString('utf8'),
    })
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#reject(error)
  }
}
