// etcd's key-value service at one member, in bytes: nearly all calls are to it, and the client package's way costs a multiple.
// The connection is made anew after it has failed, as one that has died looks like one that is quiet.

import { type Client, status } from '@grpc/grpc-js'
import { EtcdLeaseInvalidError } from 'etcd3'
import { type ConnectionOptions, dial } from './connection.ts'
import type { CallHandle } from './grpc-call.ts'

const METHODS = { range: '/etcdserverpb.KV/Range', transact: '/etcdserverpb.KV/Txn' } as const

const LEASE_IS_GONE = 'requested lease not found'
/** What a connection that has died comes to; all else is said by the member. */
const DEAD: ReadonlySet<unknown> = new Set([
  status.UNAVAILABLE,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.INTERNAL,
  status.UNKNOWN,
])

export class KvService {
  readonly #url: string
  readonly #options: ConnectionOptions
  #client: Client | null = null
  #closed = false

  constructor(url: string, options: ConnectionOptions) {
    this.#url = url
    this.#options = options
  }

  /** Rejects with `EtcdLeaseInvalidError` where the request names a lease that is gone. */
  async ask(method: keyof typeof METHODS, request: Buffer, handle: CallHandle): Promise<Buffer> {
    if (this.#closed) throw new Error('the connection is closed')
    this.#client ??= dial(this.#url, this.#options)
    const client = this.#client
    try {
      return await handle.unary(client, METHODS[method], request)
    } catch (error) {
      if (error instanceof Error && 'code' in error && DEAD.has(error.code)) this.#drop(client)
      if (error instanceof Error && error.message.includes(LEASE_IS_GONE)) throw new EtcdLeaseInvalidError('')
      throw error
    }
  }

  close(): void {
    this.#closed = true
    if (this.#client !== null) this.#drop(this.#client)
  }

  /** Others' calls on it that are under way go on to their own end. */
  #drop(client: Client): void {
    client.close()
    if (this.#client === client) this.#client = null
  }
}
