// An operator's word about calls of which nobody knows what became of them. It names the gateways whose calls are unknown
// when it is given, and is written into the lock record by a swap: what becomes unknown later needs another word.

import { GatewayError } from '../core/errors.ts'
import { vouchGrants } from '../core/handover.ts'
import { drainScope, type Grant, type Vouch, vouchedFor } from '../core/lock-record.ts'
import type { IncarnationId, LockName, Revision } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { UnknownInfo, VouchedInfo, VouchRequest } from '../spi/control-plane.ts'
import type { EventSink } from '../spi/events.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { Barrier, UnknownCalls } from './barrier.ts'
import type { Layout } from './layout.ts'
import type { LockState } from './lock-state.ts'
import { lockRecords } from './records.ts'
import type { View } from './view.ts'

const SWAPS_MAX = 16

export interface VouchingOptions {
  readonly store: Store
  readonly layout: Layout
  readonly view: View
  readonly barrier: Barrier
  readonly clock: Clock
  readonly events: EventSink
  readonly caughtUp: (revision: Revision) => Promise<unknown>
  /** True once the view holds all that the store held when it was asked. */
  readonly catchUp: () => Promise<boolean>
}

export class Vouching {
  readonly #options: VouchingOptions

  constructor(options: VouchingOptions) {
    this.#options = options
  }

  /** What an operator may vouch for now. */
  unknown(name: LockName): readonly UnknownInfo[] {
    const lock = this.#options.view.locks.get(name)
    if (lock === undefined || lock.damage !== null) return []
    return (lock.record?.grants ?? []).flatMap((grant) =>
      this.#unknownUnder(lock, grant).map((found) => ({
        token: String(grant.createRevision),
        gateway: found.name,
        incarnation: found.incarnation,
        calls: found.calls,
      })),
    )
  }

  /** Rejects with GatewayError `nothing-unknown`, or StoreUnavailable. */
  async vouch({ lock: name, by, reason, incarnations, token: only }: VouchRequest): Promise<VouchedInfo> {
    const { store, layout, view, clock, events, catchUp } = this.#options
    // What becomes unknown from this tick on, while the store is asked and others are faster, nobody has looked at.
    const meant = this.unknown(name).filter(
      ({ incarnation, token }) =>
        (incarnations === null || incarnations.includes(incarnation)) && (only === null || only === token),
    )
    if (!(await catchUp())) throw new StoreUnavailable('the view could not be brought up to date')
    for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
      const lock = view.locks.get(name)
      const vouched = this.unknown(name).filter(({ incarnation, token }) =>
        meant.some((one) => one.incarnation === incarnation && one.token === token),
      )
      if (lock === undefined || lock.record === null || vouched.length === 0)
        throw new GatewayError('nothing-unknown', refusal(name, lock), { lock: name })
      const at = new Date(clock.wallMs()).toISOString()
      const words = new Map<Revision, Vouch>()
      for (const grant of lock.record.grants) {
        const scope = drainScope(grant)
        const about = vouched.filter(({ token }) => token === String(grant.createRevision))
        if (scope === null || about.length === 0) continue
        const named = about.map(({ incarnation }) => incarnation as IncarnationId)
        words.set(grant.createRevision, { scope, incarnations: named, by, reason, at })
      }
      const key = layout.lockRecord(name)
      const { succeeded, revision } = await store.transact({
        compare: [{ key, modRevision: lock.recordRevision }],
        writes: [{ put: key, value: lockRecords.encode(vouchGrants(lock.record, words)) }],
      })
      if (succeeded) {
        await this.#options.caughtUp(revision)
        for (const token of words.keys())
          events({
            type: 'lock.vouched',
            lock: name,
            token: String(token),
            detail: `${by}: ${reason} (${vouched
              .filter((one) => one.token === String(token))
              .map(nameOf)
              .join(',')})`,
          })
        return { lock: name, by, reason, at, vouched }
      }
      const stored = (await store.read(key)).items.find((item) => item.key === key)
      if (stored !== undefined) await this.#options.caughtUp(stored.modRevision)
    }
    throw new StoreUnavailable(`the record of ${name} is being changed by others all the time; try again`)
  }

  #unknownUnder(lock: LockState, grant: Grant): readonly UnknownCalls[] {
    const live = lock.grantOf(grant.createRevision)
    if (live === null || drainScope(grant) === null) return []
    const already = vouchedFor(grant)
    return this.#options.barrier.unknown(live).filter(({ incarnation }) => !already.has(incarnation))
  }
}

function nameOf({ gateway, incarnation, calls }: UnknownInfo): string {
  return `${gateway} ${incarnation}${calls === null ? '' : `: ${calls} calls`}`
}

function refusal(name: LockName, lock: LockState | undefined): string {
  if (lock?.damage != null) return lock.damage
  const waits = lock?.obstacles.map(({ detail }) => detail) ?? []
  const nothing = `no unknown call that could be vouched for holds up ${name}`
  return waits.length === 0 ? nothing : `${nothing}; it waits for this: ${waits.join('; ')}`
}
