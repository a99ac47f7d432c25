// People who look after blocked fences, and sometimes have a session fenced that lives.

import { GatewayError } from '../../gateway/core/errors.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import type { Gateways } from './gateways.ts'
import type { HistoryEvent } from './history.ts'
import type { Marks } from './marks.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

export interface OperatorOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly marks: Marks
  readonly gateways: Gateways
  readonly record: (event: HistoryEvent) => void
  readonly calm: () => boolean
}

export class Operator {
  readonly #options: OperatorOptions

  constructor(options: OperatorOptions) {
    this.#options = options
    this.#round()
  }

  #round(): void {
    const { scheduler, random, gateways, record, calm, marks } = this.#options
    scheduler.after(calm() ? 500 : random.between(300, 3_000), () => this.#round())
    const asked = gateways.any()
    if (asked === null) return
    const { gateway, locking } = asked
    for (const { record: fence } of locking.journal.list()) {
      const { state } = fence.progress
      if (state === 'closed') continue
      // Mostly where it was asked for; now and then he knows better than the fencers, or is in a hurry.
      const isWanted = state === 'blocked' ? calm() || random.chance(0.4) : !calm() && random.chance(0.02)
      if (!isWanted) continue
      gateway.process.deliver(() => {
        if (fence.levels.length > 0 && random.chance(0.3)) {
          marks.hit('fence retried')
          void locking.plane.retryFence(fence.id).catch(expected)
        } else {
          record({ kind: 'confirmed', atMs: scheduler.nowMs, session: fence.id })
          void locking.plane.confirmFence(fence.id, { by: 'operator', reason: 'it is dead' }).catch(expected)
        }
      })
    }
  }

  /** Has one of the sessions that a gateway knows fenced. */
  order(): void {
    const { scheduler, random, gateways, record, profile } = this.#options
    const asked = gateways.any()
    if (asked === null) return
    const { gateway, locking } = asked
    const info = random.pick(locking.plane.sessions({ limit: 100, after: null }).items)
    if (info === null) return
    const plan = random.chance(0.5) ? null : random.pick(profile.plans)
    gateway.process.deliver(() => {
      record({ kind: 'ordered', atMs: scheduler.nowMs, session: info.session })
      void locking.plane
        .fenceSession(info.session, { by: 'operator', reason: 'it misbehaves', plan })
        .catch(expected)
    })
  }
}

function expected(error: unknown): void {
  if (!(error instanceof GatewayError) && !(error instanceof StoreUnavailable)) throw error
}
