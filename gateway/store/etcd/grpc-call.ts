// How a call goes out: only to a member that knows a leader, once, logged in where that is needed, and with a deadline
// of our own on the monotonic clock. The deadlines, retries and circuit breakers of the client package are all off.

import { type CallOptions, InterceptingCall, status } from '@grpc/grpc-js'
import type { IOptions } from 'etcd3'
import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'
import type { Login } from './login.ts'

export type { CallOptions }

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>

/** A member cut off from its quorum refuses such a call at once, and ends such a stream, where it would keep still. */
const REQUIRE_LEADER = 'hasleader'

/** The call behind `options`, once it has begun. */
export interface CallHandle {
  readonly options: CallOptions
  cancel(): void
}

/** `refused`: the call never went out, as nobody could log in for it; nothing else would say so. */
export function callHandle(
  login: Login | null,
  refused: (reason: string) => void = () => undefined,
): CallHandle {
  let running: InterceptingCall | null = null
  let cancelled = false
  const cancel = (): void => {
    cancelled = true
    running?.cancelWithStatus(status.CANCELLED, 'no longer wanted')
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
              if (cancelled) cancel()
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
        running = call
        return call
      },
    ],
  }
  return { options, cancel }
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
