// How a call goes out: only to a member that knows a leader, once, and with a deadline of our own on the monotonic
// clock. The deadlines, retries and circuit breakers of the client package are all off.

import type { IOptions, KVClient } from 'etcd3'
import type { Clock } from '../../spi/clock.ts'
import { StoreUnavailable } from '../../spi/store.ts'

export type CallOptions = NonNullable<Parameters<KVClient['range']>[1]>
type Interceptor = NonNullable<CallOptions['interceptors']>[number]
type InterceptedCall = ReturnType<Interceptor>
type FaultHandling = NonNullable<IOptions['faultHandling']>
type Policy = NonNullable<FaultHandling['global']>

const GRPC_CANCELLED = 1

/** A member cut off from its quorum refuses such a call at once, and ends such a stream, where it would keep still. */
const REQUIRE_LEADER = 'hasleader'

/** The call behind `options`, once it has begun. */
export interface CallHandle {
  readonly options: CallOptions
  cancel(): void
}

export function callHandle(): CallHandle {
  let running: InterceptedCall | null = null
  let cancelled = false
  const interceptor: Interceptor = (options, nextCall) => {
    // grpc-js names its own class here and uses only the interface that the next call has.
    const call = nextCall(options) as InterceptedCall
    const start = call.start.bind(call)
    call.start = (metadata, listener) => {
      metadata.set(REQUIRE_LEADER, 'true')
      start(metadata, listener)
      if (cancelled) call.cancelWithStatus(GRPC_CANCELLED, 'no longer wanted')
    }
    running = call
    return call
  }
  return {
    options: { interceptors: [interceptor] },
    cancel: () => {
      cancelled = true
      running?.cancelWithStatus(GRPC_CANCELLED, 'no longer wanted')
    },
  }
}

export interface DeadlineOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** For the message: the operation and where it was asked. */
  readonly what: string
}

/** What `start` comes to, or `StoreUnavailable` once the time is over; then the call is cancelled. */
export function withinDeadline<T>(
  { clock, timeoutMs, what }: DeadlineOptions,
  start: (handle: CallHandle) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const handle = callHandle()
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
