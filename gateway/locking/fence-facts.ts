// How far the fence of a sealed grant is, as a handover asks for it.

import type { FenceFacts } from '../core/handover.ts'
import type { SealedGrant } from '../core/lock-record.ts'
import type { View } from './view.ts'

export function fenceFacts(view: View, grant: SealedGrant, sealRevision: number): FenceFacts {
  if (grant.fence === null) return { state: 'none' }
  const fence = view.fences.get(grant.fence)
  if (fence === undefined)
    return {
      state: 'blocked',
      reason: view.damagedFences.get(grant.fence)?.isNewer
        ? `the record of fence ${grant.fence} was written by a newer version of the gateway: see to the fence there`
        : `the record of fence ${grant.fence} cannot be read; an operator has to confirm it`,
    }
  const { progress } = fence.record
  switch (progress.state) {
    case 'due':
      return { state: 'open', detail: `fence ${grant.fence} is due` }
    case 'running':
      return { state: 'open', detail: `fence ${grant.fence} is at level ${progress.level + 1}` }
    case 'blocked':
      return { state: 'blocked', reason: progress.reason }
    case 'closed':
      // A proof about calls counts only if its observation began after this seal had been reported by everyone.
      return {
        state: 'closed',
        proofs: fence.record.proofs.filter((proof) => proof.sealedThrough >= sealRevision),
      }
  }
}
