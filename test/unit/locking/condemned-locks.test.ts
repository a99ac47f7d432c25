// A session that holds many locks, and what becomes of its fence: the locks are gone through when it is condemned, and not again.

import { beforeEach, expect, it } from 'vitest'
import type { FenceRecord } from '../../../gateway/core/fence-record.ts'
import type { LockName, Revision, SessionId } from '../../../gateway/core/names.ts'
import { dueFence, EXPIRED } from '../../../gateway/locking/due-fence.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { fenceRecords, lockRecords } from '../../../gateway/locking/records.ts'
import { View } from '../../../gateway/locking/view.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import type { StoreEvent } from '../../../gateway/spi/store.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const SESSION = 'a1' as SessionId
const AT = '2026-01-01T00:00:00.000Z'
const LOCKS = 50
const layout = new Layout('/fencegate')
const planner: FencePlanner = {
  defaultPlan: 'kill',
  levels: () => [['kill']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}

let view: View
let sealed: number
/** Of each change: how many locks it says to be touched. */
let touched: number[]
let revision: number

beforeEach(() => {
  sealed = 0
  touched = []
  revision = 0
  view = new View({
    layout,
    clock: new ManualClock(),
    onChange: ({ locks }) => touched.push(locks.size),
    onSealed: () => sealed++,
    onNarrowed: () => undefined,
    onClosed: () => undefined,
  })
})

function apply(...events: StoreEvent[]): void {
  view.apply(++revision as Revision, events)
}

function put(key: string, value: string, createRevision: number, lease: SessionId | null): StoreEvent {
  const modRevision = (revision + 1) as Revision
  return { type: 'put', kv: { key, value, createRevision: createRevision as Revision, modRevision, lease } }
}

function hold(): void {
  apply(put(layout.canary(SESSION), '', 1, SESSION))
  for (let i = 0; i < LOCKS; i++) {
    const lock = `bulk/${i}` as LockName
    const key = layout.waiter(lock, 'exclusive', SESSION)
    const createRevision = (revision + 1) as Revision
    const grant = {
      state: 'open',
      key,
      createRevision,
      session: SESSION,
      mode: 'exclusive',
      openedAt: AT,
    } as const
    const record = lockRecords.encode({ lock, highWater: createRevision, grants: [grant] })
    apply(put(key, '', createRevision, SESSION), put(layout.lockRecord(lock), record, createRevision, null))
  }
  touched = []
}

const ORDER = { ...EXPIRED, cause: 'operator', by: 'o', reason: 'r' } as const
const FENCE = dueFence(SESSION, null, ORDER, planner, AT)
const write = (record: FenceRecord, createRevision: number) =>
  apply(put(layout.fence(SESSION), fenceRecords.encode(record), createRevision, null))

it('an order condemns all of them at once, and what is done then leaves them alone', () => {
  hold()
  const created = revision + 1
  write(FENCE, created)
  expect(touched).toEqual([LOCKS])
  expect(sealed).toBe(LOCKS)
  write({ ...FENCE, progress: { state: 'blocked', reason: 'nobody answers' } }, created)
  const closed = { state: 'closed', outcome: 'confirmed', closedAt: AT, by: 'o', reason: 'r' } as const
  write({ ...FENCE, progress: closed }, created)
  expect(touched).toEqual([LOCKS, 0, 0])
  apply({ type: 'delete', key: layout.fence(SESSION) })
  expect(touched).toEqual([LOCKS, 0, 0, LOCKS])
})

it('where it has expired they are sealed in that tick, and its fence finds nothing more to end but what it still waits for', () => {
  hold()
  const waited = 'bulk/0' as LockName
  const keys = Array.from({ length: LOCKS }, (_, i) =>
    layout.waiter(`bulk/${i}` as LockName, 'exclusive', SESSION),
  )
  apply(...[...keys, layout.canary(SESSION)].map((key): StoreEvent => ({ type: 'delete', key })))
  expect(touched).toEqual([LOCKS])
  expect(sealed).toBe(LOCKS)
  apply(put(layout.waiter(waited, 'shared', SESSION), '', revision + 1, SESSION))
  touched = []
  write(FENCE, revision + 1)
  expect(touched).toEqual([1])
  expect([...(view.locksOf.get(SESSION) ?? [])].map((lock) => lock.endings.size)).toEqual(keys.map(() => 1))
})
