// Clients that take locks straight in etcd. As its own `concurrency` package does: a lease, a key on it, and at the end the
// key is deleted and then the lease revoked. Or as tooz does: one key a name, which only one can have, on a lease for each
// attempt that is left to run out.

import { type LockSource, wholeName } from '../../gateway/core/lock-source.ts'
import type { LeaseId, LockName } from '../../gateway/core/names.ts'
import type { Layout } from '../../gateway/locking/layout.ts'
import type { SimulatedBackend } from './backend.ts'
import type { Gateways } from './gateways.ts'
import type { Marks } from './marks.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { SharedState } from './store.ts'

const SOURCE_PREFIX = '/tooz/locks'
const UNFENCED = { holder: null, fenceInfo: {} }
export const SOURCE: LockSource = {
  name: 'tooz',
  prefix: SOURCE_PREFIX,
  rules: [
    { match: wholeName('cinder-(?<name>.+)-delete'), lock: '{name}', ...UNFENCED },
    { match: wholeName('cinder-(?<name>.+)'), lock: '{name}', ...UNFENCED },
  ],
  plan: null,
  unfenced: false,
  onDisappearance: { keyDeleted: 'released', leaseEnded: 'expired' },
}

export interface ForeignOptions {
  readonly name: string
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly marks: Marks
  readonly gateways: Gateways
  readonly backend: SimulatedBackend
  readonly state: SharedState
  readonly layout: Layout
  readonly calm: () => boolean
}

export class ForeignHolder {
  readonly #options: ForeignOptions
  #retired = false

  constructor(options: ForeignOptions) {
    this.#options = options
    this.#rest()
  }

  retire(): void {
    this.#retired = true
  }

  #rest(): void {
    const { scheduler, random } = this.#options
    scheduler.after(random.between(500, 8_000), () => this.#take())
  }

  #take(): void {
    const { random, profile, state, scheduler, calm, marks } = this.#options
    if (this.#retired || calm() || !state.up) {
      this.#rest()
      return
    }
    const lock = (random.pick(profile.locks) ?? 'volume/1') as LockName
    const { lease } = state.grantLease(random.between(1_500, 5_000))
    marks.hit('session of a foreign client took a lock')
    const key = this.#keyOf(lock, lease)
    this.#enqueue(lock, lease, key)
    const keptMs = random.between(500, 12_000)
    const untilMs = scheduler.nowMs + keptMs
    this.#keep(lease, untilMs)
    scheduler.after(keptMs, () => this.#leave(lock, lease, key))
  }

  #keyOf(lock: LockName, lease: LeaseId): string {
    const { layout, random, profile } = this.#options
    if (!profile.sourced) return layout.waiter(lock, 'exclusive', lease)
    return `${SOURCE_PREFIX}cinder-${lock}${random.chance(0.5) ? '-delete' : ''}`
  }

  #enqueue(lock: LockName, lease: LeaseId, put: string): void {
    const { state, name, scheduler } = this.#options
    const result = state.transact(
      { compare: [{ key: put, createRevision: 0 }], writes: [{ put, value: '', lease }] },
      name,
    )
    if (result instanceof Error || !result.succeeded) return
    this.#makeCalls(lock, lease, result.revision, scheduler.nowMs + 15_000)
  }

  #keep(lease: LeaseId, untilMs: number): void {
    const { state, scheduler } = this.#options
    if (this.#retired || scheduler.nowMs > untilMs) return
    if (state.up && state.keepAlive(lease) === null) return
    scheduler.after(500, () => this.#keep(lease, untilMs))
  }

  #leave(lock: LockName, lease: LeaseId, key: string): void {
    const { state, random, name, scheduler, profile } = this.#options
    if (!state.up) {
      scheduler.after(500, () => this.#leave(lock, lease, key))
      return
    }
    const dice = random.unit()
    if (dice < 0.6) {
      if (state.leaseOf(key) === lease) state.transact({ compare: [], writes: [{ delete: key }] }, name)
      // Unlock, and take it again under the same lease; or unlock, then revoke, the normal end. tooz leaves the lease.
      if (dice < 0.15) this.#enqueue(lock, lease, key)
      else if (!profile.sourced)
        scheduler.after(random.between(0.1, profile.foreignLeaseMsMax), () => {
          if (state.up) state.endLease(lease, name)
        })
    } else if (dice < 0.7) state.endLease(lease, name)
    this.#rest()
  }

  #makeCalls(lock: LockName, session: LeaseId, token: number, untilMs: number): void {
    const { scheduler, random, gateways, backend, calm } = this.#options
    scheduler.after(random.between(50, 800), () => {
      if (this.#retired || calm() || scheduler.nowMs > untilMs) return
      const asked = gateways.any()
      if (asked !== null)
        asked.gateway.process.deliver(() =>
          backend.call(
            { session, held: [{ lock, token, mode: 'exclusive' }] },
            asked.gateway.process,
            asked.locking,
          ),
        )
      this.#makeCalls(lock, session, token, untilMs)
    })
  }
}
