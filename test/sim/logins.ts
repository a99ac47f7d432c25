// Holders who log in at the backend, now and then, through any gateway: whether the shipped login barrier lets them. It asks
// nothing of the store and draws from numbers of its own, so that all else goes as it would without.

import type { LoginAttempt } from '../../gateway/spi/login-barrier.ts'
import type { Gateways } from './gateways.ts'
import type { HistoryEvent } from './history.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Of fenceInfo, where a holder's login name stands. */
export const LOGIN_KEY = 'user'

export interface LoginsOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly gateways: Gateways
  readonly holders: readonly string[]
  readonly record: (event: HistoryEvent) => void
  /** What a revision of the store is as a token. */
  readonly position: (revision: number) => number
}

const IDLE_MS_MAX = 400

export class Logins {
  readonly #options: LoginsOptions

  constructor(options: LoginsOptions) {
    this.#options = options
    this.#tryLater()
  }

  #tryLater(): void {
    const { scheduler, random } = this.#options
    scheduler.after(random.between(0.05, 1) * IDLE_MS_MAX, () => {
      this.#try()
      this.#tryLater()
    })
  }

  #try(): void {
    const { scheduler, random, gateways, holders, record, position } = this.#options
    const holder = random.pick(holders)
    const gateway = random.pick(gateways.all.filter(({ locking }) => locking !== null))
    if (holder === null || gateway === null) return
    const { process, store } = gateway
    // As he, his domain's people, and his library may write it.
    const name = random.pick([holder, holder.toUpperCase(), `${holder}@example.com`, `EXAMPLE\\${holder}`])
    process.deliver(() => {
      const { locking } = gateway
      if (locking === null) return
      const attempt: LoginAttempt = { name, strict: false, session: null, tokens: [], keys: [LOGIN_KEY] }
      const code = locking.logins.refusal(attempt)?.code ?? null
      const seen = position(store.seen)
      record({ kind: 'login', atMs: scheduler.nowMs, gateway: process.name, holder, seen, code })
    })
  }
}
