// What a lock's record and queue say of its grants, against what was known of them before. Looks only; the view acts on it.

import type { Grant, SealCause } from '../core/lock-record.ts'
import type { SessionId } from '../core/names.ts'
import { LiveGrant, type LockState } from './lock-state.ts'

export interface GrantReading {
  readonly live: readonly LiveGrant[]
  /** Why each grant without a key ended. By create revision. */
  readonly endings: ReadonlyMap<number, SealCause>
  /** To be sealed here, where they are not. */
  readonly over: readonly LiveGrant[]
  /** Downgraded since. */
  readonly narrowed: readonly LiveGrant[]
}

export function readGrants(
  lock: LockState,
  about: {
    /** Of a grant whose key is gone; null where that cannot be judged. */
    readonly causeOf: (grant: Grant) => SealCause | null
    readonly condemned: (session: SessionId) => boolean
    /** The session's name in the one copy that is to be kept. */
    readonly nameOf: (session: SessionId) => SessionId
  },
): GrantReading {
  const live: LiveGrant[] = []
  const over: LiveGrant[] = []
  const narrowed: LiveGrant[] = []
  const endings = new Map<number, SealCause>()
  for (const grant of lock.record?.grants ?? []) {
    const { createRevision, session } = grant
    if (grant.state !== 'sealed' && lock.waiterOf(createRevision) === null) {
      const cause = lock.endings.get(createRevision) ?? about.causeOf(grant)
      if (cause !== null) endings.set(createRevision, cause)
    }
    // Until it is open it is a waiter like others to the gate: nothing is admitted under it.
    if (grant.state === 'changing') continue
    const known =
      lock.grantOf(createRevision) ?? new LiveGrant(lock, { ...grant, session: about.nameOf(session) })
    live.push(known)
    if (grant.state === 'sealed' && known.sealRevision === 0) known.sealRevision = lock.recordRevision
    if (grant.formerMode === undefined) known.narrowRevision = 0
    else if (known.narrowRevision === 0) known.narrowRevision = lock.recordRevision
    if (grant.mode === 'shared' && known.mode === 'exclusive') narrowed.push(known)
    if (grant.state === 'sealed' || endings.has(createRevision) || about.condemned(session)) over.push(known)
  }
  return { live, endings, over, narrowed }
}
