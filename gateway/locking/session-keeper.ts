// Sessions: opened with a record that outlives the lease, renewed, closed, and tidied away once nothing is due any more.

import { GatewayError } from '../core/errors.ts'
import type { LeaseId, Revision, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { HolderIdentity } from '../spi/control-plane.ts'
import type { EventSink } from '../spi/events.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import {
  LeaseGone,
  type Store,
  StoreUnavailable,
  type Transaction,
  type TransactionResult,
} from '../spi/store.ts'
import { isUnsealed } from './holders.ts'
import type { Layout } from './layout.ts'
import type { Precedence } from './precedence.ts'
import { type SessionRecord, sessionRecords } from './records.ts'
import type { StepBatch } from './step-batch.ts'
import type { View } from './view.ts'

/**
 * Far below what a transaction may have: all of it goes into the fence's record, beside what each attempt has said, and a
 * fence that does not fit into the store could never be written down.
 */
const SESSION_BYTES_MAX = 65_536

export interface SessionKeeperOptions {
  readonly store: Store
  readonly steps: StepBatch
  readonly precedence: Precedence
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly planner: FencePlanner
  readonly ttlMsMin: number
  readonly ttlMsMax: number
  readonly caughtUp: (revision: Revision) => Promise<unknown>
}

export interface SessionRequest {
  readonly ttlMs: number
  readonly holder: HolderIdentity
  readonly fenceInfo: Readonly<Record<string, unknown>>
  readonly plan: string | null
}

export class SessionKeeper {
  readonly #options: SessionKeeperOptions
  readonly #expiresAtMs = new Map<SessionId, number>()
  /** With a record and without a lease: what they held is about to be fenced, or is not tidied away yet. */
  readonly #lapsed = new Set<SessionId>()

  constructor(options: SessionKeeperOptions) {
    this.#options = options
  }

  /** Wall clock; null where this gateway has seen no renewal. */
  expiresAtMs(session: SessionId): number | null {
    return this.#expiresAtMs.get(session) ?? null
  }

