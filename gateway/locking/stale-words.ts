// What is said to whoever presents a stale token, made once: who has lost a lock and goes on is told the same at every call.
// Whether the token is stale is decided by the gate, each time; only the words are kept, for as long as all that they say is so.

import type { SealCause } from '../core/lock-record.ts'
import type { LockName } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import { ownerOf } from './listings.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import type { View } from './view.ts'
import type { KnownSession } from './view-terms.ts'

/** Beyond that all are forgotten, and made again for those who still ask. */
const KEPT_MAX = 2_048

interface Kept {
  readonly name: LockName
  /** What the words rest on; null: there is no such lock. */
  readonly held: Held | null
  readonly refusal: Refusal
}

/** Of a lock at rest, everything that its owner is described by. */
interface Held {
  readonly grant: LiveGrant
  readonly recordRevision: number
  readonly session: KnownSession
}

export class StaleWords {
  readonly #view: View
  readonly #kept = new Map<number, Kept>()

  constructor(view: View) {
    this.#view = view
  }

  /**
   * Null, or what was said before, where it is so without another look: the lock is at rest, and the one grant that it has is
   * not the token's. Nothing that is newer than the view was ever kept here.
   */
  again(name: LockName, token: number): Refusal | null {
    const kept = this.#kept.get(token)
    if (kept === undefined || kept.name !== name || kept.held === null) return null
    const { grant, recordRevision, session } = kept.held
    const { lock } = grant
    const stands =
      lock.held === grant &&
      lock.recordRevision === recordRevision &&
      this.#view.sessions.get(grant.session) === session
    return stands ? kept.refusal : null
  }

  /** Of a token that is known to be stale. `lock`: the view's state of that name. */
  of(lock: LockState | undefined, name: LockName, token: number): Refusal {
    if (lock === undefined) {
      const kept = this.#kept.get(token)
      if (kept !== undefined && kept.name === name && kept.held === null) return kept.refusal
    }
    const held = lock === undefined ? null : this.#held(lock)
    const refusal = staleToken(this.#view, lock, name, token)
    return lock !== undefined && held === null ? refusal : this.#keep(token, { name, held, refusal })
  }

  #keep(token: number, { name, held, refusal }: Kept): Refusal {
    if (this.#kept.size >= KEPT_MAX) this.#kept.clear()
    const lasting: Refusal = { ...refusal, isLasting: true }
    this.#kept.set(token, { name, held, refusal: lasting })
    return lasting
  }

  /** Null where the lock is not at rest, or its owner has opened no session here: there is more to such words. */
  #held(lock: LockState): Held | null {
    const grant = lock.held
    const session = grant === null ? undefined : this.#view.sessions.get(grant.session)
    if (grant === null || session === undefined) return null
    return { grant, recordRevision: lock.recordRevision, session }
  }
}

const ENDS: Readonly<Record<SealCause, string>> = {
  released: 'was given back',
  expired: 'ended with its session, which was not renewed in time',
  revoked: 'was taken away by an operator',
  upgraded: 'was replaced by that of an upgrade',
}

function staleToken(view: View, lock: LockState | undefined, name: LockName, token: number): Refusal {
  const grants = lock?.record?.grants ?? []
  const sealed = grants.find((grant) => grant.state === 'sealed' && grant.createRevision === token)
  if (sealed?.state === 'sealed')
    return {
      code: 'stale-token',
      detail: `token ${token} of lock ${name} is no longer the owner's: it ${ENDS[sealed.cause]}, and the lock is being handed over`,
      lock: name,
      token: String(token),
    }
  const isLiving = grants.some((grant) => grant.state !== 'sealed')
  const owner = lock === undefined || !isLiving ? null : ownerOf(view, lock)
  const now =
    owner !== null
      ? `it is held by ${owner.holder ?? 'a foreign client'} with token ${owner.token} since ${owner.since}`
      : grants.length > 0
        ? 'the lock is being handed over'
        : 'nobody holds the lock now'
  return {
    code: 'stale-token',
    detail: `token ${token} of lock ${name} is not, or no longer, the owner's; ${now}`,
    lock: name,
    token: String(token),
    ...(owner === null ? {} : { owner }),
  }
}
