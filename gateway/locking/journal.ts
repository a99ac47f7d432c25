// Fence records for the sequencer, and the operator's words about them: compare-and-swap on what the view shows.

import { GatewayError } from '../core/errors.ts'
import type { FenceRecord } from '../core/fence-record.ts'
import type { IncarnationId, LeaseId, Revision, SessionId } from '../core/names.ts'
import type { SessionCounts } from '../core/storm.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { FenceJournal, JournaledFence, Neighbour } from '../spi/fence-journal.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import type { Store } from '../spi/store.ts'
import { dueFence, type FenceOrder } from './due-fence.ts'
import { knownHolder } from './holders.ts'
import type { Layout } from './layout.ts'
import type { LockState } from './lock-state.ts'
import { neighboursOf } from './neighbours.ts'
import { fenceRecords } from './records.ts'
import { type FenceToConfirm, unreadableFence } from './unreadable-fence.ts'
import type { View, ViewChange } from './view.ts'

const SWAPS_MAX = 16

export interface JournalOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly planner: FencePlanner
  readonly self: () => { readonly id: IncarnationId; readonly lease: LeaseId | null }
  /** Null where the view is provably current. */
  readonly stale: () => string | null
  readonly caughtUp: (revision: Revision) => Promise<unknown>
}

export class Journal implements FenceJournal {
  readonly #options: JournalOptions
  readonly #listeners = new Set<() => void>()
  /** Of those who wait for seals, which every change of a lock may bring. */
  readonly #sealListeners = new Set<() => void>()

  constructor(options: JournalOptions) {
    this.#options = options
  }

  get incarnation(): IncarnationId {
    return this.#options.self().id
  }

  get lease(): LeaseId | null {
    return this.#options.self().lease
  }