  async open(request: SessionRequest): Promise<SessionId> {
    const { store, layout, clock, events, ttlMsMin, ttlMsMax } = this.#options
    if (request.ttlMs < ttlMsMin || request.ttlMs > ttlMsMax)
      throw new GatewayError(
        'bad-request',
        `ttl must be from ${ttlMsMin / 1000} to ${ttlMsMax / 1000} seconds`,
      )
    const { plan, fenceInfo, targets } = this.#plan(request)
    this.#refuseRevived(targets)
    const renewedAtMs = clock.wallMs()
    const openedAt = new Date(renewedAtMs).toISOString()
    const said = { holder: request.holder, fenceInfo, plan, targets, openedAt }
    refuseLarge({ ...said, ttlMs: request.ttlMs })
    const { lease, ttlMs } = await store.grantLease(request.ttlMs)
    const record: SessionRecord = { ...said, ttlMs }
    const { revision } = await this.#write({
      compare: [{ key: layout.session(lease), createRevision: 0 }],
      writes: [
        { put: layout.session(lease), value: sessionRecords.encode(record) },
        { put: layout.canary(lease), value: '', lease },
      ],
    })
    this.#expiresAtMs.set(lease, renewedAtMs + ttlMs)
    // What ended before this session began is seen only now: until then nobody knows the session, so nobody can use it.
    const isCurrent = await this.#options.caughtUp(revision)
    try {
      if (isCurrent !== true) throw new StoreUnavailable('the view could not be brought up to date')
      this.#refuseRevived(targets)
    } catch (error) {
      await this.#withdraw(lease)
      throw error
    }
    events({ type: 'session.opened', session: lease, detail: request.holder.id })
    return lease
  }

  /** False once the session is over: its lease ended, or an operator has it fenced. */
  async keepAlive(session: SessionId): Promise<boolean> {
    const { store, view, clock } = this.#options
    if (!(await this.known(session)) || view.condemned(session)) return false
    const renewedAtMs = clock.wallMs()
    const state = await store.keepAlive(session)
    if (state === null) {
      this.#expiresAtMs.delete(session)
      return false
    }
    // Closed meanwhile, elsewhere: nobody would ever forget it.
    if (view.sessions.has(session)) this.#expiresAtMs.set(session, renewedAtMs + state.ttlMs)
    return true
  }

  /**
   * Takes the record away: whoever queues compares it, so from now on the session gets nothing new. Whether the view shows
   * all that it had got until then. Only for a session that has given back what it was seen to hold, as without its record
   * it could not be fenced.
   */
  async forget(session: SessionId): Promise<boolean> {
    const { store, layout } = this.#options
    const { revision } = await store.transact({ compare: [], writes: [{ delete: layout.session(session) }] })
    return (await this.#options.caughtUp(revision)) === true
  }

  /** To be called after all that the session held was released. */
  async end(session: SessionId): Promise<void> {
    const { store, events } = this.#options
    await store.revokeLease(session)
    this.#expiresAtMs.delete(session)
    events({ type: 'session.closed', session })
  }

  /** Whether there is a record of it; asks the store where the view has none, as another gateway may have opened it. */
  async known(session: SessionId): Promise<boolean> {
    const { store, layout, view } = this.#options
    if (view.sessions.has(session)) return true
    if (view.damagedSessions.has(session))
      throw new GatewayError(
        'store-unavailable',
        `the record of session ${session} cannot be read by this version of the gateway: ask another one`,
      )
    const key = layout.session(session)
    const stored = (await store.read(key)).items.find((item) => item.key === key)
    if (stored === undefined) return false
    await this.#options.caughtUp(stored.modRevision)
    return view.sessions.has(session)
  }

  /**
   * Deletes the records of sessions that are over and of which nothing is due. `mine`: those alone with which this gateway goes
   * first, as all of them see at once that a session is over; what one has left undone the others find in their sweep.
   */
  tidy(sessions: Iterable<SessionId>, which: 'mine' | 'all'): void {
    const { view, precedence } = this.#options
    for (const session of sessions) {
      const known = view.sessions.get(session)
      if (known === undefined) this.#expiresAtMs.delete(session)
      if (known === undefined || view.canaries.has(session)) this.#lapsed.delete(session)
      else this.#lapsed.add(session)
      if (known === undefined || view.canaries.has(session) || view.locksOf.has(session)) continue
      const fence = view.fences.get(session)
      if (view.damagedFences.has(session)) continue
      if (fence !== undefined && fence.record.progress.state !== 'closed') continue
      this.#expiresAtMs.delete(session)
      if (which === 'all' || precedence.goesFirstWith(session)) void this.#delete(session, known.modRevision)
    }
  }

  async #delete(session: SessionId, modRevision: Revision): Promise<void> {
    const { steps, layout } = this.#options
    const key = layout.session(session)
    try {
      await steps.transact({ compare: [{ key, modRevision }], writes: [{ delete: key }] })
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // The next sweep finds it again.
    }
  }

  async #withdraw(session: SessionId): Promise<void> {
    const { store, layout } = this.#options
    this.#expiresAtMs.delete(session)
    try {
      await store.transact({ compare: [], writes: [{ delete: layout.session(session) }] })
      await store.revokeLease(session)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // Its lease ends by itself, and its record is then tidied away.
    }
  }

  async #write(transaction: Transaction): Promise<TransactionResult> {
    try {
      return await this.#options.store.transact(transaction)
    } catch (error) {
      // The lease ran out before it was used: we stood still, or the store answered too late. Nobody knows it yet.
      if (error instanceof LeaseGone)
        throw new StoreUnavailable('the lease ended before the session was written')
      throw error
    }
  }

  #plan(request: SessionRequest): {
    plan: string | null
    fenceInfo: Readonly<Record<string, unknown>>
    targets: readonly string[]
  } {
    const { planner } = this.#options
    const plan = request.plan ?? planner.defaultPlan
    if (plan === null) return { plan, fenceInfo: request.fenceInfo, targets: [] }
    if (planner.levels(plan) === null)
      throw new GatewayError(
        'plan-unknown',
        `there is no fence plan ${JSON.stringify(plan)} in the configuration`,
        { plan },
      )
    const filled = planner.fillFenceInfo?.(plan, request) ?? { kind: 'filled', fenceInfo: request.fenceInfo }
    const check = filled.kind === 'faulty' ? filled : planner.checkFenceInfo(plan, filled.fenceInfo)
    if (check.kind === 'faulty')
      throw new GatewayError(
        'fence-info',
        `fenceInfo does not satisfy plan ${plan}: ${check.faults.join('; ')}`,
        {
          plan,
          faults: check.faults,
        },
      )
    return { plan, fenceInfo: check.fenceInfo, targets: check.targets }
  }

  /** A holder who is being fenced, or is about to be, must not come back under a new name for what will be struck. */
  #refuseRevived(targets: readonly string[]): void {
    if (targets.length === 0) return
    const { view } = this.#options
    for (const { record } of view.fences.values())
      if (record.progress.state !== 'closed') refuseShared(targets, record.targets, record.id)
    for (const session of this.#lapsed)
      if (!view.fences.has(session) && isUnsealed(view, session))
        refuseShared(targets, view.sessions.get(session)?.record.targets ?? [], session)
  }
}

function refuseShared(targets: readonly string[], fenced: readonly string[], fence: string): void {
  const target = fenced.find((other) => targets.includes(other))
  if (target === undefined) return
  const detail = `fence ${fence} against ${target} is not closed yet; wait for it`
  throw new GatewayError('fence-due', detail, { fence, target })
}

export type { LeaseId }

function refuseLarge(record: SessionRecord): void {
  const bytes = Buffer.byteLength(sessionRecords.encode(record))
  if (bytes > SESSION_BYTES_MAX)
    throw new GatewayError(
      'too-large',
      `what is to be kept of the session (holder, fenceInfo, and what its plan adds) has ${bytes} bytes: send at most ${SESSION_BYTES_MAX}`,
    )
}
