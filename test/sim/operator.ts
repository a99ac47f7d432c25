// People who look after blocked fences and unknown calls, and sometimes have a session fenced that lives.

import { GatewayError } from '../../gateway/core/errors.ts'
import type { Locking } from '../../gateway/locking/locking.ts'
import type { UnknownInfo } from '../../gateway/spi/control-plane.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import type { Gateways, RunningGateway } from './gateways.ts'
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
  /** Whether nothing of what this process had open under the token is still to act: the operator goes and looks. */
  readonly over: (lock: string, token: number, process: string) => boolean
}

export class Operator {
  readonly #options: OperatorOptions
  readonly #vouches: boolean

  constructor(options: OperatorOptions) {
    this.#options = options
    // Without a quiet time the lock stays blocked where nobody vouches.
    this.#vouches = options.profile.quietMs !== null || options.random.chance(0.5)
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
    if (this.#vouches && (calm() || random.chance(0.5))) this.#vouch(gateway, locking)
  }

  /** For what he has seen to be unknown, and has found to be over at the backend. Only a true word is given. */
  #vouch(gateway: RunningGateway, { plane }: Locking): void {
    for (const { lock, unknown } of plane.locks('', { limit: 100, after: null }).items)
      for (const seen of unknown) {
        if (!this.#isOver(lock, seen)) continue
        const incarnations = [seen.incarnation]
        gateway.process.deliver(() => {
          void plane
            .vouch({ lock, by: 'operator', reason: 'nothing is left', incarnations, token: seen.token })
            .then(() => this.#options.marks.hit('unknown calls vouched for'))
            .catch(expected)
        })
      }
  }

  /** For what a gateway that has just come back had open before, without a look at anything. */
  vouchInHaste(process: string, incarnation: string): void {
    const { scheduler, random, gateways, marks } = this.#options
    for (let times = 0; times < 4; times++)
      scheduler.after(random.between(1, 800), () => {
        const asked = random.pick(
          gateways.all.filter((other) => other.locking !== null && other.process.name !== process),
        )
        const plane = asked?.locking?.plane
        if (asked === null || plane === undefined) return
        for (const { lock, unknown } of plane.locks('', { limit: 100, after: null }).items)
          for (const seen of unknown) {
            if (processOf(seen.incarnation) !== process || seen.incarnation === incarnation) continue
            const word = {
              by: 'operator',
              reason: 'it is gone',
              incarnations: [seen.incarnation],
              token: seen.token,
            }
            asked.process.deliver(() => {
              void plane
                .vouch({ lock, ...word })
                .then(() => marks.hit('word given in haste for a gateway that came back'))
                .catch(expected)
            })
          }
      })
  }

  #isOver(lock: string, { token, incarnation }: UnknownInfo): boolean {
    return this.#options.over(lock, Number(token), processOf(incarnation))
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

/** A gateway's incarnations are named after its process. */
function processOf(incarnation: string): string {
  return incarnation.slice(0, incarnation.lastIndexOf('-'))
}

function expected(error: unknown): void {
  if (!(error instanceof GatewayError) && !(error instanceof StoreUnavailable)) throw error
}
