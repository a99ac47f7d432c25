// A control plane in memory: exclusive locks, FIFO queues, no store, no fences but those that a test puts there.

import { GatewayError } from '../../../gateway/core/errors.ts'
import { type FenceRecord, fenceStateWord } from '../../../gateway/core/fence-record.ts'
import type { LockMode, LockName, SessionId } from '../../../gateway/core/names.ts'
import { asLeaseId } from '../../../gateway/core/names.ts'
import type {
  AcquireResult,
  ControlPlane,
  GrantInfo,
  LockInfo,
  OwnerInfo,
  Page,
  Paged,
  SessionInfo,
  UnknownInfo,
  VouchedInfo,
  VouchRequest,
} from '../../../gateway/spi/control-plane.ts'

const OPENED_AT = '2026-01-02T03:04:05.000Z'

interface Waiter {
  readonly session: SessionId
  readonly resolve: (result: AcquireResult) => void
}

export class FakePlane implements ControlPlane {
  readonly sessionsById = new Map<string, SessionInfo>()
  readonly owners = new Map<string, GrantInfo & { readonly session: SessionId }>()
  readonly queues = new Map<string, Waiter[]>()
  readonly fencesById = new Map<string, FenceRecord>()
  /** Of every lock. */
  unknown: readonly UnknownInfo[] = []
  /** Thrown by the next call that reaches the store. */
  failure: Error | null = null
  ready = true
  #next = 0x10

