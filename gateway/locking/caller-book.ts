// Which session each mark on a call belongs to, as this gateway has applied it, and how something is bound. A binding is a
// key on its session's lease, so it is gone with it, and one key has one owner; what it says for the fence stands in the
// session's record, which outlives the lease.

import { type BindingWay, callerValue } from '../core/caller.ts'
import { GatewayError } from '../core/errors.ts'
import { asLeaseId, type Revision, type SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { CallerBook, CallerClaims, CallerFinding, OpenedLogin } from '../spi/callers.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { LeaseGone, type Store, StoreUnavailable, type Transaction, type Write } from '../spi/store.ts'
import { CallerDigests } from './caller-digest.ts'
import type { Layout } from './layout.ts'
import { bindingRecords, type RecordedBinding, type SessionRecord, sessionRecords } from './records.ts'
import type { View } from './view.ts'

/** Of one session. Of logins the oldest then makes room: whoever never logs out is not to grow for ever. */
export const BINDINGS_MAX = 256
const SWAPS_MAX = 8
/** So many calls at once may wait for the store to say who they are. */
const ASKING_MAX = 256

export interface BookOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  /** Whether there is such a session; asks the store where the view has none. */
  readonly known: (session: SessionId) => Promise<boolean>
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  /** True once the view holds all that the store held when it was asked. */
  readonly catchUp: () => Promise<boolean>
}

export interface BindingRequest {
  readonly session: SessionId
  readonly realm: string
  readonly by: BindingWay
  /** In the spelling of `callerValue`. */
  readonly value: string
}

const UNKNOWN: CallerFinding = { kind: 'unknown' }

export class StoredCallers implements CallerBook {
  readonly #options: BookOptions
  readonly #digests = new CallerDigests()
  #asking = 0

  constructor(options: BookOptions) {
    this.#options = options
  }

