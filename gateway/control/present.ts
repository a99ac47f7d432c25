// The plane's values in the words of the API: seconds, RFC 3339, flat fences. Pure.

import type { z } from 'zod'
import type { FenceRecord, FenceState } from '../core/fence-record.ts'
import type { BackendState } from '../spi/backend-state.ts'
import type { LockInfo, OwnerInfo, Paged, SessionInfo } from '../spi/control-plane.ts'
import type { FencePreview } from '../spi/fence-preview.ts'
import type { FencerHealth } from '../spi/fencer-health.ts'
import type {
  Backend,
  Fence,
  FencerState,
  KeptAlive,
  Lock,
  Owner,
  FencePreview as PreviewSchema,
  Session,
} from './schemas.ts'

export function presentKeptAlive(session: SessionInfo): z.output<typeof KeptAlive> {
  return { ttl: session.ttlMs / 1000, expiresAt: timeOf(session.expiresAtMs) }
}

export function presentSession(session: SessionInfo): z.output<typeof Session> {
  const { ttlMs, expiresAtMs, holds, waitsFor, fenceInfo, bindings, ...rest } = session
  return {
    ...rest,
    fenceInfo: { ...fenceInfo },
    ttl: ttlMs / 1000,
    expiresAt: timeOf(expiresAtMs),
    bindings: [...bindings],
    holds: [...holds],
    waitsFor: [...waitsFor],
  }
}

export function presentOwner(owner: OwnerInfo): z.output<typeof Owner> {
  const { vouched, jobs, afterFences, ...rest } = owner
  return {
    ...rest,
    ...(afterFences === undefined ? {} : { afterFences: [...afterFences] }),
    ...(jobs === undefined
      ? {}
      : { jobs: jobs.map(({ backend, job, since, incarnation }) => ({ backend, job, since, incarnation })) }),
    ...(vouched === undefined
      ? {}
      : {
          vouched: vouched.map(({ by, reason, at, incarnations }) => ({
            by,
            reason,
            at,
            incarnations: [...incarnations],
          })),
        }),
  }
}

export function presentLock(lock: LockInfo): z.output<typeof Lock> {
  return {
    ...lock,
    owners: lock.owners.map(presentOwner),
    waiters: lock.waiters.map(({ waitedSeconds, ...waiter }) => ({
      ...waiter,
      waited: waitedSeconds === null ? null : rounded(waitedSeconds),
    })),
    waitingOn: [...lock.waitingOn],
    inFlight: lock.inFlight.map((call) => ({ ...call, seconds: rounded(call.seconds) })),
    unknown: [...lock.unknown],
    lastFences: [...lock.lastFences],
  }
}

export function presentFence(record: FenceRecord): z.output<typeof Fence> {
  const { progress, levels, targets, attempts, proofs, callbacks, undone, holder, fenceInfo, ...rest } =
    record
  return {
    ...rest,
    session: record.id,
    ...presentProgress(progress),
    holder: holder === null ? null : { ...holder },
    fenceInfo: { ...fenceInfo },
    levels: levels.map((level) => [...level]),
    targets: [...targets],
    attempts: [...attempts],
    ...(callbacks === undefined ? {} : { callbacks: [...callbacks] }),
    ...(undone === undefined ? {} : { undone: [...undone] }),
    proofs: proofs.map(({ fencer, proves, observedAt, observed, request }) => ({
      fencer,
      proves: [...proves],
      observedAt,
      observed,
      request,
    })),
  }
}

export function presentPreview(preview: FencePreview): z.output<typeof PreviewSchema> {
  const { holder, fenceInfo, levels, neighbours, heldBy, ...rest } = preview
  return {
    ...rest,
    holder: holder === null ? null : { ...holder },
    fenceInfo: { ...fenceInfo },
    levels: levels.map(({ delayMs, fencers }) => ({
      after: delayMs / 1000,
      fencers: fencers.map((fencer) => ({ ...fencer, proves: [...fencer.proves] })),
    })),
    neighbours: neighbours.map((neighbour) => ({ ...neighbour, locks: [...neighbour.locks] })),
    heldBy: [...heldBy],
  }
}

export function presentFencer(health: FencerHealth): z.output<typeof FencerState> {
  return { ...health, lastResortOf: [...health.lastResortOf] }
}

export function presentBackend(state: BackendState): z.output<typeof Backend> {
  return {
    ...state,
    shed: { ...state.shed },
    upstreams: state.upstreams.map((upstream) => ({ ...upstream })),
  }
}

/** Of a list that is had as a whole and does not change, in its own order. Nothing comes after a name that is not there. */
export function pageOf<Item>(
  all: readonly Item[],
  nameOf: (item: Item) => string,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): Paged<Item> {
  const before = after === undefined ? -1 : all.findIndex((item) => nameOf(item) === after)
  const rest = after !== undefined && before < 0 ? [] : all.slice(before + 1)
  const items = rest.slice(0, limit)
  const last = items.at(-1)
  return { items, next: last === undefined || items.length === rest.length ? null : nameOf(last) }
}

export function presentPage<From, To>(page: Paged<From>, present: (item: From) => To) {
  return { items: page.items.map(present), ...(page.next === null ? {} : { next: page.next }) }
}

function presentProgress(progress: FenceState) {
  switch (progress.state) {
    case 'due':
    case 'running':
      return { state: progress.state, level: progress.level }
    case 'blocked':
      return { state: progress.held === true ? ('held' as const) : progress.state, blocked: progress.reason }
    case 'closed':
      return {
        state: progress.state,
        outcome: progress.outcome,
        closedAt: progress.closedAt,
        ...(progress.by === null ? {} : { closedBy: progress.by }),
        ...(progress.reason === null ? {} : { closedReason: progress.reason }),
      }
  }
}

/** Seconds, to the millisecond: what a subtraction leaves behind it says nothing. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

function timeOf(wallMs: number | null): string | null {
  return wallMs === null ? null : new Date(wallMs).toISOString()
}
