// The log-in at one member. The client package has one of its own that we leave off: it has no deadline, keeps a log-in
// that hangs for all later calls, does not see that one has run out on a stream, and ignores the channel's options.

import type { Etcd3 } from 'etcd3'
import type { Clock } from '../../spi/clock.ts'
import { withinDeadline } from './grpc-call.ts'

export interface EtcdAuth {
  readonly username: string
  readonly password: string
}

export interface LoginOptions {
  readonly client: Etcd3
  readonly url: string
  readonly auth: EtcdAuth
  readonly clock: Clock
  readonly timeoutMs: number
}

const OVER = ['invalid auth token', 'revision of auth store is old']

export class Login {
  readonly #options: LoginOptions
  #token: Promise<string> | null = null
  #known: string | null = null

  constructor(options: LoginOptions) {
    this.#options = options
  }

  token(): Promise<string> {
    this.#token ??= this.#logIn()
    return this.#token
  }

  /**
   * Forgets the token where the member's answer to a call with it says that it is over; whether it says so. Then the member
   * has done nothing, and the call may be sent again with another.
   */
  judge(token: string, { details }: { readonly details: string }): boolean {
    const isOver = OVER.some((words) => details.includes(words))
    if (isOver && this.#known === token) this.#forget()
    return isOver
  }

  #forget(): void {
    this.#token = null
    this.#known = null
  }

  async #logIn(): Promise<string> {
    const { client, url, auth, clock, timeoutMs } = this.#options
    const deadline = { clock, timeoutMs, what: `log in at ${url}`, login: null }
    try {
      const { token } = await withinDeadline(deadline, ({ options }) =>
        client.auth.authenticate({ name: auth.username, password: auth.password }, options),
      )
      this.#known = token
      return token
    } catch (error) {
      this.#forget()
      throw error
    }
  }
}
