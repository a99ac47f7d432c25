// Looks at each address of a backend now and then: whether a connection can be made or, where a path is given, whether it
// answers there. Uses connections of its own, one for each look, and changes nothing at the backend.

import type { Clock, Timer } from '../spi/clock.ts'
import { errorCode } from './call-faults.ts'
import { probeRequest } from './probe-request.ts'
import type { Upstream } from './upstream.ts'

export interface HealthCheckTerms {
  /** Asked with GET; a status from 200 to 399 is well. Null: a connection is enough. */
  readonly path: string | null
  /** 0: nobody looks. */
  readonly everyMs: number
  readonly timeoutMs: number
  /** So many in a row, and an address is not well, or well again. */
  readonly failures: number
  readonly successes: number
}

export class HealthChecks {
  readonly #terms: HealthCheckTerms
  readonly #clock: Clock
  readonly #timers = new Map<Upstream, Timer>()
  #isClosed = false

  constructor(upstreams: readonly Upstream[], terms: HealthCheckTerms, clock: Clock) {
    this.#terms = terms
    this.#clock = clock
    if (terms.everyMs === 0) return
    // Spread over the time between two looks.
    for (const [index, upstream] of upstreams.entries())
      this.#lookAfter((terms.everyMs * index) / upstreams.length, upstream)
  }

  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers.values()) timer.cancel()
  }

  #lookAfter(delayMs: number, upstream: Upstream): void {
    this.#timers.set(
      upstream,
      this.#clock.after(delayMs, () => void this.#look(upstream)),
    )
  }

  async #look(upstream: Upstream): Promise<void> {
    const { failures, successes, everyMs } = this.#terms
    const fault = await this.#faultOf(upstream)
    if (this.#isClosed) return
    if (fault === null) upstream.health.lookPassed(successes)
    else upstream.health.lookFailed(failures, fault)
    this.#lookAfter(everyMs, upstream)
  }

  /** Null where it is well. */
  async #faultOf(upstream: Upstream): Promise<string | null> {
    const { path, timeoutMs } = this.#terms
    const late = Promise.withResolvers<string>()
    const timer = this.#clock.after(timeoutMs, () => late.resolve(`no answer within ${timeoutMs / 1000} s`))
    try {
      return await Promise.race([
        late.promise,
        path === null ? connects(upstream, late.promise) : answers(upstream, path, timeoutMs),
      ])
    } catch (error) {
      return error instanceof Error ? `${errorCode(error)}: ${error.message.slice(0, 200)}` : String(error)
    } finally {
      timer.cancel()
      // Whoever still tries to connect gives up.
      late.resolve('')
    }
  }
}

function connects(upstream: Upstream, late: Promise<unknown>): Promise<null> {
  return new Promise((resolve, reject) => {
    const { dialler } = upstream
    const socket = dialler.dial({})
    void late.then(() => socket.destroy())
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection closed before it was open')))
    socket.once(dialler.openEvent, () => {
      resolve(null)
      socket.destroy()
    })
  })
}

async function answers(upstream: Upstream, path: string, timeoutMs: number): Promise<string | null> {
  const { status } = await probeRequest(upstream.probes, {
    method: 'GET',
    path,
    headers: ['host', upstream.address.authority, 'user-agent', 'fencegate'],
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    // What answers on an old connection may take no new ones.
    reset: true,
    servername: upstream.servername,
  })
  return status >= 200 && status < 400 ? null : `status ${status} to GET ${path}`
}