  list(): readonly JournaledFence[] {
    return [...this.#options.view.fences.values()]
  }

  get(id: string): JournaledFence | null {
    return this.#options.view.fences.get(id) ?? null
  }

  sessions(): SessionCounts {
    const { canaries, fences, sessions } = this.#options.view
    let ending = 0
    for (const session of sessions.keys()) if (!canaries.has(session) && !fences.has(session)) ending++
    return { alive: canaries.size, ending }
  }

  pendingLocks(id: string): readonly string[] {
    const locks = [...(this.#options.view.locksOf.get(id as SessionId) ?? [])]
    return locks
      .filter(({ record }) => record?.grants.some(({ session }) => session === id) ?? true)
      .map(({ name }) => name)
  }

  neighbours(record: FenceRecord): readonly Neighbour[] {
    return neighboursOf(this.#options.view, record)
  }

  replace(record: FenceRecord, modRevision: Revision): Promise<JournaledFence | null> {
    return this.#swap(record, modRevision)
  }

  /** `modRevision` 0: there is none yet. */
  async #swap(record: FenceRecord, modRevision: Revision | 0): Promise<JournaledFence | null> {
    const { store, layout } = this.#options
    const key = layout.fence(record.id)
    const result = await store.transact({
      compare: [{ key, modRevision }],
      writes: [{ put: key, value: fenceRecords.encode(record) }],
    })
    if (result.succeeded) {
      await this.#options.caughtUp(result.revision)
      return { record, modRevision: result.revision }
    }
    const stored = (await store.read(key)).items.find((item) => item.key === key)
    if (stored !== undefined) await this.#options.caughtUp(stored.modRevision)
    return null
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** To be called after each change of the view. Whoever looks after the fences is not woken for locks alone. */
  changed({ fences, gateways, watermarks }: Pick<ViewChange, 'fences' | 'gateways' | 'watermarks'>): void {
    for (const listener of [...this.#sealListeners]) listener()
    if (fences.size === 0 && !gateways && !watermarks) return
    for (const listener of [...this.#listeners]) listener()
  }

  mayStrike(): boolean {
    return this.#options.stale() === null
  }

  isLive(incarnation: IncarnationId): boolean {
    return incarnation === this.incarnation || this.#options.view.watermarks.has(incarnation)
  }

  async sealedEverywhere(session: string, signal: AbortSignal): Promise<Revision> {
    // Each lock's seal wakes us, and there may be very many: what was found sealed is looked at once more only at the end.
    const pending = [...(this.#options.view.locksOf.get(session as SessionId) ?? [])]
    for (;;) {
      signal.throwIfAborted()
      for (let last = pending.at(-1); last !== undefined && isSealed(last, session); last = pending.at(-1))
        pending.pop()
      const revision = pending.length === 0 ? this.#sealedThrough(session as SessionId) : null
      if (revision !== null) return revision
      await this.#nextChange(signal)
    }
  }

  /** Orders a fence; the session's grants are condemned as soon as the view shows the record. */
  async order(
    session: SessionId,
    order: { readonly by: string; readonly reason: string; readonly plan: string | null },
  ): Promise<FenceRecord> {
    const { store, layout, view, events } = this.#options
    const key = layout.fence(session)
    const sessionKey = layout.session(session)
    for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
      const fence = this.preview(session, order)
      const known = view.sessions.get(session)
      // What the session has told of itself up to now, and nothing later: a login of a moment ago is to be fenced too.
      const asSeen = known === undefined ? [] : [{ key: sessionKey, modRevision: known.modRevision }]
      const result = await store.transact({
        compare: [{ key, createRevision: 0 }, ...asSeen],
        writes: [{ put: key, value: fenceRecords.encode(fence) }],
      })
      if (result.succeeded) {
        await this.#options.caughtUp(result.revision)
        const detail = `ordered by ${order.by}: ${order.reason}`
        events({ type: 'fence.due', fence: session, session, detail })
        return fence
      }
      const stored = (await store.read([key, sessionKey])).items
      const found = stored.find((item) => item.key === key)
      const newest = found ?? stored.find((item) => item.key === sessionKey)
      if (newest !== undefined) await this.#options.caughtUp(newest.modRevision)
      // Asked again, or expired meanwhile: one session has one fence.
      if (found !== undefined) return this.#known(session).record
      if (newest === undefined && view.sessions.has(session)) await this.#options.caughtUp(result.revision)
    }
    throw new GatewayError('store-unavailable', `session ${session} is being changed all the time; try again`)
  }

  /** The record of a fence that is ordered now; nothing is written. */
  preview(session: SessionId, order: Omit<FenceOrder, 'cause'>): FenceRecord {
    const { view, planner, clock } = this.#options
    if (!view.sessions.has(session) && !view.locksOf.has(session))
      throw new GatewayError('session-unknown', `there is no session ${session}`)
    if (order.plan !== null && planner.levels(order.plan) === null)
      throw new GatewayError(
        'plan-unknown',
        `there is no fence plan ${JSON.stringify(order.plan)} in the configuration`,
      )
    const now = new Date(clock.wallMs()).toISOString()
    return dueFence(session, knownHolder(view, session), { cause: 'operator', ...order }, planner, now)
  }

  retry(id: string): Promise<FenceRecord> {
    return this.#change(id, (record) => {
      if (record.progress.state === 'due' || record.progress.state === 'running') return record
      if (record.progress.state === 'closed')
        throw new GatewayError(
          'fence-state',
          `fence ${id} is closed (${record.progress.outcome}); nothing is left to do`,
        )
      if (record.levels.length === 0)
        throw new GatewayError(
          'fence-state',
          `fence ${id} has no fencer that could be tried; confirm it once the holder is known to be dead`,
        )
      return { ...record, released: true, progress: { state: 'due', level: 0 } }
    })
  }

  async confirm(id: string, word: { readonly by: string; readonly reason: string }): Promise<FenceRecord> {
    let before: FenceRecord | null = null
    const after = await this.#change(id, (record) => {
      before = record
      if (unreadableFence(this.#options.view, id)?.isNewer === true)
        throw new GatewayError(
          'fence-state',
          `fence ${id} was recorded by a newer version of the gateway; confirm it at one of that version`,
        )
      if (record.progress.state === 'closed') return record
      const closedAt = new Date(this.#options.clock.wallMs()).toISOString()
      return {
        ...record,
        fenceInfo: this.#options.planner.secrets?.removed(record.fenceInfo) ?? record.fenceInfo,
        progress: { state: 'closed', outcome: 'confirmed', closedAt, by: word.by, reason: word.reason },
      }
    })
    if (after !== before) {
      const { clock, events } = this.#options
      events({
        type: 'fence.closed',
        fence: id,
        session: id,
        verdict: 'confirmed',
        detail: `confirmed by ${word.by}: ${word.reason}`,
        durationMs: Math.max(0, clock.wallMs() - Date.parse(after.createdAt)),
      })
    }
    return after
  }

  async #change(id: string, change: (record: FenceRecord) => FenceRecord): Promise<FenceRecord> {
    for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
      const { record, modRevision } = this.#known(id)
      const next = change(record)
      if (next === record || (await this.#swap(next, modRevision)) !== null) return next
    }
    throw new GatewayError(
      'store-unavailable',
      `fence ${id} is being changed by others all the time; try again`,
    )
  }

  #known(id: string): JournaledFence | FenceToConfirm {
    const fence = this.get(id) ?? unreadableFence(this.#options.view, id)
    if (fence === null) throw new GatewayError('fence-unknown', `there is no fence ${JSON.stringify(id)}`)
    return fence
  }

  /** The revision up to which every gateway has reported its seals, or null while one of the session's stands out. */
  #sealedThrough(session: SessionId): Revision | null {
    const { view } = this.#options
    let needed = 0
    for (const lock of view.locksOf.get(session) ?? [])
      for (const grant of lock.record?.grants ?? []) {
        if (grant.session !== session) continue
        if (grant.state !== 'sealed') return null
        needed = Math.max(needed, lock.recordRevision)
      }
    let through = view.applied
    for (const gateway of view.gateways.values()) {
      if (gateway.incarnation === this.incarnation || gateway.record.state === 'gone') continue
      const watermark = view.watermarks.get(gateway.incarnation)
      // Without a watermark its lease is over: what it may have had open is the barrier's business.
      if (watermark === undefined) continue
      // It admits nothing with a view that does not hold its own registration.
      const applied = Math.max(watermark.sealed, gateway.createRevision)
      if (applied < needed) return null
      through = Math.min(through, applied)
    }
    return through as Revision
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const changed = () => {
        this.#sealListeners.delete(changed)
        signal.removeEventListener('abort', abort)
        resolve()
      }
      const abort = () => {
        this.#sealListeners.delete(changed)
        reject(signal.reason)
      }
      this.#sealListeners.add(changed)
      signal.addEventListener('abort', abort, { once: true })
    })
  }
}

function isSealed({ record }: LockState, session: string): boolean {
  return record?.grants.every((grant) => grant.session !== session || grant.state === 'sealed') ?? true
}
