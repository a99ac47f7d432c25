// What all calls of one backend listener share. Made by the listener, read by everyone below it.

import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { Gate } from '../spi/gate.ts'
import type { LoginBarrier } from '../spi/login-barrier.ts'
import type { Policy } from '../spi/policy.ts'
import type { BufferGarbage } from './buffer-garbage.ts'
import type { CallTally } from './call-tally.ts'
import type { CallerTerms } from './callers.ts'
import type { Flights } from './flights.ts'
import type { ForwardedFields } from './forwarded-fields.ts'
import type { HeldBodies } from './held-bodies.ts'
import type { JobWatch } from './jobs.ts'
import type { ProxyLimits } from './limits.ts'
import type { Repeats } from './repeats.ts'
import type { SessionCalls } from './session-calls.ts'
import type { Shedding } from './shedding.ts'
import type { Upstreams } from './upstreams.ts'

export interface Backend {
  readonly name: string
  readonly policy: Policy
  readonly gate: Gate
  /** Null: nobody is kept from logging in. */
  readonly logins: LoginBarrier | null
  /** Null where callers are known by their tokens alone. */
  readonly callers: CallerTerms | null
  readonly enforce: boolean
  readonly clock: Clock
  readonly events: EventSink
  readonly limits: ProxyLimits
  readonly upstreams: Upstreams
  readonly jobs: JobWatch
  /** Calls between their head and their end at the backend. */
  readonly flights: Flights
  readonly sessions: SessionCalls
  readonly bodies: HeldBodies
  readonly tally: CallTally
  readonly shedding: Shedding
  readonly repeats: Repeats
  /** Protocols, in lower case, to which a connection may change here. */
  readonly upgrades: ReadonlySet<string>
  /** What the backend is told of the client; null where that is what the client says. */
  readonly forwardedFields: ForwardedFields | null
  readonly garbage: BufferGarbage
  /** Every answer from now on ends its connection. */
  closing: boolean
  /** Calls that come now are told to go elsewhere. */
  refusing: boolean
}