  find({ realm, claims, opening }: CallerClaims): CallerFinding {
    const { view } = this.#options
    let found: SessionId | null = null
    let named = false
    let stranger = false
    for (const { by, value } of claims) {
      let session: SessionId | undefined
      if (by === 'header') {
        named = true
        const lease = asLeaseId(value)
        session = lease !== null && view.sessions.has(lease) && view.canaries.has(lease) ? lease : undefined
        // Whoever names a session that is over is not to be taken for the next one on the same machine.
        if (session === undefined) return UNKNOWN
      } else {
        session = view.bindings.get(this.#digests.of(realm, by, value))
        if (session === undefined && by === 'session') stranger = true
      }
      if (session === undefined) continue
      if (found !== null && found !== session) return conflict(found, session)
      found = session
    }
    // A backend session that no login through the gateway has opened for him may be that of a process before him: of such
    // a call neither its account nor its machine says whose it is.
    if (found === null || (stranger && !named && opening !== true)) return UNKNOWN
    return { kind: 'known', session: found }
  }

  async findCurrent(caller: CallerClaims): Promise<CallerFinding> {
    const found = this.find(caller)
    if (found.kind !== 'unknown' || caller.claims.length === 0) return found
    return (await this.refresh()) ? this.find(caller) : found
  }

  /** False where the view could not be brought up to date, or too many ask for that. */
  async refresh(): Promise<boolean> {
    if (this.#asking >= ASKING_MAX) return false
    this.#asking++
    try {
      return await this.#options.catchUp()
    } finally {
      this.#asking--
    }
  }

  /** Idempotent. Throws `GatewayError`: the session is over, or another one has it. */
  async bind(request: BindingRequest): Promise<void> {
    const { clock } = this.#options
    const { realm, by, value } = request
    const digest = this.#digests.of(realm, by, value)
    const at = new Date(clock.wallMs()).toISOString()
    const secret = by === 'session' ? {} : { value }
    await this.#enter(request.session, [{ realm, by, digest, ...secret, at }], false)
  }

  async learn(session: SessionId, realm: string, opened: OpenedLogin): Promise<Refusal | null> {
    const { clock, events } = this.#options
    const at = new Date(clock.wallMs()).toISOString()
    const values = opened.sessions.map((written) => callerValue('session', written)).filter((v) => v !== null)
    const [first, ...others] = [...new Set(values)].map((value): RecordedBinding => {
      const digest = this.#digests.of(realm, 'session', value)
      return { realm, by: 'session', digest, at }
    })
    if (first === undefined) return unlearnt('the answer names no session')
    const { collect, note } = opened
    try {
      await this.#enter(session, [{ ...first, collect, note }, ...others], true)
    } catch (error) {
      if (error instanceof GatewayError || error instanceof StoreUnavailable) return unlearnt(error.message)
      throw error
    }
    events({ type: 'caller.bound', session, backend: realm, detail: 'a login through the gateway' })
    return null
  }

  async forget({ realm, claims }: CallerClaims): Promise<void> {
    const digests = claims
      .filter(({ by }) => by === 'session')
      .map(({ by, value }) => this.#digests.of(realm, by, value))
    for (const digest of digests) {
      const session = this.#options.view.bindings.get(digest)
      if (session === undefined) continue
      try {
        await this.#swap(session, (record) => ({
          bindings: (record.bindings ?? []).filter((binding) => binding.digest !== digest),
          compare: [],
          writes: [{ delete: this.#options.layout.binding(digest) }],
        }))
      } catch (error) {
        // It goes with the session's lease, and the backend has ended it already.
        if (!(error instanceof GatewayError || error instanceof StoreUnavailable)) throw error
      }
    }
  }

  async #enter(session: SessionId, entries: readonly RecordedBinding[], isLearnt: boolean): Promise<void> {
    const { layout, view } = this.#options
    if (entries.some(({ digest }) => isTaken(view, digest, session))) {
      // Of a session that may be over by now.
      await this.#options.catchUp()
      for (const { by, digest } of entries)
        if (isTaken(view, digest, session))
          throw new GatewayError(
            'binding-taken',
            `this ${by} is bound to session ${view.bindings.get(digest)}`,
          )
    }
    const value = bindingRecords.encode({ session })
    await this.#swap(session, (record) => {
      const own = new Set(entries.map(({ digest }) => digest))
      const kept = (record.bindings ?? []).filter(({ digest }) => !own.has(digest))
      const dropped: RecordedBinding[] = []
      while (kept.length + entries.length > BINDINGS_MAX) {
        const oldest = isLearnt ? kept.findIndex(({ by }) => by === 'session') : -1
        if (oldest < 0)
          throw new GatewayError('bad-request', `a session has at most ${BINDINGS_MAX} bindings`)
        dropped.push(...kept.splice(oldest, 1))
      }
      const added = entries.filter(({ digest }) => view.bindings.get(digest) !== session)
      return {
        bindings: [...kept, ...entries],
        compare: added.map(({ digest }) => ({ key: layout.binding(digest), createRevision: 0 })),
        writes: [
          ...added.map(({ digest }) => ({ put: layout.binding(digest), value, lease: session })),
          ...dropped.map(({ digest }) => ({ delete: layout.binding(digest) })),
        ],
      }
    })
  }

  /** Rewrites the session's record, with what belongs to that, in one transaction. */
  async #swap(
    session: SessionId,
    change: (record: SessionRecord) => {
      readonly bindings: readonly RecordedBinding[]
      readonly compare: Transaction['compare']
      readonly writes: readonly Write[]
    },
  ): Promise<void> {
    const { store, layout, view, known, caughtUp, catchUp } = this.#options
    for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
      const isKnown = await known(session)
      const current = view.sessions.get(session)
      if (!isKnown || current === undefined || view.condemned(session))
        throw new GatewayError('session-unknown', `session ${session} is over`)
      const { bindings, compare, writes } = change(current.record)
      const key = layout.session(session)
      try {
        const { succeeded, revision } = await store.transact({
          // A fence that is written already would not know of it.
          compare: [
            { key, modRevision: current.modRevision },
            { key: layout.fence(session), createRevision: 0 },
            ...compare,
          ],
          writes: [{ put: key, value: sessionRecords.encode({ ...current.record, bindings }) }, ...writes],
        })
        if (succeeded) {
          if ((await caughtUp(revision)) === false)
            throw new StoreUnavailable('the view could not be brought up to date')
          return
        }
      } catch (error) {
        if (!(error instanceof LeaseGone)) throw error
        throw new GatewayError('session-unknown', `session ${session} is over`)
      }
      if (!(await catchUp())) throw new StoreUnavailable('the view could not be brought up to date')
      for (const compared of compare)
        if (view.bindings.get(compared.key.slice(layout.binding('').length)) !== undefined)
          throw new GatewayError('binding-taken', 'this was bound a moment ago')
    }
    throw new StoreUnavailable(`session ${session} is being changed by others all the time; try again`)
  }
}

function isTaken(view: View, digest: string, session: SessionId): boolean {
  const owner = view.bindings.get(digest)
  return owner !== undefined && owner !== session
}

function conflict(one: SessionId, other: SessionId): CallerFinding {
  return {
    kind: 'conflict',
    refusal: {
      code: 'caller-conflict',
      detail: `one mark of this call belongs to session ${one}, another to session ${other}`,
    },
  }
}

function unlearnt(reason: string): Refusal {
  return {
    code: 'view-not-current',
    detail: `the login was answered, but whose it is could not be written down (${reason}); log in again`,
  }
}
