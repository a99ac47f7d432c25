// One gateway's copy of the store's records and queues, applied revision by revision from a snapshot and a watch. It says
// what is; it decides nothing, and writes nothing.

import type { SealCause } from '../core/lock-record.ts'
import type { IncarnationId, LeaseId, LockName, Revision, SessionId } from '../core/names.ts'
import type { JournaledFence } from '../spi/fence-journal.ts'
import type { KeyValue, Snapshot, StoreEvent } from '../spi/store.ts'
import { damageOf } from './damage.ts'
import { causeOfEnd, noLease } from './foreign-keys.ts'
import { KnownKeys } from './known-keys.ts'
import type { Layout } from './layout.ts'
import { type LiveGrant, LockState, type QueuedWaiter } from './lock-state.ts'
import { readGrants } from './read-grants.ts'
import {
  bindingRecords,
  fenceRecords,
  formatReadByAll,
  gatewayRecords,
  isOfNewerFormat,
  lockRecords,
  sessionRecords,
  UNREADABLE_GATEWAY,
  type Watermark,
  watermarks,
} from './records.ts'
import { SessionLocks } from './session-locks.ts'
import { depart, nothingTouched, type Touched } from './touched.ts'
import type { UnreadableFence } from './unreadable-fence.ts'
import type { KnownGateway, KnownSession, ViewOptions } from './view-terms.ts'
import { waiterWords } from './waiter-words.ts'

export type { KnownGateway, KnownSession, ViewChange } from './view-terms.ts'

export class View {
  readonly layout: Layout
  readonly #options: ViewOptions
  readonly #keys = new KnownKeys()
  readonly locks = new Map<LockName, LockState>()
  readonly sessions = new Map<SessionId, KnownSession>()
  /** Sessions whose record cannot be read: nobody here knows whom to fence for them. */
  readonly damagedSessions = new Set<SessionId>()
  /** Leases that live: each waiter's lease carries a canary key of ours. */
  readonly canaries = new Set<LeaseId>()
  readonly fences = new Map<string, JournaledFence>()
  /** Fence records that cannot be read: what they stand against stays closed. */
  readonly damagedFences = new Map<string, UnreadableFence>()
  readonly gateways = new Map<string, KnownGateway>()
  readonly watermarks = new Map<string, Watermark>()
  /** By digest: whose a mark on a call is. */
  readonly bindings = new Map<string, SessionId>()
  /**
   * Live grants by create revision: what the check looks up first. Where two locks' keys came in one transaction of a
   * foreign client they share it, and only one is found here.
   */
  readonly grants = new Map<number, LiveGrant>()
  /** The sources that the gateways go by ('' for none), and since when: keys from before were in no order with ours. */
  sources: { readonly text: string; readonly since: number } = { text: '', since: 0 }
  /** Locks in which a session has a grant or a waiter key. */
  readonly locksOf: ReadonlyMap<SessionId, ReadonlySet<LockState>>
  readonly #index = new SessionLocks()
  #applied = 0
  #loaded = false

  constructor(options: ViewOptions) {
    this.#options = options
    this.layout = options.layout
    this.locksOf = this.#index.locksOf
  }

  /** Everything up to this revision has been applied. 0 before the first snapshot. */
  get applied(): number {
    return this.#applied
  }

  /** The lock's state, made where there is none yet. */
  lock(name: LockName): LockState {
    let state = this.locks.get(name)
    if (state === undefined) {
      state = new LockState(name, this.layout)
      this.locks.set(name, state)
    }
    return state
  }

  /** Forgets a lock of which nothing is left to say. */
  tidy(state: LockState): void {
    if (state.empty && this.locks.get(state.name) === state) this.locks.delete(state.name)
    else state.fold()
  }

  /** Replaces what is known by a snapshot, as one change: what it lacks is taken as deleted. */
  load(snapshot: Snapshot): void {
    const touched = nothingTouched()
    if (this.#applied === 0 && this.locks.size === 0) for (const kv of snapshot.items) this.#put(kv, touched)
    else this.#take(this.#keys.changesTo(snapshot.items, this), touched)
    this.#applyTouched(snapshot.revision, touched)
    this.#loaded = true
  }

  apply(revision: Revision, events: readonly StoreEvent[]): void {
    const touched = nothingTouched()
    this.#take(events, touched)
    this.#applyTouched(revision, touched)
  }

  #take(events: readonly StoreEvent[], touched: Touched): void {
    for (const event of events) {
      if (event.type === 'put') this.#put(event.kv, touched)
      else this.#delete(event.key, touched)
    }
  }

