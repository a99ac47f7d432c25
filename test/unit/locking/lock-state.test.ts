// A lock at rest is kept in few words: they must say all that was said before, and what they cannot say keeps a lock whole.

import { beforeEach, describe, expect, it } from 'vitest'
import type { LockRecord, OpenGrant } from '../../../gateway/core/lock-record.ts'
import type { LeaseId, LockName, Revision } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { LiveGrant, LockState, type QueuedWaiter } from '../../../gateway/locking/lock-state.ts'

const NAME = 'cinder/volume/ü 1' as LockName
const SESSION = '694d9a1b2c3d4e5f' as LeaseId
const TOKEN = 7_001 as Revision
const layout = new Layout('/fencegate')
const KEY = layout.waiter(NAME, 'shared', SESSION)
const OPEN: OpenGrant = {
  state: 'open',
  key: KEY,
  createRevision: TOKEN,
  session: SESSION,
  mode: 'shared',
  openedAt: '2031-02-03T04:05:06.007Z',
}
const RECORD: LockRecord = { lock: NAME, highWater: TOKEN, grants: [OPEN] }
const WAITER: QueuedWaiter = {
  key: KEY,
  createRevision: TOKEN,
  modRevision: TOKEN,
  session: SESSION,
  mode: 'shared',
  leased: true,
  note: null,
  replaces: null,
  at: null,
  seenAtMs: null,
}

let lock: LockState
let live: LiveGrant

function take(record = RECORD, waiter = WAITER): void {
  lock = new LockState(NAME, layout)
  lock.enqueue(waiter)
  lock.record = record
  lock.recordRevision = 7_002
  live = new LiveGrant(lock, record.grants[0] ?? OPEN)
  lock.live = [live]
  lock.fold()
}

beforeEach(() => take())

describe('a lock at rest', () => {
  it('is folded, and says what it said before', () => {
    expect(lock.held).toBe(live)
    expect(lock.record).toEqual(RECORD)
    expect(lock.queue).toEqual([WAITER])
    expect(lock.queueLength).toBe(1)
    expect(lock.live).toEqual([live])
    expect(lock.grantOf(TOKEN)).toBe(live)
    expect(lock.grantOf(TOKEN + 1)).toBeNull()
    expect([lock.granted(TOKEN), lock.granted(TOKEN + 1)]).toEqual([true, false])
    expect(lock.waiterOf(TOKEN)).toEqual(WAITER)
    expect([live.key, live.mode, lock.empty, lock.damage]).toEqual([KEY, 'shared', false, null])
  })

  it('is whole again with the next change, and folded when that is over', () => {
    const second = {
      ...WAITER,
      key: layout.waiter(NAME, 'exclusive', 'ab' as LeaseId),
      session: 'ab' as LeaseId,
    }
    lock.enqueue({ ...second, mode: 'exclusive', createRevision: 7_003 as Revision })
    lock.fold()
    expect(lock.held).toBeNull()
    expect(lock.queue.map(({ createRevision }) => createRevision)).toEqual([TOKEN, 7_003])
    expect(lock.record).toEqual(RECORD)
    lock.queue = lock.queue.slice(0, 1)
    lock.fold()
    expect(lock.held).toBe(live)
  })

  it('stays whole while somebody listens, is in its way, or its record is damaged', () => {
    const listener = () => undefined
    lock.listeners.add(listener)
    lock.fold()
    expect(lock.held).toBeNull()
    lock.listeners.delete(listener)
    lock.obstacles = [{ kind: 'unready', waiter: WAITER, detail: 'its lease has no canary yet' }]
    lock.fold()
    expect(lock.held).toBeNull()
    lock.obstacles = []
    lock.setDamage({ detail: 'the record cannot be read', isBlind: false })
    lock.fold()
    expect([lock.held, lock.damage]).toEqual([null, 'the record cannot be read'])
    lock.setDamage(null)
    lock.fold()
    expect(lock.held).toBe(live)
  })

  it('stays whole where its key has gone or its grant is over', () => {
    lock.queue = []
    lock.fold()
    expect([lock.held, lock.queue]).toEqual([null, []])
    take()
    lock.endings = new Map([[TOKEN, 'expired']])
    lock.fold()
    expect([lock.held, lock.endings.get(TOKEN)]).toEqual([null, 'expired'])
    take()
    live.seal()
    lock.live = [live]
    lock.fold()
    expect([lock.held, lock.live[0]?.sealed]).toEqual([null, true])
  })
})

describe('what a few words cannot say', () => {
  const wholes: readonly [string, LockRecord, QueuedWaiter][] = [
    ['a field of a newer version in the record', { ...RECORD, ...{ colour: 'red' } }, WAITER],
    [
      'a field of a newer version in the grant',
      { ...RECORD, grants: [{ ...OPEN, ...{ colour: 'red' } }] },
      WAITER,
    ],
    ['a downgrade that drains', { ...RECORD, grants: [{ ...OPEN, formerMode: 'exclusive' }] }, WAITER],
    ['a grant that replaced another', { ...RECORD, grants: [{ ...OPEN, replaced: 5 as Revision }] }, WAITER],
    ['a later high-water mark', { ...RECORD, highWater: TOKEN + 1 }, WAITER],
    [
      'a key in another place',
      { ...RECORD, grants: [{ ...OPEN, key: '/other/1' }] },
      { ...WAITER, key: '/other/1' },
    ],
    ['a key written once more', RECORD, { ...WAITER, modRevision: 7_009 as Revision }],
    ['a key that hangs on no lease', RECORD, { ...WAITER, leased: false }],
    ['a key of another session', RECORD, { ...WAITER, session: 'ab' as LeaseId }],
    ['a key that was to replace another', RECORD, { ...WAITER, replaces: 5 as Revision }],
    [
      'another way to write the time',
      { ...RECORD, grants: [{ ...OPEN, openedAt: '2031-02-03T04:05:06Z' }] },
      WAITER,
    ],
    ['a record of another lock', { ...RECORD, lock: 'a' as LockName }, WAITER],
    [
      'a grant that is sealed',
      {
        ...RECORD,
        grants: [{ ...OPEN, state: 'sealed', cause: 'released', sealedAt: OPEN.openedAt, fence: null }],
      },
      WAITER,
    ],
  ]
  it.each(wholes)('keeps a lock whole: %s', (_, record, waiter) => {
    take(record, waiter)
    expect(lock.held).toBeNull()
    expect(lock.record).toEqual(record)
    expect(lock.queue).toEqual([waiter])
  })
})
