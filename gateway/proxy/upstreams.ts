// The addresses of one backend: which of them takes the next call, and which one after that where it could not be reached.
// Never offers a second address for a call of which a byte may have gone out: that is for its callers to know.

import type { Upstream } from './upstream.ts'

/** `first`: the first in their order that is well. `least`: of those that are well the one with the fewest calls. */
export type Balance = 'first' | 'least'

const NONE: readonly Upstream[] = []

export class Upstreams {
  readonly all: readonly [Upstream, ...Upstream[]]
  readonly #balance: Balance
  #isClosed = false

  constructor(all: readonly [Upstream, ...Upstream[]], balance: Balance) {
    this.all = all
    this.#balance = balance
  }

  /** For a call that was tried nowhere yet, and for the gateway's own requests. */
  get first(): Upstream {
    return this.all.length === 1 ? this.all[0] : (this.after(NONE) ?? this.all[0])
  }

  /**
   * Where none is well those that are not are tried as well: a look that is wrong, or an outage that is over, must not
   * stop everything. Null where all were tried.
   */
  after(tried: readonly Upstream[]): Upstream | null {
    if (this.#isClosed) return null
    let best: Upstream | null = null
    for (const upstream of this.all) {
      if (tried.includes(upstream)) continue
      if (best === null || this.#isBetter(upstream, best)) best = upstream
    }
    return best
  }

  #isBetter(upstream: Upstream, than: Upstream): boolean {
    const { isWell } = upstream.health
    if (isWell !== than.health.isWell) return isWell
    return this.#balance === 'least' && upstream.load < than.load
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.all.map((upstream) => upstream.close()))
  }
}