  #applyTouched(revision: Revision, touched: Touched): void {
    // A fence that an operator ordered condemns the session's grants before any gateway has written their seals. What becomes of it
    // later changes no grant, and there may be very many of them.
    for (const session of touched.condemnations)
      for (const lock of this.locksOf.get(session) ?? [])
        if (!this.#isOverFor(session, lock)) touched.locks.add(lock)
    // Judged after all of the revision is applied: whether a lease ended is seen by what else went with it.
    for (const lock of touched.locks) {
      this.#reconcile(lock, touched.departed.get(lock) ?? [])
      lock.fold()
    }
    this.#applied = Math.max(this.#applied, revision)
    this.#options.onChange({ revision, ...touched })
    for (const lock of touched.locks) {
      lock.tellListeners()
      this.tidy(lock)
    }
  }

  progress(revision: Revision): void {
    if (revision > this.#applied) this.apply(revision, [])
  }

  /** Whether there is a fence of this session, though it may be unreadable: then the session is over. */
  condemned(session: SessionId): boolean {
    return this.fences.has(session) || this.damagedFences.has(session)
  }

  /** The newest format in which records may be written. */
  get format(): number {
    return formatReadByAll([...this.gateways.values()].map(({ record }) => record))
  }

  /** Why an open grant has to be sealed, or null where it stands. */
  ending(lock: LockState, grant: { createRevision: number; session: SessionId }): SealCause | null {
    const ended = lock.endings.get(grant.createRevision)
    if (ended !== undefined) return ended
    return this.condemned(grant.session) ? 'revoked' : null
  }

  #put(kv: KeyValue, touched: Touched): void {
    const meaning = this.layout.meaning(kv.key)
    this.#keys.put(meaning, kv)
    switch (meaning.kind) {
      case 'waiter': {
        const lock = this.lock(meaning.lock)
        const waiter: QueuedWaiter = {
          key: kv.key,
          createRevision: kv.createRevision,
          modRevision: kv.modRevision,
          session: this.#index.add(kv.lease ?? meaning.lease ?? noLease(kv.createRevision), lock),
          mode: meaning.mode,
          leased: kv.lease !== null,
          ...waiterWords(kv.value),
          seenAtMs: this.#loaded ? this.#options.clock.monotonicMs() : null,
        }
        // Gone and come again between two snapshots, or hung on another lease.
        for (const other of lock.enqueue(waiter)) depart(touched, lock, other.session)
        touched.locks.add(lock)
        return
      }
      case 'lock-record': {
        const lock = this.lock(meaning.lock)
        const record = lockRecords.decode(kv.value)
        lock.record = record?.lock === meaning.lock ? record : null
        lock.recordRevision = kv.modRevision
        for (const grant of lock.record?.grants ?? []) this.#index.add(grant.session, lock)
        touched.locks.add(lock)
        return
      }
      case 'session': {
        const record = sessionRecords.decode(kv.value)
        if (record === null) {
          this.damagedSessions.add(meaning.session)
          this.sessions.delete(meaning.session)
        } else {
          this.damagedSessions.delete(meaning.session)
          this.sessions.set(meaning.session, {
            record,
            createRevision: kv.createRevision,
            modRevision: kv.modRevision,
          })
        }
        touched.sessions.add(meaning.session)
        this.#touchLocksOf(meaning.session, touched)
        return
      }
      case 'canary':
        if (kv.lease === meaning.lease) this.canaries.add(meaning.lease)
        touched.sessions.add(meaning.lease)
        this.#touchLocksOf(meaning.lease, touched)
        return
      case 'fence': {
        if (!this.condemned(meaning.id)) touched.condemnations.add(meaning.id)
        const record = fenceRecords.decode(kv.value)
        if (record === null) {
          const seenAt = new Date(this.#options.clock.wallMs()).toISOString()
          const isNewer = isOfNewerFormat(kv.value)
          this.damagedFences.set(meaning.id, { modRevision: kv.modRevision, isNewer, seenAt })
          this.fences.delete(meaning.id)
        } else {
          this.damagedFences.delete(meaning.id)
          this.fences.set(meaning.id, { record, modRevision: kv.modRevision })
        }
        touched.fences.add(meaning.id)
        return
      }
      case 'gateway': {
        const record = gatewayRecords.decode(kv.value)
        const incarnation = meaning.incarnation as IncarnationId
        // Unreadable is treated as serving: whoever it is, it may have calls open.
        this.gateways.set(meaning.incarnation, {
          incarnation,
          readable: record !== null,
          record: record ?? UNREADABLE_GATEWAY,
          createRevision: kv.createRevision,
          modRevision: kv.modRevision,
        })
        touched.gateways = true
        return
      }
      case 'binding': {
        // What hangs on another lease than its session's would outlive it: then it is nobody's.
        const session = bindingRecords.decode(kv.value)?.session
        if (session !== undefined && session === kv.lease) this.bindings.set(meaning.digest, session)
        else this.bindings.delete(meaning.digest)
        return
      }
      case 'sources':
        this.sources = { text: kv.value, since: kv.modRevision }
        touched.sources = true
        return
      case 'watermark': {
        const watermark = watermarks.decode(kv.value)
        this.watermarks.set(meaning.incarnation, watermark ?? { beat: 0, sealed: 0, open: [] })
        touched.watermarks = true
        return
      }
      case 'foreign':
        return
    }
  }

  #delete(key: string, touched: Touched): void {
    const meaning = this.layout.meaning(key)
    this.#keys.delete(meaning, key)
    switch (meaning.kind) {
      case 'waiter': {
        const lock = this.lock(meaning.lock)
        for (const waiter of lock.queue) if (waiter.key === key) depart(touched, lock, waiter.session)
        lock.queue = lock.queue.filter((waiter) => waiter.key !== key)
        touched.locks.add(lock)
        return
      }
      case 'lock-record': {
        const lock = this.lock(meaning.lock)
        lock.record = null
        lock.recordRevision = 0
        touched.locks.add(lock)
        return
      }
      case 'session':
        this.sessions.delete(meaning.session)
        this.damagedSessions.delete(meaning.session)
        touched.sessions.add(meaning.session)
        return
      case 'canary':
        this.canaries.delete(meaning.lease)
        touched.sessions.add(meaning.lease)
        return
      case 'fence':
        this.fences.delete(meaning.id)
        this.damagedFences.delete(meaning.id)
        touched.fences.add(meaning.id)
        touched.condemnations.add(meaning.id)
        return
      case 'gateway':
        this.gateways.delete(meaning.incarnation)
        touched.gateways = true
        return
      case 'binding':
        this.bindings.delete(meaning.digest)
        return
      case 'sources':
        this.sources = { text: '', since: 0 }
        touched.sources = true
        return
      case 'watermark':
        this.watermarks.delete(meaning.incarnation)
        touched.watermarks = true
        return
      case 'foreign':
        return
    }
  }

