// What is sent to the backend, and what its sending asks of the call's front half.

import type { Duplex } from 'node:stream'
import type { Refusal } from '../core/verdict.ts'
import type { JobRule } from '../spi/policy.ts'
import type { ForwardedBody } from './forwarded-body.ts'
import type { LearntLogin } from './learnt-login.ts'
import type { OpenCall } from './open-call.ts'
import type { FirstCopy } from './repeats.ts'

export interface ForwardedCall {
  readonly method: string
  readonly target: string
  /** Names and values in turn. */
  readonly headers: string[]
  readonly body: Buffer | ForwardedBody | null
  readonly job: JobRule | null
  /** Keeps the answer for those who sent the same call again; null where its client has not named it. */
  readonly first: FirstCopy | null
  /** To which protocol the connection is to change; null for a call like any other. */
  readonly upgrade: string | null
  /** Holds the answer back until it is known whose session it opens; null where it opens none. */
  readonly learning: LearntLogin | null
  /** A read: the client's hang-up ends it at the backend too. */
  readonly abortable: boolean
}

/** What the forwarding asks of the call's front half. */
export interface ForwardingOwner {
  /** Nothing was sent to the client yet, and the call is over. */
  refuse(refusal: Refusal): void
  /** A check at the last instant said no, in shadow mode. */
  shadowed(refusal: Refusal): void
  /** The whole answer has come back. */
  answered(status: number): void
  /** The call no longer counts as in flight. */
  forwardingOver(): void
  /** The backend has changed the protocol: from now on the two connections and the open call are the owner's. */
  upgraded(fields: readonly string[], upstream: Duplex, open: OpenCall | null): void
  /** To be called before the last byte: makes sure that the answer reaches a client that still sends. */
  endAnswer(last: Buffer | null, trailers: [string, string][] | null): void
}
