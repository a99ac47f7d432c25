// Reads the store's commits as what they mean for the promises: tokens given, grants opened, sealed and closed, fences
// begun and ended. It looks at the store's own order, not at what any gateway believes.

import type { FenceRecord } from '../../gateway/core/fence-record.ts'
import { excludingMode, type Grant } from '../../gateway/core/lock-record.ts'
import type { Layout } from '../../gateway/locking/layout.ts'
import { fenceRecords, lockRecords, sessionRecords, watermarks } from '../../gateway/locking/records.ts'
import type { HistoryEvent } from './history.ts'
import { LOGINS_KEY } from './logins.ts'
import type { Committed } from './store.ts'

export function observe(
  committed: Committed,
  layout: Layout,
  record: (event: HistoryEvent) => void,
  atMs: number,
  { sharedStore = true, position = (revision: number) => revision } = {},
): void {
  const by = committed.by ?? 'store'
  for (const event of committed.events) {
    const key = event.type === 'put' ? event.kv.key : event.key
    const meaning = layout.meaning(key)
    const before = committed.before.get(key)
    switch (meaning.kind) {
      case 'waiter': {
        const { lock, mode } = meaning
        if (event.type === 'put') {
          if (before === undefined)
            record({
              kind: 'queued',
              atMs,
              lock,
              mode,
              token: position(event.kv.createRevision),
              session: event.kv.lease ?? meaning.lease ?? '',
            })
        } else if (before !== undefined) {
          const session = before.lease ?? meaning.lease ?? ''
          const leaseEnded = committed.endedLease !== null
          record({
            kind: 'unqueued',
            atMs,
            lock,
            token: position(before.createRevision),
            session,
            leaseEnded,
            by,
            revision: position(committed.revision),
          })
        }
        break
      }
      case 'lock-record':
        compareGrants(
          before === undefined ? [] : (lockRecords.decode(before.value)?.grants ?? []),
          event.type === 'put' ? (lockRecords.decode(event.kv.value)?.grants ?? []) : [],
          (change) =>
            record(
              change.kind === 'sealed'
                ? { ...change, atMs, lock: meaning.lock, by, revision: position(committed.revision) }
                : { ...change, atMs, lock: meaning.lock, by },
            ),
        )
        break
      case 'fence': {
        const fence: FenceRecord | null =
          event.type === 'put'
            ? fenceRecords.decode(event.kv.value)
            : fenceRecords.decode(before?.value ?? '')
        if (fence !== null)
          record({
            kind: 'fence',
            atMs,
            session: meaning.id,
            cause: fence.cause,
            state: event.type === 'put' ? fence.progress.state : 'deleted',
            outcome: fence.progress.state === 'closed' ? fence.progress.outcome : null,
            claim: fence.progress.state === 'running' ? fence.progress.claim.incarnation : null,
            stormed: fence.storm !== undefined && fence.released !== true,
            held: fence.progress.state === 'blocked' && fence.progress.held === true,
            by,
            revision: position(committed.revision),
            targets: fence.targets,
            logins: loginsIn(fence),
          })
        break
      }
      case 'watermark': {
        const sealed = event.type === 'put' ? watermarks.decode(event.kv.value)?.sealed : undefined
        if (sealed !== undefined) record({ kind: 'reported', atMs, gateway: by, sealed })
        if (event.type === 'put' && before === undefined)
          record({ kind: 'registered', atMs, gateway: by, incarnation: meaning.incarnation })
        if (event.type === 'delete')
          record({ kind: 'lost', atMs, gateway: by, incarnation: meaning.incarnation })
        break
      }
      case 'gateway':
        // Alone with its store it needs no lease.
        if (!sharedStore && event.type === 'put' && before === undefined)
          record({ kind: 'registered', atMs, gateway: by, incarnation: meaning.incarnation })
        break
      case 'session': {
        if (event.type === 'delete') record({ kind: 'session-forgotten', atMs, session: meaning.session })
        const session = event.type === 'put' ? sessionRecords.decode(event.kv.value) : null
        if (session !== null && before === undefined)
          record({
            kind: 'session-opened',
            atMs,
            session: meaning.session,
            holder: session.holder.id,
            targets: session.targets,
            revision: position(committed.revision),
          })
        break
      }
      case 'canary':
      case 'binding':
      case 'sources':
      case 'foreign':
        break
    }
  }
  if (committed.endedLease !== null)
    record({ kind: 'lease-ended', atMs, lease: committed.endedLease, by: committed.by })
}

function loginsIn({ fenceInfo }: FenceRecord): readonly string[] {
  const logins = fenceInfo[LOGINS_KEY]
  return Array.isArray(logins) ? logins.map(String) : []
}

type GrantChange =
  | {
      readonly kind: 'opened'
      readonly token: number
      readonly session: string
      readonly mode: Grant['mode']
    }
  | {
      readonly kind: 'sealed'
      readonly token: number
      readonly session: string
      readonly cause: 'released' | 'expired' | 'revoked' | 'upgraded'
    }
  | { readonly kind: 'narrowed'; readonly token: number }
  | { readonly kind: 'closed'; readonly token: number }

function compareGrants(
  before: readonly Grant[],
  after: readonly Grant[],
  change: (change: GrantChange) => void,
): void {
  for (const grant of before)
    if (!after.some((other) => other.createRevision === grant.createRevision))
      change({ kind: 'closed', token: grant.createRevision })
  for (const grant of after) {
    const { createRevision: token, session, mode } = grant
    const old = before.find((other) => other.createRevision === token)
    if (grant.state === 'open' && old?.state !== 'open') change({ kind: 'opened', token, session, mode })
    if (old !== undefined && excludingMode(old) !== excludingMode(grant)) change({ kind: 'narrowed', token })
    if (grant.state === 'sealed' && old?.state !== 'sealed')
      change({ kind: 'sealed', token, session, cause: grant.cause })
  }
}
