// What is known of whoever has a lease: what he said when he opened his session, or what a source makes of his key.

import type { LockName, SessionId } from '../core/names.ts'
import { fenceInfoOf } from './learnt-fence-info.ts'
import type { SessionRecord } from './records.ts'
import type { View } from './view.ts'

/** As far as a fence is concerned. */
export interface KnownHolder extends Pick<SessionRecord, 'holder' | 'fenceInfo' | 'plan' | 'targets'> {
  /** Why he is not fenced, whatever the default plan says; absent or null where that plan counts. */
  readonly unfencedBy?: string | null
}

/** It holds something that was not sealed yet: where its lease is over, its fence is not written yet either. */
export function isUnsealed(view: View, session: SessionId): boolean {
  for (const lock of view.locksOf.get(session) ?? [])
    for (const grant of lock.record?.grants ?? [])
      if (grant.session === session && grant.state !== 'sealed') return true
  return false
}

/** Null for a foreign lease, of which nobody told anything. */
export function knownHolder(view: View, session: SessionId): KnownHolder | null {
  const known = view.sessions.get(session)
  if (known !== undefined) return { ...known.record, fenceInfo: fenceInfoOf(known.record) }
  for (const lock of view.locksOf.get(session) ?? [])
    for (const other of [...lock.queue, ...(lock.record?.grants ?? [])]) {
      const found = other.session === session ? view.layout.foreign(other.key) : null
      if (found === null) continue
      const { plan, unfenced, name } = found.source
      const unfencedBy = unfenced ? `source ${name} says that its holders are not fenced` : null
      return { holder: found.holder, fenceInfo: found.fenceInfo, plan, targets: [], unfencedBy }
    }
  return null
}

/** What to tell who wants to change how a foreign client holds a lock; null where it is none of a source's. */
export function foreignHolder(
  view: View,
  { lock, session }: { readonly lock: LockName; readonly session: SessionId },
): string | null {
  const state = view.locks.get(lock)
  for (const { key, session: holder } of state?.queue ?? []) {
    const found = holder === session ? view.layout.foreign(key) : null
    if (found !== null)
      return `${session} is no session of this gateway but the lease of a client that keeps its own key in etcd (source ${found.source.name}), always exclusively: its mode cannot be changed`
  }
  return null
}
