// How a call goes out: only to a member that knows a leader, once, logged in where that is needed, and with a deadline
// of our own on the monotonic clock.

import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'
import type { GrpcCall, GrpcConnection, GrpcListener } from './grpc-connection.ts'
import { GrpcFailure } from './grpc-messages.ts'
import type { Login } from './login.ts'

/** A member cut off from its quorum refuses such a call at once, and ends such a stream, where it would keep still. */
const REQUIRE_LEADER = { hasleader: 'true' } as const

/** One call. */
export interface CallHandle {
  /** A question, and its answer; rejects with GrpcFailure. */
  ask(connection: GrpcConnection, path: string, request: Buffer): Promise<Buffer>
  /** Messages in both directions. */
  stream(connection: GrpcConnection, path: string, listener: GrpcListener): Promise<GrpcCall>
  cancel(): void
}

export function callHandle(login: Login | null): CallHandle {
  let running: GrpcCall | null = null
  let cancelled = false
  const begin = (connection: GrpcConnection, path: string, token: string | null, listener: GrpcListener) => {
    // Its time ran out while it waited for the log-in.
    if (cancelled) throw new GrpcFailure('no longer wanted')
    running = connection.open(path, token === null ? REQUIRE_LEADER : { ...REQUIRE_LEADER, token }, listener)
    return running
  }
  /** Null where the log-in has run out. */
  const askOnce = (connection: GrpcConnection, path: string, request: Buffer, token: string | null) =>
    new Promise<Buffer | null>((resolve, reject) => {
      let answer: Buffer | null = null
      const call = begin(connection, path, token, {
        message: (bytes) => {
          answer = bytes
        },
        over: (failure) => {
          if (failure === null && answer !== null) resolve(answer)
          else if (token !== null && failure !== null && login?.judge(token, failure) === true) resolve(null)
          else reject(failure ?? new GrpcFailure('it was not answered'))
        },
      })
      call.send(request)
      call.end()
    })
  return {
    async ask(connection, path, request) {
      if (login === null) return (await askOnce(connection, path, request, null)) ?? unanswered()
      const answer =
        (await askOnce(connection, path, request, await login.token())) ??
        (await askOnce(connection, path, request, await login.token()))
      return answer ?? unanswered()
    },
    async stream(connection, path, listener) {
      const token = login === null ? null : await login.token()
      return begin(connection, path, token, {
        message: (bytes) => listener.message(bytes),
        over: (failure) => {
          if (token !== null && failure !== null) login?.judge(token, failure)
          listener.over(failure)
        },
      })
    },
    cancel() {
      cancelled = true
      running?.cancel()
    },
  }
}

function unanswered(): never {
  throw new GrpcFailure('the log-in has run out again at once')
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
    const handle = callHandle(login)
    const timer = clock.after(timeoutMs, () => {
      reject(new StoreUnavailable(`${what}: no answer within ${Math.round(timeoutMs)} ms`))
      handle.cancel()
    })
    start(handle)
      .finally(() => timer.cancel())
      .then(resolve, reject)
  })
}
