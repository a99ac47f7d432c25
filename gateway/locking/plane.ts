// What the control API asks of this room, over the parts that know: sessions, queue, journal, view.

import { GatewayError } from '../core/errors.ts'
import { fenceStateWord } from '../core/fence-record.ts'
import type { LockName, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { ControlPlane } from '../spi/control-plane.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { StoredCallers } from './caller-book.ts'
import { foreignHolder } from './holders.ts'
import type { Journal } from './journal.ts'
import { describeLock, describeSession, grantInfo, ownersOf, page, type Signer } from './listings.ts'
import type { LockQueue } from './queue.ts'
import type { SessionKeeper } from './session-keeper.ts'
import { unreadableFence } from './unreadable-fence.ts'
import type { View } from './view.ts'
import type { Vouching } from './vouching.ts'

export interface PlaneParts {
  readonly store: Store
  readonly view: View
  readonly clock: Clock
  readonly sessions: SessionKeeper
  readonly queue: LockQueue
  readonly journal: Journal
  readonly planner: FencePlanner
  readonly vouching: Vouching
  readonly callers: StoredCallers
  /** Null where tokens are not signed. */
  readonly sign: Signer | null
  /** Null where mutating calls are admitted; else why not. */
  readonly stale: () => string | null
  /** True once the view holds all that the store held when it was asked. */
  readonly catchUp: () => Promise<boolean>
}

export function makeControlPlane(parts: PlaneParts): ControlPlane {
  const { view, clock, sessions, queue, journal, vouching, sign, callers } = parts
  const { secrets } = parts.planner
  const shown = <Shown extends { readonly fenceInfo: Readonly<Record<string, unknown>> }>(told: Shown) =>
    secrets === undefined ? told : { ...told, fenceInfo: secrets.hidden(told.fenceInfo) }
  const showLock = (name: LockName) => ({
    ...describeLock(view, name, clock),
    unknown: vouching.unknown(name),
  })
  const fenceOf = (id: string) => {
    const record = view.fences.get(id)?.record ?? unreadableFence(view, id)?.record
    return record === undefined ? null : shown(record)
  }
  const describe = (session: SessionId) => {
    const info = describeSession(view, session, sessions.expiresAtMs(session))
    return info === null ? null : shown(info)
  }
  return {
    async openSession(request) {
      const session = await sessions.open(request)
      const info = describe(session)
      if (info === null)
        throw new GatewayError('session-unknown', `session ${session} ended while it was opened`)
      return info
    },
    keepAlive: async (session) => ((await sessions.keepAlive(session)) ? describe(session) : null),
    async closeSession(session) {
      // A lease that ends under a grant reads as expired: it is ended only after all that it held has been given back,
      // what another gateway granted a moment ago too.
      const releaseAll = async (isCurrent: boolean) => {
        if ((await queue.releaseAll(session)) && isCurrent) return
        throw new StoreUnavailable(
          `what session ${session} holds could not be given back yet; close it again`,
        )
      }
      await releaseAll(await parts.catchUp())
      // And what it is given in between.
      await releaseAll(await sessions.forget(session))
      await sessions.end(session)
    },
    bind: (request) => callers.bind(request),
    session: describe,
    sessions: (request) => page(view.sessions.keys(), request, (key) => describe(key)),

    async acquire(request, gone) {
      if (!(await sessions.known(request.session)))
        throw new GatewayError('session-unknown', `there is no session ${request.session}; open one first`)
      const outcome = await queue.acquire(request, gone)
      if (outcome.kind === 'granted') {
        const { createRevision, session, mode } = outcome.grant
        const recorded = outcome.lock.record?.grants.find((other) => other.createRevision === createRevision)
        const { openedAt = '', afterFences } = recorded ?? {}
        const after = afterFences === undefined ? {} : { afterFences }
        const grant = { createRevision, session, mode, openedAt, ...after }
        return { kind: 'granted', grant: grantInfo(request.lock, grant, sign), already: outcome.already }
      }
      const owner = ownersOf(view, outcome.lock)[0] ?? null
      // Whoever is answered waits no more, also where the view has still to show it.
      const waiters = describeLock(view, request.lock, clock).waiters.filter(
        ({ session }) => session !== request.session,
      ).length
      return { kind: 'held', owner, waiters, ...(outcome.own === undefined ? {} : { own: outcome.own }) }
    },
    async changeMode(request, gone) {
      if (!(await sessions.known(request.session)))
        throw new GatewayError(
          'session-unknown',
          foreignHolder(view, request) ?? `there is no session ${request.session}; open one first`,
        )
      // What the session did a moment ago, perhaps through another gateway, decides what there is to change.
      if (!(await parts.catchUp())) throw new StoreUnavailable('the view could not be brought up to date')
      const changed = await queue.changeMode({ ...request, token: Number(request.token) }, gone)
      return grantInfo(request.lock, changed, sign)
    },
    async release(lock, session, token = null) {
      await queue.release(lock, session, token === null ? null : Number(token))
    },
    vouch: (request) => vouching.vouch(request),
    lock: showLock,
    locks(prefix, request) {
      const names = [...view.locks.keys()].filter((name) => name.startsWith(prefix))
      return page(names, request, showLock)
    },

    fence: fenceOf,
    fences: (request, state = null) =>
      page([...view.fences.keys(), ...view.damagedFences.keys()], request, (key) => {
        const record = fenceOf(key)
        if (record === null || state === null) return record
        const word = fenceStateWord(record.progress)
        return word === state || (state === 'open' && word !== 'closed') ? record : null
      }),
    neighbours: (record) => journal.neighbours(record),
    // Whole: the preview looks for targets in it, and hides what people must not see.
    previewFence: (session, plan) => journal.preview(session, { by: null, reason: null, plan }),
    retryFence: async (id) => shown(await journal.retry(id)),
    confirmFence: async (id, word) => shown(await journal.confirm(id, word)),
    async fenceSession(session, order) {
      const fence = await journal.order(session, order)
      // The grants are condemned by the record alone; the lease goes so that the waiter keys go with it.
      await parts.store.revokeLease(session)
      return shown(fence)
    },

    readiness() {
      const reason = parts.stale()
      return { ready: reason === null, reason }
    },
  }
}
