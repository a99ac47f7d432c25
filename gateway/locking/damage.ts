// Why a lock cannot be judged by this gateway: a record that it cannot read, or an owner whose key it does not watch.

import type { SessionId } from '../core/names.ts'
import { hiddenFrom } from './foreign-keys.ts'
import type { Layout } from './layout.ts'
import type { LockState } from './lock-state.ts'

export interface Damage {
  readonly detail: string
  /** Only its owner's key is not watched here. */
  readonly isBlind: boolean
}

/** `unreadable`: sessions whose record cannot be read. */
export function damageOf(layout: Layout, lock: LockState, unreadable: ReadonlySet<SessionId>): Damage | null {
  if (lock.record === null)
    return lock.recordRevision === 0 ? null : unreadableRecord(layout.lockRecord(lock.name))
  const session = lock.record.grants.find((grant) => unreadable.has(grant.session))?.session
  if (session !== undefined) return unreadableRecord(layout.session(session))
  const hidden = hiddenFrom(layout, lock.name, lock.record.grants)
  if (hidden === null) return null
  return {
    detail: `the key ${JSON.stringify(hidden.key)} of its owner belongs to no source of this configuration; configure the source again, or have session ${hidden.session} fenced`,
    isBlind: true,
  }
}

function unreadableRecord(key: string): Damage {
  return { detail: `the record ${key} cannot be read by this version of the gateway`, isBlind: false }
}