  openSession(request: Parameters<ControlPlane['openSession']>[0]): Promise<SessionInfo> {
    this.#fail()
    this.#next += 1
    const session = asLeaseId(this.#next.toString(16))
    if (session === null) throw new Error('a counter is a lease id')
    const info: SessionInfo = {
      session,
      ttlMs: request.ttlMs,
      expiresAtMs: Date.parse(OPENED_AT) + request.ttlMs,
      holder: request.holder,
      fenceInfo: request.fenceInfo,
      plan: request.plan,
      openedAt: OPENED_AT,
      bindings: [],
      holds: [],
      waitsFor: [],
    }
    this.sessionsById.set(session, info)
    return Promise.resolve(info)
  }

  keepAlive(session: SessionId): Promise<SessionInfo | null> {
    this.#fail()
    return Promise.resolve(this.sessionsById.get(session) ?? null)
  }

  async closeSession(session: SessionId): Promise<void> {
    for (const grant of this.owners.values())
      if (grant.session === session) await this.release(grant.lock, session)
    this.sessionsById.delete(session)
  }

  bind({ session, realm, by, value }: Parameters<ControlPlane['bind']>[0]): Promise<void> {
    this.#fail()
    const info = this.sessionsById.get(session)
    if (info === undefined) throw new GatewayError('session-unknown', 'there is no such session')
    this.sessionsById.set(session, { ...info, bindings: [{ backend: realm, by, value }] })
    return Promise.resolve()
  }

  session(session: SessionId): SessionInfo | null {
    return this.sessionsById.get(session) ?? null
  }

  sessions(page: Page): Paged<SessionInfo> {
    return pageOf([...this.sessionsById.values()], (session) => session.session, page)
  }

  acquire(request: Parameters<ControlPlane['acquire']>[0], gone: AbortSignal): Promise<AcquireResult> {
    this.#fail()
    const { lock, session, waitMs } = request
    if (!this.sessionsById.has(session)) throw new GatewayError('session-unknown', `no session ${session}`)
    const owner = this.owners.get(lock)
    if (owner?.session === session) return Promise.resolve({ kind: 'granted', grant: owner, already: true })
    if (owner === undefined) return Promise.resolve(this.#grant(lock, session, request.mode))
    const queue = this.queues.get(lock) ?? []
    if (waitMs === 0) return Promise.resolve(this.#held(lock))
    this.queues.set(lock, queue)
    return new Promise((resolve) => {
      const waiter: Waiter = { session, resolve }
      queue.push(waiter)
      const leave = (): void => void queue.splice(queue.indexOf(waiter), queue.includes(waiter) ? 1 : 0)
      const timer = setTimeout(() => {
        leave()
        resolve(this.#held(lock))
      }, waitMs)
      gone.addEventListener('abort', () => {
        clearTimeout(timer)
        leave()
        // As the real one: whoever gives up has not got it.
        resolve(this.#held(lock))
      })
    })
  }

  changeMode(request: Parameters<ControlPlane['changeMode']>[0]): Promise<GrantInfo> {
    this.#fail()
    const { lock, session, token, mode } = request
    const owner = this.owners.get(lock)
    if (owner?.session !== session || owner.token !== token)
      throw new GatewayError('token-mismatch', `session ${session} does not hold ${lock} with token ${token}`)
    if ((this.queues.get(lock) ?? []).length > 0 && mode === 'exclusive')
      throw new GatewayError('mode-held', 'somebody waits already')
    const grant = { ...owner, mode }
    this.owners.set(lock, grant)
    const { session: _, ...info } = grant
    return Promise.resolve(info)
  }

  release(lock: LockName, session: SessionId, token: string | null = null): Promise<void> {
    this.#fail()
    const owner = this.owners.get(lock)
    if (owner?.session === session && (token === null || token === owner.token)) {
      this.owners.delete(lock)
      const next = this.queues.get(lock)?.shift()
      if (next !== undefined) next.resolve(this.#grant(lock, next.session, 'exclusive'))
    }
    return Promise.resolve()
  }

  lock(name: LockName): LockInfo {
    const owner = this.#owner(name)
    return {
      lock: name,
      phase: owner === null ? 'free' : 'open',
      owners: owner === null ? [] : [owner],
      waiters: (this.queues.get(name) ?? []).map(({ session }) => ({
        session,
        holder: this.sessionsById.get(session)?.holder ?? null,
        mode: 'exclusive',
        token: '99',
        waitedSeconds: 1.5000000000000002,
      })),
      highWater: owner?.token ?? '0',
      waitingOn: [],
      inFlight: [],
      unknown: this.unknown,
      lastFences: [],
    }
  }

  locks(prefix: string, page: Page): Paged<LockInfo> {
    const names = [...this.owners.values()].map(({ lock }) => lock).filter((lock) => lock.startsWith(prefix))
    return pageOf(
      names.map((name) => this.lock(name)),
      ({ lock }) => lock,
      page,
    )
  }

  vouch({ lock, by, reason, incarnations }: VouchRequest): Promise<VouchedInfo> {
    const vouched = this.unknown.filter(
      ({ incarnation }) => incarnations === null || incarnations.includes(incarnation),
    )
    if (vouched.length === 0) throw new GatewayError('nothing-unknown', `nothing holds up ${lock}`)
    return Promise.resolve({ lock, by, reason, at: OPENED_AT, vouched })
  }

  fence(id: string): FenceRecord | null {
    return this.fencesById.get(id) ?? null
  }

  fences(page: Page, state: Parameters<ControlPlane['fences']>[1] = null): Paged<FenceRecord> {
    const wanted = [...this.fencesById.values()].filter(({ progress }) => {
      const word = fenceStateWord(progress)
      return state === null || state === word || (state === 'open' && word !== 'closed')
    })
    return pageOf(wanted, ({ id }) => id, page)
  }

  retryFence(id: string): Promise<FenceRecord> {
    return Promise.resolve(this.#progress(id, { state: 'due', level: 0 }))
  }

  confirmFence(id: string, word: { readonly by: string; readonly reason: string }): Promise<FenceRecord> {
    return Promise.resolve(
      this.#progress(id, { state: 'closed', outcome: 'confirmed', closedAt: OPENED_AT, ...word }),
    )
  }

  fenceSession(
    session: SessionId,
    order: { readonly by: string; readonly reason: string; readonly plan: string | null },
  ): Promise<FenceRecord> {
    if (!this.sessionsById.has(session)) throw new GatewayError('session-unknown', `no session ${session}`)
    const record: FenceRecord = {
      id: session,
      cause: 'operator',
      by: order.by,
      reason: order.reason,
      holder: { id: 'h' },
      fenceInfo: {},
      plan: order.plan,
      levels: [['kill']],
      targets: ['process:1'],
      createdAt: OPENED_AT,
      progress: { state: 'blocked', reason: 'kill failed' },
      attempts: [
        {
          level: 0,
          fencer: 'kill',
          number: 1,
          startedAt: OPENED_AT,
          endedAt: OPENED_AT,
          outcome: 'failed',
          output: 'EPERM',
        },
      ],
      proofs: [],
    }
    this.fencesById.set(session, record)
    return Promise.resolve(record)
  }

  readiness(): { ready: boolean; reason: string | null } {
    return this.ready ? { ready: true, reason: null } : { ready: false, reason: 'the view is not current' }
  }

  #fail(): void {
    const failure = this.failure
    this.failure = null
    if (failure !== null) throw failure
  }

  #grant(lock: LockName, session: SessionId, mode: LockMode): AcquireResult {
    this.#next += 1
    const grant = { lock, mode, token: String(this.#next), acquiredAt: OPENED_AT, session }
    this.owners.set(lock, grant)
    return { kind: 'granted', grant, already: false }
  }

  #held(lock: LockName): AcquireResult {
    return { kind: 'held', owner: this.#owner(lock), waiters: this.queues.get(lock)?.length ?? 0 }
  }

  #owner(lock: LockName): OwnerInfo | null {
    const grant = this.owners.get(lock)
    if (grant === undefined) return null
    const { session, mode, token, acquiredAt } = grant
    const holder = this.sessionsById.get(session)?.holder ?? null
    return { session, holder, mode, token, since: acquiredAt, state: 'open', inFlight: 0, unknown: 0 }
  }

  #progress(id: string, progress: FenceRecord['progress']): FenceRecord {
    const record = this.fencesById.get(id)
    if (record === undefined) throw new GatewayError('fence-unknown', `there is no fence ${id}`)
    const changed = { ...record, progress }
    this.fencesById.set(id, changed)
    return changed
  }
}

function pageOf<Item>(
  all: readonly Item[],
  key: (item: Item) => string,
  { limit, after }: Page,
): Paged<Item> {
  const rest = all
    .toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
    .filter((item) => after === null || key(item) > after)
  const items = rest.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rest.length > limit && last !== undefined ? key(last) : null }
}
