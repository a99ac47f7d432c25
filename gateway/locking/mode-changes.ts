// Changing the mode of a grant that is held. A downgrade is one write, and can always be had. An upgrade queues like anybody
// else, behind whoever waits already, and is given up where it could only be had by overtaking or by waiting for itself.

import { GatewayError } from '../core/errors.ts'
import { downgrade, type Waiter } from '../core/handover.ts'
import type { Grant, LivingGrant, OpenGrant } from '../core/lock-record.ts'
import type { IncarnationId, LockMode, LockName, Revision, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { LeaseGone, type Store } from '../spi/store.ts'
import type { Conductor } from './conductor.ts'
import { Interest } from './interest.ts'
import type { Layout } from './layout.ts'
import type { LockState } from './lock-state.ts'
import { lockRecords } from './records.ts'
import type { Releases, Writing } from './releases.ts'
import type { View } from './view.ts'
import { upgradeKeyValue } from './waiter-words.ts'

/** Past the deadline, for a step that is under way; and for the drain of an upgrade from which there is no way back. */
const SETTLE_MS_MAX = 2_000
/** A swap that is lost so often is given up: something else happens to this lock all the time. */
const SWAPS_MAX = 16
const LOOK_MS = 50

export interface ModeChangesOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly conductor: Conductor
  readonly releases: Releases
  readonly self: () => IncarnationId
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  readonly newId: () => string
}

export interface ModeChange {
  readonly lock: LockName
  readonly session: SessionId
  /** Of the grant that is held, or of the one that it replaced: then this is a retry. */
  readonly token: number
  readonly mode: LockMode
  readonly waitMs: number
}

/** The grant as it stands after the change. */
export type ChangedGrant = Pick<OpenGrant, 'createRevision' | 'session' | 'mode' | 'openedAt'>

interface Turn {
  readonly lock: LockState
  readonly request: ModeChange
  readonly interest: Interest
  readonly gone: AbortSignal
  readonly deadlineMs: number
}

export class ModeChanges {
  readonly #options: ModeChangesOptions

  constructor(options: ModeChangesOptions) {
    this.#options = options
  }

