// What the control API shows of locks and sessions, put together from the view and the ledger. Reads only.

import type { Grant } from '../core/lock-record.ts'
import type { LockName, SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { Clock } from '../spi/clock.ts'
import type {
  GrantInfo,
  HolderIdentity,
  LockInfo,
  LockPhase,
  OwnerInfo,
  Page,
  Paged,
  SessionInfo,
  WaiterInfo,
} from '../spi/control-plane.ts'
import { blockedBy } from './blocked.ts'
import { knownHolder } from './holders.ts'
import type { Ledger } from './ledger.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import type { View } from './view.ts'

/** Who owns the lock, for the text of a refusal. */
export function ownerOf(view: View, lock: LockState): NonNullable<Refusal['owner']> | null {
  const grant = lock.record?.grants.find((other) => other.state === 'open') ?? lock.record?.grants[0]
  if (grant === undefined) return null
  return {
    token: String(grant.createRevision),
    holder: holderOf(view, grant.session)?.id ?? null,
    since: grant.openedAt,
  }
}

function holderOf(view: View, session: SessionId): HolderIdentity | null {
  const known = knownHolder(view, session)
  if (known !== null) return known.holder
  const fenced = view.fences.get(session)?.record.holder
  return fenced !== undefined && fenced !== null && typeof fenced['id'] === 'string'
    ? { ...fenced, id: fenced['id'] }
    : null
}

export function ownersOf(view: View, lock: LockState): OwnerInfo[] {
  return (lock.record?.grants ?? []).map((grant) => {
    const live = lock.grantOf(grant.createRevision)
    const [inFlight, unknown] = countCalls(live)
    return {
      session: grant.session,
      holder: holderOf(view, grant.session),
      mode: grant.mode,
      token: String(grant.createRevision),
      since: grant.openedAt,
      state: live?.sealed === true ? 'sealed' : grant.state,
      ...(grant.state === 'sealed' ? { cause: grant.cause } : {}),
      ...(grant.state === 'sealed' && grant.fence !== null ? { fence: grant.fence } : {}),
      ...(grant.afterFences === undefined ? {} : { afterFences: grant.afterFences }),
      inFlight,
      unknown,
      ...(grant.jobs === undefined ? {} : { jobs: grant.jobs }),
      ...(grant.vouched === undefined ? {} : { vouched: grant.vouched }),
    }
  })
}

export function waitersOf(view: View, lock: LockState, clock: Clock): WaiterInfo[] {
  const nowMs = clock.monotonicMs()
  return lock.queue
    .filter((waiter) => !lock.granted(waiter.createRevision))
    .map((waiter) => ({
      session: waiter.session,
      holder: holderOf(view, waiter.session),
      mode: waiter.mode,
      token: String(waiter.createRevision),
      waitedSeconds: waiter.seenAtMs === null ? null : (nowMs - waiter.seenAtMs) / 1000,
      ...(waiter.note === null ? {} : { note: waiter.note }),
    }))
}

export function phaseOf(lock: LockState): LockPhase {
  if (blockedBy(lock) !== null) return 'blocked'
  if (lock.live.some((grant) => grant.sealed)) return 'handover'
  if (lock.live.length > 0) return 'open'
  return lock.queue.length > 0 ? 'handover' : 'free'
}

/** For the metrics. */
export interface Counts {
  readonly sessions: number
  readonly locks: Readonly<Record<'open' | 'handover' | 'blocked', number>>
  readonly waiting: number
  readonly inFlight: number
  readonly unknown: number
  readonly parked: number
}

export function countAll(view: View, ledger: Ledger, parked: number): Counts {
  const locks = { open: 0, handover: 0, blocked: 0 }
  let waiting = 0
  for (const lock of view.locks.values()) {
    const phase = phaseOf(lock)
    if (phase !== 'free') locks[phase]++
    waiting += lock.queueLength - lock.live.filter((grant) => !grant.sealed).length
  }
  const calls = { inFlight: ledger.open, unknown: ledger.unknownCalls, parked }
  return { sessions: view.sessions.size, locks, waiting: Math.max(0, waiting), ...calls }
}

export function describeLock(view: View, name: LockName, clock: Clock): Omit<LockInfo, 'unknown'> {
  const lock = view.locks.get(name)
  if (lock === undefined)
    return {
      lock: name,
      phase: 'free',
      owners: [],
      waiters: [],
      highWater: '0',
      waitingOn: [],
      inFlight: [],
      lastFences: [],
    }
  const nowMs = clock.monotonicMs()
  const owners = ownersOf(view, lock)
  return {
    lock: name,
    phase: phaseOf(lock),
    owners,
    waiters: waitersOf(view, lock, clock),
    highWater: String(lock.record?.highWater ?? 0),
    waitingOn: lock.damage === null ? lock.obstacles.map((obstacle) => obstacle.detail) : [lock.damage],
    inFlight: lock.live.flatMap((grant) => callsOf(grant, nowMs)),
    lastFences: owners.flatMap((owner) => (owner.fence === undefined ? [] : [owner.fence])),
  }
}

function callsOf(grant: LiveGrant, nowMs: number): LockInfo['inFlight'][number][] {
  const calls: LockInfo['inFlight'][number][] = []
  for (const call of grant.calls) {
    const { state } = call
    if (state.kind === 'ended') continue
    const { backend, method, target } = call.request
    calls.push({
      token: String(grant.createRevision),
      backend,
      method,
      target,
      state: state.kind,
      seconds: (nowMs - call.admittedAtMs) / 1000,
      ...(state.kind === 'job' ? { job: state.id } : {}),
      ...(state.kind === 'unknown' ? { reason: state.reason } : {}),
    })
  }
  return calls
}

function countCalls(grant: LiveGrant | null): [inFlight: number, unknown: number] {
  let inFlight = 0
  let unknown = 0
  for (const call of grant?.calls ?? [])
    if (call.state.kind === 'unknown') unknown++
    else if (call.state.kind !== 'ended') inFlight++
  return [inFlight, unknown]
}

/** `expiresAtMs`: wall clock, where this gateway has seen a renewal. */
export function describeSession(
  view: View,
  session: SessionId,
  expiresAtMs: number | null,
): SessionInfo | null {
  const known = view.sessions.get(session)
  const locks = view.locksOf.get(session)
  if (known === undefined && locks === undefined) return null
  const holder = knownHolder(view, session)
  return {
    session,
    ttlMs: known?.record.ttlMs ?? 0,
    expiresAtMs,
    holder: holder?.holder ?? null,
    fenceInfo: holder?.fenceInfo ?? {},
    plan: holder?.plan ?? null,
    openedAt: known?.record.openedAt ?? null,
    bindings: (known?.record.bindings ?? []).map(({ realm, by, value }) => ({
      backend: realm,
      by,
      ...(value === undefined ? {} : { value }),
    })),
    // Only where somebody asks for it: they may be very many, and whoever renews his session does not.
    get holds() {
      return [...(locks ?? [])].flatMap((lock) =>
        lock.live
          .filter((grant) => grant.session === session && !grant.sealed)
          .map((grant) => ({ lock: lock.name, mode: grant.mode, token: String(grant.createRevision) })),
      )
    },
    get waitsFor() {
      return [...(locks ?? [])].flatMap((lock) =>
        lock.queue
          .filter((waiter) => waiter.session === session && !lock.granted(waiter.createRevision))
          .map((waiter) => ({ lock: lock.name, mode: waiter.mode })),
      )
    },
  }
}

export function grantInfo(
  lock: LockName,
  grant: Pick<Grant, 'createRevision' | 'session' | 'mode' | 'openedAt' | 'afterFences'>,
  sign: Signer | null,
): GrantInfo {
  const signature = sign?.(lock, grant.createRevision, grant.session)
  return {
    lock,
    mode: grant.mode,
    token: String(grant.createRevision),
    acquiredAt: grant.openedAt,
    ...(grant.afterFences === undefined ? {} : { afterFences: grant.afterFences }),
    ...(signature === undefined ? {} : { signed: `${grant.createRevision};s=:${signature}:` }),
  }
}

/** Base64 of the HMAC over lock, token and session. */
export type Signer = (lock: string, token: number, session: string) => string

/** A page of `keys`, which are sorted here; `describe` null leaves one out. */
export function page<Key extends string, Item>(
  keys: Iterable<Key>,
  { limit, after }: Page,
  describe: (key: Key) => Item | null,
): Paged<Item> {
  const sorted = [...keys].filter((key) => after === null || key > after).sort()
  const items: Item[] = []
  let last: string | null = null
  for (const key of sorted) {
    if (items.length === limit) return { items, next: last }
    const item = describe(key)
    if (item === null) continue
    items.push(item)
    last = key
  }
  return { items, next: null }
}
