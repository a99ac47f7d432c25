// The members of the cluster as this gateway reaches them: which one is asked, and what happens when it is silent.
// A call that must not happen twice is sent once, to a member that was just heard from.

import { invariant } from '../../core/invariant.ts'
import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'
import { type ConnectionOptions, dial, type EtcdTls } from './connection.ts'
import { withinDeadline } from './grpc-call.ts'
import type { GrpcConnection } from './grpc-connection.ts'
import { EMPTY } from './lease-messages.ts'
import { type EtcdAuth, Login } from './login.ts'
import { METHODS, type Method } from './methods.ts'
import { refusedCertificate } from './tls-refusal.ts'

export interface EndpointsOptions extends Omit<ConnectionOptions, 'tls'> {
  readonly tls?: EtcdTls
  /** URLs, `http://…` or `https://…`; at least one. */
  readonly endpoints: readonly string[]
  readonly auth?: EtcdAuth
  readonly requestTimeoutMs: number
}

/** For the message, what is asked, and the question. */
export interface Question {
  readonly operation: string
  readonly method: Method
  readonly request: Buffer
}

/** The member has carried out nothing: the request names a lease that is over. */
export class LeaseUnknown extends Error {
  override readonly name = 'LeaseUnknown'
}

export interface Endpoint {
  readonly url: string
  readonly connection: GrpcConnection
  /** A connection for one watch: a call that fails elsewhere does not take it along. */
  readonly dial: () => GrpcConnection
  readonly login: Login | null
}

const LEASE_IS_GONE = 'requested lease not found'

export class Endpoints {
  readonly #endpoints: readonly Endpoint[]
  readonly #clock: Clock
  #tls: EtcdTls | undefined
  readonly #requestTimeoutMs: number
  #preferred = 0
  /** The member whose last call was answered, or null after a failure. */
  #heardFrom: Endpoint | null = null
  #closed = false

  constructor(options: EndpointsOptions) {
    invariant(options.endpoints.length > 0, 'a store needs an endpoint')
    this.#clock = options.clock
    this.#tls = options.tls
    this.#requestTimeoutMs = options.requestTimeoutMs
    this.#endpoints = options.endpoints.map((url) => {
      const { auth, clock, requestTimeoutMs: timeoutMs } = options
      const reached = { ...options, tls: () => this.#tls ?? {} }
      const connection = dial(url, reached)
      const login = auth === undefined ? null : new Login({ connection, url, auth, clock, timeoutMs })
      return { url, connection, dial: () => dial(url, reached), login }
    })
  }

  /**
   * For what may be carried out twice: asks one member after the other, each for its share of the time, until one
   * answers.
   */
  async repeatable(question: Question): Promise<Buffer> {
    const deadlineMs = this.#clock.monotonicMs() + this.#requestTimeoutMs
    const order = this.#order()
    const failures: string[] = []
    let cause: unknown
    for (const [index, endpoint] of order.entries()) {
      const leftMs = deadlineMs - this.#clock.monotonicMs()
      if (index > 0 && leftMs <= 0) break
      try {
        return await this.#ask(endpoint, question, leftMs / (order.length - index))
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
        failures.push(error.message)
        cause = error.cause
      }
    }
    throw new StoreUnavailable(failures.join('; '), { cause })
  }

  /** For what must not be carried out twice. Where it rejects with `StoreUnavailable` it may have happened. */
  async once(question: Question): Promise<Buffer> {
    const endpoint = this.#heardFrom ?? (await this.answering())
    return this.#ask(endpoint, question, this.#requestTimeoutMs)
  }

  /** A member that was just heard from. */
  async answering(): Promise<Endpoint> {
    if (this.#heardFrom === null)
      await this.repeatable({
        operation: 'look for a member with a leader',
        method: 'status',
        request: EMPTY,
      })
    const endpoint = this.#heardFrom
    if (endpoint === null) throw new StoreUnavailable('the member that answered has failed since')
    return endpoint
  }

  /** A stream that this member carried has failed: ask another one next. */
  failed(endpoint: Endpoint): void {
    if (this.#heardFrom === endpoint) this.#heardFrom = null
    if (this.#endpoints[this.#preferred] === endpoint)
      this.#preferred = (this.#preferred + 1) % this.#endpoints.length
  }

  /** What is under way goes on to its end as it began, and so does each watch; what comes next shows the new one. */
  renewTls(tls: EtcdTls): void {
    this.#tls = tls
    for (const { connection } of this.#endpoints) connection.renew()
  }

  close(): void {
    this.#closed = true
    this.#heardFrom = null
    for (const { connection } of this.#endpoints) connection.close()
  }

  async #ask(
    endpoint: Endpoint,
    { operation, method, request }: Question,
    timeoutMs: number,
  ): Promise<Buffer> {
    if (this.#closed) throw new StoreUnavailable(`${operation}: the store is closed`)
    const { connection, login, url } = endpoint
    const what = `${operation} at ${url}`
    try {
      const answer = await withinDeadline({ clock: this.#clock, timeoutMs, what, login }, (handle) =>
        handle.ask(connection, METHODS[method], request),
      )
      this.#heard(endpoint)
      return answer
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error)
      if (said.includes(LEASE_IS_GONE)) {
        this.#heard(endpoint)
        throw new LeaseUnknown(said, { cause: error })
      }
      this.failed(endpoint)
      if (error instanceof StoreUnavailable) {
        // It was silent: a connection that has died looks like one that is quiet.
        connection.renew()
        throw error
      }
      const reason = refusedCertificate(said, this.#tls, this.#clock.wallMs()) ?? said
      throw new StoreUnavailable(`${what}: ${reason}`, { cause: error })
    }
  }

  #heard(endpoint: Endpoint): void {
    if (this.#heardFrom !== null) return
    this.#preferred = this.#endpoints.indexOf(endpoint)
    this.#heardFrom = endpoint
  }

  #order(): readonly Endpoint[] {
    return [...this.#endpoints.slice(this.#preferred), ...this.#endpoints.slice(0, this.#preferred)]
  }
}
