// In which locks each session has a grant or a waiter key. A session's name is kept once, however many locks it has.

import type { SessionId } from '../core/names.ts'
import type { LockState } from './lock-state.ts'

export class SessionLocks {
  readonly locksOf = new Map<SessionId, Set<LockState>>()
  readonly #names = new Map<SessionId, SessionId>()

  /** The name in the one copy that is to be kept. */
  add(session: SessionId, lock: LockState): SessionId {
    const locks = this.locksOf.get(session)
    if (locks === undefined) {
      this.locksOf.set(session, new Set([lock]))
      this.#names.set(session, session)
    } else locks.add(lock)
    return this.nameOf(session)
  }

  nameOf(session: SessionId): SessionId {
    return this.#names.get(session) ?? session
  }

  /** To be called when a key or a grant of the session has gone; it may have another in the same lock. */
  reconsider(session: SessionId, lock: LockState): void {
    if (lock.queue.some((waiter) => waiter.session === session)) return
    if (lock.live.some((grant) => grant.session === session)) return
    if (lock.record?.grants.some((grant) => grant.session === session)) return
    const locks = this.locksOf.get(session)
    if (locks === undefined) return
    locks.delete(lock)
    if (locks.size > 0) return
    this.locksOf.delete(session)
    this.#names.delete(session)
  }
}