  /** It has nothing there any more that a fence of it could end: its keys are gone, as where it expired. */
  #isOverFor(session: SessionId, { damage, queue, record, endings }: LockState): boolean {
    if (damage !== null || queue.some((waiter) => waiter.session === session)) return false
    return (record?.grants ?? []).every(
      (grant) => grant.session !== session || grant.state === 'sealed' || endings.has(grant.createRevision),
    )
  }

  #touchLocksOf(session: SessionId, touched: Touched): void {
    for (const lock of this.locksOf.get(session) ?? []) touched.locks.add(lock)
  }

  /** Brings the live grants in line with record and queue, and seals those that are over. */
  #reconcile(lock: LockState, departed: readonly SessionId[]): void {
    const { layout, canaries } = this
    const before = lock.live
    lock.setDamage(damageOf(layout, lock, this.damagedSessions))
    if (lock.damage !== null && lock.record === null) {
      // Nothing is admitted, but what is open here stays known: other gateways, who can read the record, wait for it.
      for (const grant of lock.live) this.#hide(grant)
      for (const waiter of departed) this.#index.reconsider(waiter, lock)
      return
    }
    const { live, endings, over, narrowed } = readGrants(lock, {
      causeOf: (grant) => causeOfEnd(layout, lock.name, grant, canaries.has(grant.session)),
      condemned: (session) => this.condemned(session),
      nameOf: (session) => this.#index.nameOf(session),
    })
    for (const grant of live)
      if (lock.damage !== null) this.#hide(grant)
      else if (!this.grants.has(grant.createRevision)) this.grants.set(grant.createRevision, grant)
    lock.live = live
    lock.endings = endings
    // Only now: what a call does when it hears of it may have the lock looked at, as a whole.
    for (const grant of narrowed) {
      grant.narrow()
      this.#options.onNarrowed(grant)
    }
    for (const grant of over) this.#seal(grant)
    for (const grant of before)
      if (!live.includes(grant)) {
        // Nothing may be admitted under it, whatever made it vanish from the record.
        grant.seal()
        this.#hide(grant)
        this.#options.onClosed(grant)
        this.#index.reconsider(grant.session, lock)
      }
    for (const waiter of departed) this.#index.reconsider(waiter, lock)
  }

  /** From the check of a call, which then goes the long way and finds the damage. */
  #hide(grant: LiveGrant): void {
    if (this.grants.get(grant.createRevision) === grant) this.grants.delete(grant.createRevision)
  }

  #seal(grant: LiveGrant): void {
    if (grant.sealed) return
    grant.seal()
    this.#options.onSealed(grant)
  }
}
