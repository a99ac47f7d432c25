// A fence whose record cannot be read, or is gone. Nobody knows whom it was to strike, or what was proven: so nobody strikes,
// no proof counts, and an operator's word alone closes it.

import type { FenceRecord } from '../core/fence-record.ts'
import type { Revision, SessionId } from '../core/names.ts'
import { knownHolder } from './holders.ts'
import type { View } from './view.ts'

export interface UnreadableFence {
  readonly modRevision: Revision
  /** It makes sense to a newer version of the gateway, whose business it is. */
  readonly isNewer: boolean
  /** Wall clock, RFC 3339; for people. */
  readonly seenAt: string
}

export interface FenceToConfirm {
  readonly record: FenceRecord
  /** 0 where there is none. */
  readonly modRevision: Revision | 0
  readonly isNewer: boolean
}

/** What a confirmation would close, with nothing in it that is not known; null where nothing is unreadable. */
export function unreadableFence(view: View, id: string): FenceToConfirm | null {
  const session = id as SessionId
  const key = view.layout.fence(session)
  const found = view.damagedFences.get(id)
  if (found !== undefined) {
    const reason = found.isNewer
      ? `the record ${key} was written by a newer version of the gateway: see to the fence there`
      : `the record ${key} cannot be read; ${UNPROVEN}`
    return { ...found, record: knownOf(view, session, found.seenAt, reason) }
  }
  const sealedAt = view.fences.has(id) ? null : waitingSince(view, session)
  if (sealedAt === null) return null
  const record = knownOf(view, session, sealedAt, `the record ${key} is gone; ${UNPROVEN}`)
  return { record, modRevision: 0, isNewer: false }
}

const UNPROVEN = 'nobody knows what the fence has proven: confirm it, once the holder is known to be dead'

/** When the first lock was sealed that waits for this fence; null where none does. */
function waitingSince(view: View, session: SessionId): string | null {
  for (const lock of view.locksOf.get(session) ?? [])
    for (const grant of lock.record?.grants ?? [])
      if (grant.state === 'sealed' && grant.fence === session) return grant.sealedAt
  return null
}

function knownOf(view: View, session: SessionId, createdAt: string, reason: string): FenceRecord {
  const holder = knownHolder(view, session)
  return {
    id: session,
    cause: 'expired',
    by: null,
    reason: null,
    holder: holder?.holder ?? null,
    fenceInfo: holder?.fenceInfo ?? {},
    plan: null,
    levels: [],
    targets: holder?.targets ?? [],
    createdAt,
    progress: { state: 'blocked', reason },
    attempts: [],
    proofs: [],
  }
}
