// What is compiled when it is first used is compiled before the gateway serves.

import { afterEach, beforeEach, expect, it } from 'vitest'
import { sealGrants } from '../../../gateway/core/handover.ts'
import type { LockRecord } from '../../../gateway/core/lock-record.ts'
import type { LockName, Revision, SessionId } from '../../../gateway/core/names.ts'
import { dueFence, EXPIRED } from '../../../gateway/locking/due-fence.ts'
import { fenceRecords, lockRecords, sessionRecords, watermarks } from '../../../gateway/locking/records.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import { openRoom, type TestRoom } from './room.ts'

const CALLED_WITH_TEXT = globalThis.Function
let compiled = 0
let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
  compiled = 0
  globalThis.Function = new Proxy(CALLED_WITH_TEXT, {
    construct(target, texts: string[]) {
      compiled++
      return Reflect.construct(target, texts)
    },
  })
})
afterEach(async () => {
  globalThis.Function = CALLED_WITH_TEXT
  await room.close()
})

it('the records of the first expiry compile nothing', () => {
  const at = '2026-01-01T00:00:00.000Z'
  const session = 'a1' as SessionId
  const planner: FencePlanner = {
    defaultPlan: 'kill',
    levels: () => [['kill']],
    checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
  }
  const fence = dueFence(session, null, EXPIRED, planner, at)
  const createRevision = 7 as Revision
  const grant = {
    state: 'open',
    key: '/k',
    createRevision,
    session,
    mode: 'exclusive',
    openedAt: at,
  } as const
  const record: LockRecord = { lock: 'a/b' as LockName, highWater: createRevision, grants: [grant] }
  const sealed = sealGrants(record, [{ grant, cause: 'expired', drainedAt: [] }], at)
  fenceRecords.decode(fenceRecords.encode(fence))
  lockRecords.decode(lockRecords.encode({ ...sealed, closedFences: [session] }))
  const holder = {
    holder: { id: 'h' },
    fenceInfo: { pid: 7 },
    plan: null,
    targets: [],
    ttlMs: 5,
    openedAt: at,
  }
  sessionRecords.decode(sessionRecords.encode(holder))
  watermarks.decode(watermarks.encode({ beat: 1, sealed: 2, open: [['a/b', 7, 'unknown']] }))
  expect(compiled).toBe(0)
})
