// Makes the fence record of a session that ended: what will be done, against what, decided once when the seal is written.

import type { FenceRecord, FenceState } from '../core/fence-record.ts'
import type { SessionId } from '../core/names.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import type { KnownHolder } from './holders.ts'

export interface FenceOrder {
  readonly cause: FenceRecord['cause']
  readonly by: string | null
  readonly reason: string | null
  /** Overrides the session's own plan. */
  readonly plan: string | null
}

export const EXPIRED: FenceOrder = { cause: 'expired', by: null, reason: null, plan: null }

/** `holder` null: a foreign lease, of which nobody told us whom to stop. */
export function dueFence(
  id: SessionId,
  holder: KnownHolder | null,
  order: FenceOrder,
  planner: FencePlanner,
  nowRfc3339: string,
): FenceRecord {
  const unfencedBy = holder?.unfencedBy ?? null
  const plan = order.plan ?? holder?.plan ?? (unfencedBy === null ? planner.defaultPlan : null)
  const fenceInfo = holder?.fenceInfo ?? {}
  const common = {
    id,
    cause: order.cause,
    by: order.by,
    reason: order.reason,
    holder: holder?.holder ?? null,
    plan,
    createdAt: nowRfc3339,
    attempts: [],
    proofs: [],
  }
  if (plan === null) {
    const reason = unfencedBy ?? 'the session has no fence plan, and the configuration no default'
    const progress = unfenced(reason, nowRfc3339)
    return { ...common, fenceInfo: settled(fenceInfo, planner), levels: [], targets: [], progress }
  }
  const levels = planner.levels(plan)
  const terms = planner.terms?.(plan) ?? null
  const isShadow = terms?.shadow === true
  if (levels === null)
    return {
      ...common,
      fenceInfo: isShadow ? settled(fenceInfo, planner) : fenceInfo,
      levels: [],
      targets: holder?.targets ?? [],
      progress: unrunnable(`there is no plan ${plan} in the configuration`, isShadow, nowRfc3339),
    }
  // What the plan of a session says of him was put in when it was opened; nothing was, for another plan or a foreign key.
  const isFilled = holder === null || (holder.plan === plan && holder.unfencedBy === undefined)
  const filled = isFilled ? undefined : planner.fillFenceInfo?.(plan, { holder: holder.holder, fenceInfo })
  const check =
    filled?.kind === 'faulty' ? filled : planner.checkFenceInfo(plan, filled?.fenceInfo ?? fenceInfo, 'due')
  if (check.kind === 'faulty')
    return {
      ...common,
      fenceInfo: isShadow ? settled(fenceInfo, planner) : fenceInfo,
      levels,
      targets: holder?.targets ?? [],
      progress: unrunnable(`nobody told whom to stop (${check.faults.join('; ')})`, isShadow, nowRfc3339),
    }
  return {
    ...common,
    ...(terms?.delaysMs.some((delayMs) => delayMs > 0) === true ? { delaysMs: terms.delaysMs } : {}),
    ...(terms?.dryRun === true ? { dryRun: true } : {}),
    ...(isShadow ? { shadow: true } : {}),
    fenceInfo: check.fenceInfo,
    levels,
    targets: check.targets,
    progress: { state: 'due', level: 0 },
  }
}

/** What is closed from the beginning strikes nobody: no secret is kept for it. */
function settled(fenceInfo: FenceRecord['fenceInfo'], { secrets }: FencePlanner): FenceRecord['fenceInfo'] {
  return secrets?.removed(fenceInfo) ?? fenceInfo
}

function unfenced(reason: string, closedAt: string): FenceState {
  return { state: 'closed', outcome: 'unfenced', closedAt, by: null, reason }
}

function unrunnable(reason: string, isShadow: boolean, now: string): FenceState {
  return isShadow
    ? unfenced(`shadow mode; ${reason}`, now)
    : { state: 'blocked', reason: `${reason}; confirm, once the holder is known to be dead` }
}
