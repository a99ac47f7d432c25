// One gateway's locks over a real embedded store that a test can take away, and a clock that it moves.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LockSource } from '../../../gateway/core/lock-source.ts'
import type { LockMode, LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { AcquireResult, GrantInfo } from '../../../gateway/spi/control-plane.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { AdmissionRequest, LedgerEntry } from '../../../gateway/spi/gate.ts'
import type { Snapshot } from '../../../gateway/spi/store.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { FarStore } from './far-store.ts'

export const VOLUME = 'cinder/volume/1' as LockName

const KILL: FencePlanner = {
  defaultPlan: 'kill',
  levels: () => [['kill']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}
const NEVER = new AbortController().signal

export interface TestRoom {
  readonly clock: ManualClock
  readonly store: EmbeddedStore
  readonly far: FarStore
  readonly locking: Locking
  /** Every event, oldest first. */
  readonly told: readonly GatewayEvent[]
  openSession(ttlMs?: number): Promise<SessionId>
  acquire(session: SessionId, waitMs?: number, mode?: LockMode): Promise<AcquireResult>
  /** The token; throws where it is not granted. */
  take(session: SessionId, waitMs?: number, mode?: LockMode): Promise<string>
  change(session: SessionId, token: string, mode: LockMode, waitMs?: number): Promise<GrantInfo>
  /** A call that needs the lock in this mode; throws where it is refused or parked. */
  admit(token: string, mode: LockMode): LedgerEntry
  /** The verdict on such a call, without making it. */
  verdict(token: string, mode: LockMode): string
  close(): Promise<void>
}

export interface RoomOptions {
  readonly shared?: boolean
  readonly sources?: readonly LockSource[]
  /** Another gateway on the store and clock of this one, which has to be closed last. */
  readonly beside?: TestRoom
  readonly name?: string
  /** From before it joins. */
  readonly loss?: FarStore['loss']
  readonly read?: () => Promise<Snapshot>
  /** What each revision of the watch waits for. */
  readonly watchHold?: () => Promise<void>
}

export async function openRoom(options: RoomOptions = {}): Promise<TestRoom> {
  const { beside, name = 'gateway-1', sources = [] } = options
  const folder = await mkdtemp(join(tmpdir(), 'fencegate-room-'))
  const clock = beside?.clock ?? new ManualClock()
  const store = beside?.store ?? openEmbeddedStore({ path: folder, clock })
  const far = new FarStore(store, options.shared)
  if (options.loss !== undefined) far.loss = options.loss
  far.nextRead = options.read ?? null
  far.watchHold = options.watchHold ?? null
  let ids = 0
  const told: GatewayEvent[] = []
  const locking = await startLocking({
    store: far.store,
    prefix: '/fencegate',
    sources,
    clock,
    events: (event) => told.push(event),
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner: KILL,
    name,
    newId: () => `${name}-incarnation-${++ids}`,
    quietMs: 20_000,
    leaseMs: 10_000,
    drainMs: 5_000,
    parkedMax: 4,
    ttlMsMin: 100,
    ttlMsMax: 3_600_000,
    signing: null,
    onStopped: (reason) => {
      throw new Error(reason)
    },
  })
  const acquire = (session: SessionId, waitMs = 0, mode: LockMode = 'exclusive') =>
    locking.plane.acquire({ lock: VOLUME, session, mode, waitMs, note: null }, NEVER)
  const request = (token: string, mode: LockMode): AdmissionRequest => ({
    backend: 'cinder',
    method: 'POST',
    target: '/',
    rule: 'any',
    locks: [{ name: VOLUME, mode }],
    tokens: [{ lock: null, token: Number(token), signature: null }],
    waitMs: 0,
    quietMs: 20_000,
  })
  return {
    clock,
    store,
    far,
    told,
    locking,
    async openSession(ttlMs = 60_000) {
      const asked = { ttlMs, holder: { id: 'cinder-volume-1' }, fenceInfo: { pid: 7 }, plan: null }
      return (await locking.plane.openSession(asked)).session
    },
    acquire,
    async take(session, waitMs, mode) {
      const result = await acquire(session, waitMs, mode)
      if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
      return result.grant.token
    },
    change: (session, token, mode, waitMs = 0) =>
      locking.plane.changeMode({ lock: VOLUME, session, token, mode, waitMs }, NEVER),
    admit(token, mode) {
      const result = locking.gate.admit(request(token, mode), null)
      if (result instanceof Promise || result.kind !== 'admitted')
        throw new Error(`not admitted: ${JSON.stringify(result)}`)
      return result.entry
    },
    verdict: (token, mode) => locking.gate.preview(request(token, mode)).verdict?.code ?? 'admitted',
    async close() {
      if (beside === undefined) await store.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
