// What all routes of the control API share: the plane, who may touch which session, and how names are read.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatewayError } from '../core/errors.ts'
import type { FenceRecord } from '../core/fence-record.ts'
import { asLeaseId, asLockName, type LockName, lockNameFault, type SessionId } from '../core/names.ts'
import type { BackendState } from '../spi/backend-state.ts'
import type { Clock } from '../spi/clock.ts'
import type { ControlPlane, SessionInfo } from '../spi/control-plane.ts'
import type { FencePreview } from '../spi/fence-preview.ts'
import type { CallbackDelivery } from '../spi/fencer.ts'
import type { FencerHealth } from '../spi/fencer-health.ts'
import { type Caller, mustSpeakFor, type Right } from './authentication.ts'
import type { KnownBy } from './bindings.ts'
import { PROBLEM_TYPE } from './problems.ts'
import { Problem } from './schemas.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the caller of this route must be allowed. Every route has one. */
    right?: Right
    /** The body is signed: the handler finds it in `text`, byte for byte. */
    signed?: boolean
  }
  interface FastifyRequest {
    caller: Caller
    /** Undefined where the route is not `signed`. */
    text: string | undefined
  }
}

export type ControlApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** The part of the log that this room writes to. */
export interface ControlLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
}

export interface ControlRoom {
  readonly plane: ControlPlane
  readonly clock: Clock
  readonly log: ControlLog
  /** What the monitoring of the fencers has found. */
  readonly fencers: () => readonly FencerHealth[]
  /** What the backend listeners know. */
  readonly backends: () => readonly BackendState[]
  /** What fencing the session by this plan, or its own, would do now. Throws GatewayError. */
  readonly previewFence: (session: SessionId, plan: string | null) => FencePreview
  /** Undoes what a closed fence has left behind. Rejects with GatewayError. */
  readonly undoFence: (
    id: string,
    word: { readonly by: string; readonly reason: string },
  ) => Promise<FenceRecord>
  /** What a fencer's service says by itself. Rejects with GatewayError, also where it is not that service's word. */
  readonly takeCallback: (delivery: Omit<CallbackDelivery, 'wallMs'>) => Promise<'taken' | 'known'>
  /** How a backend knows its callers; null where there is none of that name. */
  readonly callers: (backend: string) => KnownBy | null
  readonly ttlMsMin: number
  readonly ttlMsMax: number
  /** Aborted when the gateway is told to end: it still does everything, and sends callers to others. */
  readonly leaving: AbortSignal
  /** Aborted when the gateway drains: whoever waits is answered and sent away. */
  readonly closing: AbortSignal
}

/** For the `response` of every route: what an error looks like. */
export const problems = {
  default: {
    description: 'What went wrong; `type` says which kind.',
    content: { [PROBLEM_TYPE]: { schema: Problem } },
  },
}

export function lockNamed(name: string): LockName {
  const lock = asLockName(name)
  if (lock === null) throw new GatewayError('bad-request', lockNameFault(name) ?? 'not a lock name')
  return lock
}

/** A text that cannot be a session names none. */
export function sessionNamed(text: string): SessionId {
  const session = asLeaseId(text)
  if (session === null) throw sessionUnknown(text)
  return session
}

export function sessionUnknown(text: string): GatewayError {
  return new GatewayError(
    'session-unknown',
    `there is no session ${JSON.stringify(text.slice(0, 64))} (any more): whoever held locks with it has to stop`,
  )
}

/**
 * Refuses a caller who is tied to another holder. Null where nobody has the session. Where this gateway's view has not
 * got it (opened a moment ago through another one), a renewal asks the store itself.
 */
export async function ownSession(
  room: ControlRoom,
  caller: Caller,
  session: SessionId,
): Promise<SessionInfo | null> {
  const info = room.plane.session(session)
  if (caller.role !== 'holder' || caller.holder === null) return info
  const found = info ?? (await room.plane.keepAlive(session))
  if (found !== null) mustSpeakFor(caller, found.holder?.id ?? null)
  return found
}
