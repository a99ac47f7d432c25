// Fills an etcd with held locks as a gateway would have written them, and holds what one gateway's room needs to run here.

import { asLockName, type IncarnationId, type LeaseId, type LockName } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import { lockRecords, sessionRecords } from '../../../gateway/locking/records.ts'
import { waiterKeyValue } from '../../../gateway/locking/waiter-words.ts'
import type { EventSink } from '../../../gateway/spi/events.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { Store, Write } from '../../../gateway/spi/store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'

const TTL_MS = 600_000
const LOCKS_AT_ONCE = 60
const WRITES_AT_ONCE = 120
const IN_FLIGHT = 64

const NO_PLAN: FencePlanner = {
  defaultPlan: null,
  levels: () => null,
  checkFenceInfo: () => ({ kind: 'faulty', faults: ['there is no plan'] }),
}

/** Whoever expires is fenced, and nobody does it: the locks wait for a word. */
export const NOBODY_FENCES: FencePlanner = {
  defaultPlan: 'by-hand',
  levels: () => [['nobody']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}

export function heldName(index: number): LockName {
  const tail = (index * 2_654_435_761).toString(16).padStart(13, '0').slice(-12)
  const name = asLockName(`cinder/volume/${index.toString(16).padStart(8, '0')}-94c1-4ab8-b7e7-${tail}`)
  if (name === null) throw new Error('not a lock name')
  return name
}

/** `sessions` leases with a canary and a record each, and `locks` locks held by them in turn. */
export async function populate(
  store: Store,
  prefix: string,
  counts: { readonly sessions: number; readonly locks: number; readonly ttlMs?: number },
): Promise<readonly LeaseId[]> {
  const layout = new Layout(prefix, [])
  const openedAt = new Date().toISOString()
  const { ttlMs = TTL_MS } = counts
  const leases: LeaseId[] = []
  const records: Write[] = []
  for (let i = 0; i < counts.sessions; i++) {
    const { lease } = await store.grantLease(ttlMs)
    leases.push(lease)
    const record = { holder: { id: `h${i}` }, fenceInfo: {}, plan: null, targets: [], ttlMs, openedAt }
    await store.transact({
      compare: [],
      writes: [
        { put: layout.canary(lease), value: '', lease },
        { put: layout.session(lease), value: sessionRecords.encode(record) },
      ],
    })
  }
  await inTurns(Math.ceil(counts.locks / LOCKS_AT_ONCE), async (turn) => {
    const locks = Array.from(
      { length: Math.min(LOCKS_AT_ONCE, counts.locks - turn * LOCKS_AT_ONCE) },
      (_, i) => {
        const index = turn * LOCKS_AT_ONCE + i
        const lease = leases[index % leases.length]
        if (lease === undefined) throw new Error('no session')
        return { name: heldName(index), lease }
      },
    )
    for (const { name, lease } of locks) {
      // One by one, as clients take them: the create revision is the token, and each lock has its own.
      const key = layout.waiter(name, 'exclusive', lease)
      const value = waiterKeyValue(null, crypto.randomUUID(), 'bench' as IncarnationId)
      const { revision } = await store.transact({ compare: [], writes: [{ put: key, value, lease }] })
      const grant = {
        state: 'open',
        key,
        createRevision: revision,
        session: lease,
        mode: 'exclusive',
        openedAt,
      } as const
      records.push({
        put: layout.lockRecord(name),
        value: lockRecords.encode({ lock: name, highWater: revision, grants: [grant] }),
      })
    }
  })
  await inTurns(Math.ceil(records.length / WRITES_AT_ONCE), async (turn) => {
    const writes = records.slice(turn * WRITES_AT_ONCE, (turn + 1) * WRITES_AT_ONCE)
    await store.transact({ compare: [], writes })
  })
  return leases
}

async function inTurns(turns: number, act: (turn: number) => Promise<void>): Promise<void> {
  let next = 0
  const line = async () => {
    while (next < turns) await act(next++)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, line))
}

export function startRoom(
  store: Store,
  name: string,
  prefix: string,
  { planner = NO_PLAN, events = () => undefined }: { planner?: FencePlanner; events?: EventSink } = {},
): Promise<Locking> {
  return startLocking({
    store,
    prefix,
    clock: systemClock,
    events,
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner,
    name,
    newId: () => crypto.randomUUID(),
    quietMs: 1_000,
    leaseMs: 60_000,
    drainMs: 10_000,
    parkedMax: 64,
    ttlMsMin: 1_000,
    ttlMsMax: 3_600_000,
    signing: null,
    onStopped: (reason) => {
      throw new Error(reason)
    },
  })
}
