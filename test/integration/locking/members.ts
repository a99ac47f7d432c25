// Gateways of one process on one etcd, each with a store connection of its own.

import type { LockMode, LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { AdmissionResult, LedgerEntry } from '../../../gateway/spi/gate.ts'
import type { Store } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import type { EtcdCluster } from '../../support/etcd.ts'

export const VOLUME = 'cinder/volume/1' as LockName
const NEVER = new AbortController().signal
const NO_PLAN: FencePlanner = {
  defaultPlan: null,
  levels: () => null,
  checkFenceInfo: () => ({ kind: 'faulty', faults: ['there is no plan'] }),
}

export class Member {
  readonly locking: Locking
  readonly store: Store

  private constructor(locking: Locking, store: Store) {
    this.locking = locking
    this.store = store
  }

  static async join(etcd: EtcdCluster, prefix: string, name: string, quietMs = 1_000): Promise<Member> {
    const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
    const locking = await startLocking({
      store,
      prefix,
      clock: systemClock,
      events: () => undefined,
      mark: { revision: 0, raise: () => Promise.resolve() },
      planner: NO_PLAN,
      name,
      newId: () => crypto.randomUUID(),
      quietMs,
      leaseMs: 3_000,
      drainMs: 10_000,
      parkedMax: 16,
      ttlMsMin: 1_000,
      ttlMsMax: 60_000,
      signing: null,
      onStopped: (reason) => {
        throw new Error(reason)
      },
    })
    return new Member(locking, store)
  }

  async openSession(ttlMs = 20_000): Promise<SessionId> {
    const asked = { ttlMs, holder: { id: 'h' }, fenceInfo: {}, plan: null }
    return (await this.locking.plane.openSession(asked)).session
  }

  /** The token; throws where it is not granted. */
  async take(session: SessionId, mode: LockMode, waitMs = 0): Promise<string> {
    const request = { lock: VOLUME, session, mode, waitMs, note: null }
    const result = await this.locking.plane.acquire(request, NEVER)
    if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
    return result.grant.token
  }

  async change(session: SessionId, token: string, mode: LockMode, waitMs = 0): Promise<string> {
    const request = { lock: VOLUME, session, token, mode, waitMs }
    return (await this.locking.plane.changeMode(request, NEVER)).token
  }

  async admit(token: string, mode: LockMode): Promise<LedgerEntry> {
    const result: AdmissionResult = await this.locking.gate.admit(
      {
        backend: 'b',
        method: 'POST',
        target: '/',
        rule: 'r',
        locks: [{ name: VOLUME, mode }],
        tokens: [{ lock: null, token: Number(token), signature: null }],
        waitMs: 5_000,
        quietMs: 1_000,
      },
      null,
    )
    if (result.kind !== 'admitted') throw new Error(JSON.stringify(result.refusal))
    return result.entry
  }

  async close(): Promise<void> {
    await this.locking.close(0)
    await this.store.close()
  }
}
