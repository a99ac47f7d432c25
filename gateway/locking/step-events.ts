// What is told of a step of a handover that was carried out.

import type { FenceRecord } from '../core/fence-record.ts'
import type { HandoverStep } from '../core/handover.ts'
import type { EventSink } from '../spi/events.ts'
import type { LockState } from './lock-state.ts'

export function tellSeal(
  events: EventSink,
  lock: LockState,
  { grants }: Extract<HandoverStep, { kind: 'seal' }>,
  fences: readonly FenceRecord[],
): void {
  for (const { grant, cause } of grants) {
    const token = String(grant.createRevision)
    events({ type: 'grant.sealed', lock: lock.name, session: grant.session, token, detail: cause })
  }
  for (const { id: session, progress } of fences) {
    events({ type: 'session.expired', session, lock: lock.name })
    const unfenced = progress.state === 'closed'
    events(
      unfenced
        ? { type: 'fence.closed', fence: session, session, lock: lock.name, verdict: 'unfenced' }
        : { type: 'fence.due', fence: session, session, lock: lock.name },
    )
  }
}

/** `nowMs`: wall clock. */
export function tellMove(
  events: EventSink,
  lock: LockState,
  { close, open, complete }: Extract<HandoverStep, { kind: 'move' }>,
  nowMs: number,
): void {
  for (const grant of close)
    events({
      type: 'handover.drained',
      lock: lock.name,
      session: grant.session,
      token: String(grant.createRevision),
      durationMs: Math.max(0, nowMs - Date.parse(grant.sealedAt)),
    })
  for (const { session, createRevision } of [...open, ...complete])
    events({ type: 'handover.opened', lock: lock.name, session, token: String(createRevision) })
}
