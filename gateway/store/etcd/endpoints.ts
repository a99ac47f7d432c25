// The members of the cluster as this gateway reaches them: which one is asked, and what happens when it is silent.
// A call that must not happen twice is sent once, to a member that was just heard from.

import type { Client } from '@grpc/grpc-js'
import { type Etcd3, EtcdLeaseInvalidError } from 'etcd3'
import { invariant } from '../../core/invariant.ts'
import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'
import { type ConnectionOptions, connect, dial, type EtcdTls } from './connection.ts'
import { type CallHandle, withinDeadline } from './grpc-call.ts'
import { KvService } from './kv-service.ts'
import { type EtcdAuth, Login } from './login.ts'
import { refusedCertificate } from './tls-refusal.ts'

export interface EndpointsOptions extends ConnectionOptions {
  /** URLs, `http://…` or `https://…`; at least one. */
  readonly endpoints: readonly string[]
  readonly auth?: EtcdAuth
  readonly requestTimeoutMs: number
  readonly clock: Clock
}

export interface Endpoint {
  readonly url: string
  readonly client: Etcd3
  readonly kv: KvService
  /** A connection for one watch: a call that fails elsewhere does not take it along. */
  readonly dial: () => Client
  readonly login: Login | null
}

export type EndpointCall<T> = (endpoint: Endpoint, handle: CallHandle) => Promise<T>

export class Endpoints {
  readonly #endpoints: readonly Endpoint[]
  readonly #clock: Clock
  readonly #tls: EtcdTls | undefined
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
      const client = connect(url, options)
      const login = auth === undefined ? null : new Login({ client, url, auth, clock, timeoutMs })
      return { url, client, kv: new KvService(url, options), dial: () => dial(url, options), login }
    })
  }

  /**
   * For what may be carried out twice: asks one member after the other, each for its share of the time, until one
   * answers.
   */
  async repeatable<T>(operation: string, call: EndpointCall<T>): Promise<T> {
    const deadlineMs = this.#clock.monotonicMs() + this.#requestTimeoutMs
    const order = this.#order()
    const failures: string[] = []
    let cause: unknown
    for (const [index, endpoint] of order.entries()) {
      const leftMs = deadlineMs - this.#clock.monotonicMs()
      if (index > 0 && leftMs <= 0) break
      try {
        return await this.#ask(endpoint, operation, leftMs / (order.length - index), call)
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
        failures.push(error.message)
        cause = error.cause
      }
    }
    throw new StoreUnavailable(failures.join('; '), { cause })
  }

  /** For what must not be carried out twice. Where it rejects with `StoreUnavailable` it may have happened. */
  async once<T>(operation: string, call: EndpointCall<T>): Promise<T> {
    const endpoint = await this.answering()
    return this.#ask(endpoint, operation, this.#requestTimeoutMs, call)
  }

  /** A member that was just heard from. */
  async answering(): Promise<Endpoint> {
    if (this.#heardFrom === null)
      await this.repeatable('look for a member with a leader', ({ client }, { options: callOptions }) =>
        client.maintenance.status(callOptions),
      )
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

  close(): void {
    this.#closed = true
    this.#heardFrom = null
    for (const { client, kv } of this.#endpoints) {
      client.close()
      kv.close()
    }
  }

  async #ask<T>(endpoint: Endpoint, operation: string, timeoutMs: number, call: EndpointCall<T>): Promise<T> {
    if (this.#closed) throw new StoreUnavailable(`${operation}: the store is closed`)
    const what = `${operation} at ${endpoint.url}`
    try {
      const answer = await withinDeadline(
        { clock: this.#clock, timeoutMs, what, login: endpoint.login },
        (handle) => call(endpoint, handle),
      )
      this.#heard(endpoint)
      return answer
    } catch (error) {
      if (error instanceof EtcdLeaseInvalidError) {
        this.#heard(endpoint)
        throw error
      }
      this.failed(endpoint)
      if (error instanceof StoreUnavailable) throw error
      const said = error instanceof Error ? error.message : String(error)
      const reason = refusedCertificate(said, this.#tls, this.#clock.wallMs()) ?? said
      throw new StoreUnavailable(`${what}: ${reason}`, { cause: error })
    }
  }

  #heard(endpoint: Endpoint): void {
    const index = this.#endpoints.indexOf(endpoint)
    if (this.#heardFrom !== null && this.#heardFrom !== endpoint) return
    this.#preferred = index
    this.#heardFrom = endpoint
  }

  #order(): readonly Endpoint[] {
    return [...this.#endpoints.slice(this.#preferred), ...this.#endpoints.slice(0, this.#preferred)]
  }
}
