// What one revision has touched, while it is applied.

import type { SessionId } from '../core/names.ts'
import type { LockState } from './lock-state.ts'

export interface Touched {
  readonly locks: Set<LockState>
  /** Sessions whose waiter key in a lock went. */
  readonly departed: Map<LockState, SessionId[]>
  readonly sessions: Set<SessionId>
  readonly fences: Set<string>
  /** Sessions that have become condemned, or are not any more. */
  readonly condemnations: Set<SessionId>
  gateways: boolean
  watermarks: boolean
  sources: boolean
}

export function nothingTouched(): Touched {
  return {
    locks: new Set(),
    departed: new Map(),
    sessions: new Set(),
    fences: new Set(),
    condemnations: new Set(),
    gateways: false,
    watermarks: false,
    sources: false,
  }
}

export function depart({ departed }: Touched, lock: LockState, session: SessionId): void {
  const sessions = departed.get(lock)
  if (sessions === undefined) departed.set(lock, [session])
  else sessions.push(session)
}
