// Holders who log in at the backend, now and then, through any gateway: whether the shipped login barrier lets them. It asks
// nothing of the store and draws from numbers of its own, so that all else goes as it would without.

import type { SessionId } from '../../gateway/core/names.ts'
import type { Locking } from '../../gateway/locking/locking.ts'
import type { LoginAttempt } from '../../gateway/spi/login-barrier.ts'
import type { Gateways } from './gateways.ts'
import type { HistoryEvent } from './history.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Of fenceInfo, where a holder's login name stands. */
export const LOGIN_KEY = 'user'
/** And where what his logins have opened is collected. */
export const LOGINS_KEY = 'logins'

/** Of seeds: in the others nothing is written by a login, so that they do not change with it. */
const BOUND_PROBABILITY = 0.2
const ANSWERED_PROBABILITY = 0.3

interface Holder {
  readonly name: string
  readonly session: SessionId | null
}

export interface LoginsOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly gateways: Gateways
  readonly holders: readonly Holder[]
  readonly record: (event: HistoryEvent) => void
  /** What a revision of the store is as a token. */
  readonly position: (revision: number) => number
}

const IDLE_MS_MAX = 400

export class Logins {
  readonly #options: LoginsOptions
  readonly #isBound: boolean
  #count = 0

  constructor(options: LoginsOptions) {
    this.#options = options
    this.#isBound = options.random.chance(BOUND_PROBABILITY)
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
    const someone = random.pick(holders)
    const gateway = random.pick(gateways.all.filter(({ locking }) => locking !== null))
    if (someone === null || gateway === null) return
    const { name: holder, session } = someone
    const { process, store } = gateway
    // As he, his domain's people, and his library may write it.
    const name = random.pick([holder, holder.toUpperCase(), `${holder}@example.com`, `EXAMPLE\\${holder}`])
    const isAnswered = this.#isBound && random.chance(ANSWERED_PROBABILITY)
    process.deliver(() => {
      const { locking } = gateway
      if (locking === null) return
      const attempt: LoginAttempt = { name, strict: false, session: null, tokens: [], keys: [LOGIN_KEY] }
      const code = locking.logins.refusal(attempt)?.code ?? null
      const seen = position(store.seen)
      record({ kind: 'login', atMs: scheduler.nowMs, gateway: process.name, holder, seen, code })
      if (code === null && session !== null && isAnswered) this.#answer(session, locking)
    })
  }

  /** The backend has let him in: who he is was known, so what he has there now is written down before he is told. */
  #answer(session: SessionId, { callers }: Locking): void {
    const { scheduler, record } = this.#options
    const login = `login-${++this.#count}`
    const opened = { sessions: [login], collect: { [LOGINS_KEY]: login }, note: {} }
    void callers.learn(session, 'backend', opened).then((refusal) => {
      if (refusal === null) record({ kind: 'login-answered', atMs: scheduler.nowMs, session, login })
    })
  }
}
