// How a call goes out: only to a member that knows a leader, once, logged in where that is needed, and with a deadline
// of our own on the monotonic clock. The deadlines, retries and circuit breakers of the client package are all off.

import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  InterceptingCall,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import type { IOptions } from 'etcd3'
import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'
import type { Login } from './login.ts'

export type { CallOptions }

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>

/** A member cut off from its quorum refuses such a call at once, and ends such a stream, where it would keep still. */
const REQUIRE_LEADER = 'hasleader'

/** One call. */
export interface CallHandle {
  /** For the client package, which begins it. */
  readonly options: CallOptions
  /** Begins it on a connection of ours: a question in bytes, and its answer. */
  unary(client: Client, path: string, request: Buffer): Promise<Buffer>
  /** The same for a stream. */
  stream(client: Client, path: string): Promise<ByteStream>
  cancel(): void
}

interface UnaryResult {
  readonly answer: Buffer | undefined
  readonly error: ServiceError | null
}

export type ByteStream = ClientDuplexStream<Buffer, Buffer>

/** `refused`: the call never went out, as nobody could log in for it; nothing else would say so. */
export function callHandle(
  login: Login | null,
  refused: (reason: string) => void = () => undefined,
): CallHandle {
  let cancelRunning: (() => void) | null = null
  let cancelled = false
  const runs = (cancelIt: () => void): void => {
    cancelRunning = cancelIt
    if (cancelled) cancelIt()
  }
  const options: CallOptions = {
    interceptors: [
      (callOptions, nextCall) => {
        const call = new InterceptingCall(nextCall(callOptions), {
          start: (metadata, _listener, next) => {
            metadata.set(REQUIRE_LEADER, 'true')
            const begin = (token: string | null): void => {
              if (token !== null) metadata.set('token', token)
              next(metadata, {
                onReceiveStatus: (received, pass) => {
                  if (token !== null) login?.judge(token, received)
                  pass(received)
                },
              })
              runs(() => call.cancelWithStatus(status.CANCELLED, 'no longer wanted'))
            }
            if (login === null) begin(null)
            else
              login.token().then(begin, (error: unknown) => {
                const reason = error instanceof Error ? error.message : String(error)
                refused(reason)
                call.cancelWithStatus(status.UNAVAILABLE, reason)
              })
          },
        })
        return call
      },
    ],
  }
  /** Null where the log-in has run out. */
  const ask = async (client: Client, path: string, request: Buffer, token: string | null) => {
    // Its time ran out while it waited for the log-in.
    if (cancelled) throw new Error('no longer wanted')
    const { answer, error } = await new Promise<UnaryResult>((resolve) => {
      const call = client.makeUnaryRequest(
        path,
        asItIs,
        asItIs,
        request,
        metadataWith(token),
        (error, answer) => resolve({ answer, error }),
      )
      runs(() => call.cancel())
    })
    if (answer !== undefined) return answer
    if (token === null || error === null || login?.judge(token, error) !== true)
      throw error ?? new Error('no answer')
    return null
  }
  return {
    options,
    async unary(client, path, request) {
      const token = login === null ? null : await login.token()
      const answer = await ask(client, path, request, token)
      if (answer !== null) return answer
      const again = login === null ? null : await ask(client, path, request, await login.token())
      if (again === null) throw new Error('the log-in has run out again at once')
      return again
    },
    async stream(client, path) {
      const token = login === null ? null : await login.token()
      const stream = client.makeBidiStreamRequest(path, asItIs, asItIs, metadataWith(token))
      stream.on('error', (error) => {
        if (token !== null && 'details' in error) login?.judge(token, { details: String(error.details) })
      })
      runs(() => stream.cancel())
      return stream
    },
    cancel() {
      cancelled = true
      cancelRunning?.()
    },
  }
}

function metadataWith(token: string | null): Metadata {
  const metadata = new Metadata()
  metadata.set(REQUIRE_LEADER, 'true')
  if (token !== null) metadata.set('token', token)
  return metadata
}

function asItIs(bytes: Buffer): Buffer {
  return bytes
}

export interface DeadlineOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** For the message: the operation and where it was asked. */
  readonly what: string
  readonly login: Login | null
}

/** What `start` comes to, or `StoreUnavailable` once the time is over; then the call is cancelled. */
export function withinDeadline<T>(
  { clock, timeoutMs, what, login }: DeadlineOptions,
  start: (handle: CallHandle) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const handle = callHandle(login, (reason) => reject(new StoreUnavailable(`${what}: ${reason}`)))
    const timer = clock.after(timeoutMs, () => {
      reject(new StoreUnavailable(`${what}: no answer within ${Math.round(timeoutMs)} ms`))
      handle.cancel()
    })
    start(handle)
      .finally(() => timer.cancel())
      .then(resolve, reject)
  })
}

/**
 * Runs a call as it is. The package's own default sends a call again that got no answer, and a transaction that was
 * carried out unseen would then report that its comparisons failed.
 */
export function passThroughPolicy(): Policy {
  const neverFires = () => ({ dispose: () => undefined })
  return {
    onSuccess: neverFires,
    onFailure: neverFires,
    execute: async (call) => call({ signal: new AbortController().signal }),
    get _altReturn(): never {
      throw new Error('it exists in the types only')
    },
  }
}
