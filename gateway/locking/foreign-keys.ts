// What a gateway makes of waiter keys that lie in a source's layout instead of ours: what it means that they go, and which
// of them it cannot see at all.

import { invariant } from '../core/invariant.ts'
import type { Grant, SealCause } from '../core/lock-record.ts'
import { asLeaseId, type LeaseId, type LockName, type Revision } from '../core/names.ts'
import type { Layout } from './layout.ts'

/**
 * Of a grant whose key has gone, and with it its canary or not: both in one revision is the end of the lease. Null where
 * this gateway does not watch the key, and so cannot judge.
 */
export function causeOfEnd(
  layout: Layout,
  lock: LockName,
  grant: Grant,
  canaryStands: boolean,
): SealCause | null {
  if (!covers(layout, lock, grant)) return null
  const meant = layout.foreign(grant.key)?.source.onDisappearance
  return canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')
}

/** A grant that is not over and whose key this gateway does not watch, or null. */
export function hiddenFrom(layout: Layout, lock: LockName, grants: readonly Grant[]): Grant | null {
  return grants.find((grant) => grant.state !== 'sealed' && !covers(layout, lock, grant)) ?? null
}

function covers(layout: Layout, lock: LockName, { key }: Grant): boolean {
  return key.startsWith(layout.root) || layout.foreign(key)?.lock === lock
}

/** A lease id that etcd does not give out (as a signed number it is negative), for a key that hangs on none. */
export function noLease(createRevision: Revision): LeaseId {
  const id = asLeaseId(`f${createRevision.toString(16).padStart(15, '0')}`)
  invariant(id !== null, 'a made-up lease id was malformed')
  return id
}
