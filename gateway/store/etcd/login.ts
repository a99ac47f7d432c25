// The log-in at one member, which runs out: whoever is told so logs in again.

import type { Clock } from '../../spi/clock.ts'
import { withinDeadline } from './grpc-call.ts'
import type { GrpcConnection } from './grpc-connection.ts'
import { logInRequest, logInToken } from './lease-messages.ts'
import { METHODS } from './methods.ts'

export interface EtcdAuth {
  readonly username: string
  readonly password: string
}

export interface LoginOptions {
  readonly connection: GrpcConnection
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
  judge(token: string, { message }: Error): boolean {
    const isOver = OVER.some((words) => message.includes(words))
    if (isOver && this.#known === token) this.#forget()
    return isOver
  }

  #forget(): void {
    this.#token = null
    this.#known = null
  }

  async #logIn(): Promise<string> {
    const { connection, url, auth, clock, timeoutMs } = this.#options
    const deadline = { clock, timeoutMs, what: `log in at ${url}`, login: null }
    try {
      const token = logInToken(
        await withinDeadline(deadline, (handle) => handle.ask(connection, METHODS.logIn, logInRequest(auth))),
      )
      this.#known = token
      return token
    } catch (error) {
      this.#forget()
      throw error
    }
  }
}