  /** To be called with a view that is current. Rejects with GatewayError `session-unknown`, `token-mismatch`, `mode-held`, `mode-pending`, or StoreUnavailable. */
  async change(request: ModeChange, gone: AbortSignal): Promise<ChangedGrant> {
    const { view, clock } = this.#options
    const lock = view.lock(request.lock)
    const interest = new Interest(lock)
    const deadlineMs = clock.monotonicMs() + request.waitMs
    const turn: Turn = { lock, request, interest, gone, deadlineMs }
    try {
      for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
        const changed = await this.#attempt(turn)
        if (changed !== 'again') return changed
        await interest.changed(clock, LOOK_MS, gone)
      }
      throw pending(request, 'others change this lock all the time')
    } finally {
      interest.end()
      view.tidy(lock)
    }
  }

  async #attempt(turn: Turn): Promise<ChangedGrant | 'again'> {
    const { lock, request } = turn
    const { session, mode } = request
    if (this.#options.view.condemned(session)) throw sessionOver(session)
    const grant = livingGrant(lock, session, request.token)
    if (grant === null)
      throw new GatewayError(
        'token-mismatch',
        `session ${session} does not hold ${lock.name} with token ${request.token}`,
      )
    if (grant.state === 'changing') {
      if (mode === 'exclusive') return await this.#awaitOpen(turn, grant.createRevision)
      throw pending(request, 'its upgrade is not over yet')
    }
    if (grant.mode === mode) return grant
    if (grant.createRevision !== request.token)
      throw new GatewayError(
        'token-mismatch',
        `token ${request.token} was replaced by ${grant.createRevision}: name that one to change its mode`,
      )
    return mode === 'shared' ? await this.#downgrade(lock, grant) : await this.#upgrade(turn, grant)
  }

  async #downgrade(lock: LockState, grant: OpenGrant): Promise<ChangedGrant | 'again'> {
    const { store, layout, events } = this.#options
    const { record, recordRevision } = lock
    if (record === null) return 'again'
    const put = layout.lockRecord(lock.name)
    const { createRevision, session } = grant
    const { succeeded, revision } = await store.transact({
      compare: [
        { key: put, modRevision: recordRevision },
        { key: grant.key, createRevision },
      ],
      writes: [{ put, value: lockRecords.encode(downgrade(record, createRevision)) }],
    })
    if (!succeeded) return 'again'
    await this.#options.caughtUp(revision)
    events({ type: 'grant.downgraded', lock: lock.name, session, token: String(createRevision) })
    return { ...grant, mode: 'shared' }
  }

  async #upgrade(turn: Turn, from: OpenGrant): Promise<ChangedGrant | 'again'> {
    const { lock, request, gone } = turn
    const { releases, layout } = this.#options
    const { session } = request
    const refusal = this.#refusal(turn, from, null)
    // A try that cannot succeed costs the store nothing.
    if (refusal !== null && (refusal.atOnce || request.waitMs === 0)) throw refusal.error
    // The grant may stand under either of the exclusive names, from an upgrade or a downgrade before.
    const names = [layout.upgrade(lock.name, session), layout.waiter(lock.name, 'exclusive', session)]
    const key = names.find((name) => name !== from.key) ?? from.key
    let writing: Writing | null = null
    let token: Revision | null = null
    try {
      const written = await this.#enqueue(lock, key, from, (next) => {
        writing = next
      })
      if (written === null) {
        writing = null
        return 'again'
      }
      token = written
      const given = await this.#awaitTurn(turn, from, token)
      if (given === null) {
        writing = null
        return await this.#awaitOpen(turn, token)
      }
      await this.#withdraw(lock, session, token, writing)
      writing = null
      // It may have come past the point of no return in the meantime.
      if (lock.granted(token)) return await this.#awaitOpen(turn, token)
      throw gone.aborted ? pending(request, 'the caller is gone') : given
    } finally {
      if (writing !== null && token === null)
        releases.sayLater({ lock: lock.name, session, tokens: null, certain: true, writing })
      else if (writing !== null && token !== null) await this.#withdraw(lock, session, token, writing)
    }
  }

  #withdraw(lock: LockState, session: SessionId, token: Revision, writing: Writing | null): Promise<boolean> {
    return this.#options.releases.giveBack({
      lock: lock.name,
      session,
      tokens: new Set([token]),
      certain: true,
      writing,
    })
  }

  /** The waiter key's create revision, which will be the token; null where the grant is not what it was. */
  async #enqueue(
    lock: LockState,
    key: string,
    from: OpenGrant,
    writes: (writing: Writing) => void,
  ): Promise<Revision | null> {
    const { store, layout, view, newId, self } = this.#options
    const { session } = from
    const known = view.sessions.get(session)
    if (known === undefined) throw sessionOver(session)
    const value = upgradeKeyValue(from.createRevision, newId(), self())
    let createRevision: Revision | null = null
    try {
      for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
        // Withdrawn only where it has not come past the point of no return: as if another had asked for it as well.
        const writing: Writing = { value, modRevision: null, joined: true }
        writes(writing)
        const { succeeded, revision } = await store.transact({
          compare: [
            { key, createRevision: createRevision ?? 0 },
            { key: from.key, createRevision: from.createRevision },
            { key: layout.session(session), createRevision: known.createRevision },
          ],
          writes: [{ put: key, value, lease: session }],
        })
        if (succeeded) {
          writing.modRevision = revision
          const token = createRevision ?? revision
          await this.#options.caughtUp(revision)
          this.#options.events({ type: 'lock.queued', lock: lock.name, session, token: String(token) })
          return token
        }
        // There already: an earlier try, whose answer was lost or that waits still.
        const stored = (await store.read(key)).items.find((item) => item.key === key)
        if (stored === undefined && createRevision === null) return null
        if (stored !== undefined && stored.createRevision === createRevision) return null
        createRevision = stored?.createRevision ?? null
      }
      return null
    } catch (error) {
      if (error instanceof LeaseGone) throw sessionOver(session)
      throw error
    }
  }

  /** Null once there is no way back; else why the upgrade is given up. */
  async #awaitTurn(turn: Turn, from: OpenGrant, token: Revision): Promise<GatewayError | null> {
    const { lock, request, interest, gone, deadlineMs } = turn
    const { view, clock, conductor } = this.#options
    for (;;) {
      if (lock.granted(token)) return null
      const refusal = this.#refusal(turn, from, token)
      if (view.applied >= token && lock.waiterOf(token) === null)
        return refusal?.error ?? sessionOver(request.session)
      if (refusal?.atOnce) return refusal.error
      const remainingMs = deadlineMs - clock.monotonicMs()
      if (gone.aborted || remainingMs <= -SETTLE_MS_MAX || (remainingMs <= 0 && conductor.settled(lock)))
        return refusal?.error ?? pending(request, 'the store has not moved on in time')
      await interest.changed(clock, Math.max(remainingMs, 10), gone)
    }
  }

  /** Nobody else gets the lock any more; what the session itself had in flight drains. */
  async #awaitOpen(turn: Turn, token: Revision): Promise<ChangedGrant> {
    const { lock, request, interest, gone, deadlineMs } = turn
    const { clock, events } = this.#options
    for (;;) {
      const grant = lock.record?.grants.find((other) => other.createRevision === token)
      if (grant === undefined || grant.state === 'sealed') throw sessionOver(request.session)
      // Opened in the store, and here: calls under it are admitted.
      if (grant.state === 'open') {
        events({ type: 'grant.upgraded', lock: lock.name, session: request.session, token: String(token) })
        return grant
      }
      if (gone.aborted || clock.monotonicMs() > deadlineMs + SETTLE_MS_MAX)
        throw pending(
          request,
          `calls under the shared token drain: ${lock.obstacles[0]?.detail ?? 'soon over'}`,
        )
      await interest.changed(clock, Math.max(10, deadlineMs + SETTLE_MS_MAX - clock.monotonicMs()), gone)
    }
  }

  /** What stands against an upgrade now; `atOnce` where waiting would not help. `own`: its token, once it has one. */
  #refusal(
    { lock, request }: Turn,
    from: OpenGrant,
    own: Revision | null,
  ): { readonly error: GatewayError; readonly atOnce: boolean } | null {
    const base = livingGrant(lock, request.session, from.createRevision)
    if (base === null || base.state !== 'open')
      return {
        error: new GatewayError('token-mismatch', `token ${from.createRevision} was given back meanwhile`),
        atOnce: true,
      }
    const isBefore = ({ createRevision }: Waiter) => own === null || createRevision < own
    const writer = lock.queue.find(
      (waiter) =>
        waiter.mode === 'exclusive' &&
        waiter.session !== request.session &&
        !lock.granted(waiter.createRevision) &&
        isBefore(waiter),
    )
    if (writer !== undefined)
      return {
        error: held(
          request,
          `session ${writer.session} waits for it exclusively already${isUpgrade(writer) ? ', to upgrade as well' : ''}, ` +
            'and one of you would wait for the other for ever: release it, and take it anew',
          { waiter: writer.session },
        ),
        atOnce: true,
      }
    const others = (lock.record?.grants ?? []).filter((grant) => grant !== base)
    if (others.length === 0) return null
    const names = others.map((grant) => `${grant.session}${grant.state === 'sealed' ? ' (ending)' : ''}`)
    return {
      error: held(request, `it is shared with ${names.join(', ')}; wait for them with "wait"`, {
        holders: others.map((grant) => grant.session),
      }),
      atOnce: false,
    }
  }
}

function isUpgrade(waiter: Waiter): boolean {
  return waiter.replaces !== undefined && waiter.replaces !== null
}

/** What the session holds by this token, or has by now in place of it. */
function livingGrant(lock: LockState, session: SessionId, token: number): LivingGrant | null {
  const isIt = (grant: Grant): grant is LivingGrant =>
    grant.state !== 'sealed' &&
    grant.session === session &&
    (grant.createRevision === token || grant.replaced === token)
  const grant = lock.record?.grants.find(isIt)
  return grant === undefined || lock.endings.has(grant.createRevision) ? null : grant
}

function held(request: ModeChange, detail: string, about: Record<string, unknown>): GatewayError {
  return new GatewayError('mode-held', detail, { lock: request.lock, ...about })
}

function pending({ lock, token }: ModeChange, detail: string): GatewayError {
  return new GatewayError('mode-pending', `${detail}; ask again with token ${token}`, { lock })
}

function sessionOver(session: SessionId): GatewayError {
  return new GatewayError('session-unknown', `there is no live session ${session}; open one and start over`)
}
