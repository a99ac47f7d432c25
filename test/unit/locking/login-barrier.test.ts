// Who must not log in, by what the store says: sessions, fences and leases as records, in any order.

import { beforeEach, describe, expect, it } from 'vitest'
import type { BindingWay } from '../../../gateway/core/caller.ts'
import type { FenceRecord, FenceState } from '../../../gateway/core/fence-record.ts'
import type { LockRecord } from '../../../gateway/core/lock-record.ts'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { callerDigest } from '../../../gateway/locking/caller-digest.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { ViewLoginBarrier } from '../../../gateway/locking/login-barrier.ts'
import { fenceRecords, lockRecords, sessionRecords } from '../../../gateway/locking/records.ts'
import { View } from '../../../gateway/locking/view.ts'
import type { LoginAttempt } from '../../../gateway/spi/login-barrier.ts'
import type { StoreEvent } from '../../../gateway/spi/store.ts'
import fc from '../../support/fast-check.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { aRecord, revision, sessionId } from '../fencing/support.ts'

const layout = new Layout('/fencegate')
const LOCK = 'vmware/vm/vm-1' as LockName
const [A, B, C] = [sessionId('a1'), sessionId('b2'), sessionId('c3')]
const KEYS = ['login', 'userName']
const REALM = 'vcenter'

/** A gateway that is told of changes one by one. */
class Gateway {
  stale: string | null = null
  readonly #stored = new Map<string, StoreEvent>()
  #revision = 0
  readonly #view: View
  readonly #barrier: ViewLoginBarrier

  constructor() {
    this.#view = new View({
      layout,
      clock: new ManualClock(),
      onChange: (change) => this.#barrier.changed(change),
      onSealed: () => undefined,
      onNarrowed: () => undefined,
      onClosed: () => undefined,
    })
    this.#barrier = new ViewLoginBarrier({ view: this.#view, keys: KEYS, stale: () => this.stale })
  }

  get users(): number {
    return this.#barrier.users
  }

  get lastRevision(): number {
    return this.#revision
  }

  put(key: string, value: string, lease: SessionId | null = null): void {
    const at = revision(++this.#revision)
    const event: StoreEvent = {
      type: 'put',
      kv: { key, value, lease, createRevision: at, modRevision: at },
    }
    this.#stored.set(key, event)
    this.#view.apply(at, [event])
  }

  delete(key: string): void {
    if (this.#stored.delete(key)) this.#view.apply(revision(++this.#revision), [{ type: 'delete', key }])
  }

  open(
    session: SessionId,
    fenceInfo: Readonly<Record<string, unknown>>,
    holder = `holder of ${session}`,
    marks: readonly (readonly [by: BindingWay, value: string])[] = [],
  ): void {
    const openedAt = '2030-01-01T00:00:00.000Z'
    const bindings = marks.map(([by, value]) => ({
      realm: REALM,
      by,
      digest: callerDigest(REALM, by, value),
      at: openedAt,
    }))
    const record = { holder: { id: holder }, fenceInfo, plan: 'p', targets: [], ttlMs: 1, openedAt, bindings }
    this.put(layout.session(session), sessionRecords.encode(record))
    this.put(layout.canary(session), '', session)
  }

  /** As a fence of whose session was open. */
  fence(session: SessionId, progress: FenceState, parts: Partial<FenceRecord> = {}): void {
    this.put(layout.fence(session), fenceRecords.encode(aRecord({ id: session, progress, ...parts })))
  }

  /** The lease is over. */
  expire(session: SessionId): void {
    this.delete(layout.canary(session))
  }

  verdict(attempt: Partial<LoginAttempt>): string {
    const asked = { name: null, strict: false, session: null, tokens: [], keys: KEYS, ...attempt }
    return this.#barrier.refusal(asked)?.code ?? 'admitted'
  }

  /** Another gateway, which has just loaded all that this one was told bit by bit. */
  restarted(): Gateway {
    const other = new Gateway()
    const items = [...this.#stored.values()].flatMap((event) => (event.type === 'put' ? [event.kv] : []))
    other.#view.load({ revision: revision(this.#revision), items })
    return other
  }
}

const DUE: FenceState = { state: 'due', level: 0 }
const BLOCKED: FenceState = { state: 'blocked', reason: 'every level of the plan failed' }
const CLOSED: FenceState = {
  state: 'closed',
  outcome: 'fenced',
  closedAt: '2030-01-01T00:00:00.000Z',
  by: null,
  reason: null,
}

let gateway: Gateway
beforeEach(() => {
  gateway = new Gateway()
})

describe('a holder who is being fenced', () => {
  it('cannot log in by his name from the moment his fence is written until it is closed', () => {
    gateway.open(A, { userName: 'VSPHERE.LOCAL\\nova-3' })
    expect(gateway.verdict({ name: 'nova-3' })).toBe('admitted')
    gateway.expire(A)
    for (const progress of [DUE, { ...DUE, level: 1 }, BLOCKED]) {
      gateway.fence(A, progress)
      expect(gateway.verdict({ name: 'nova-3@vsphere.local' })).toBe('fence-due')
      expect(gateway.verdict({ name: 'nova-4@vsphere.local' })).toBe('admitted')
      expect(gateway.restarted().verdict({ name: 'nova-3' })).toBe('fence-due')
    }
    gateway.fence(A, CLOSED)
    expect(gateway.verdict({ name: 'nova-3' })).toBe('admitted')
  })

  it('cannot log in by the session or the token that his call names', () => {
    gateway.open(A, {})
    const token = hold(A)
    expect(gateway.verdict({ session: A })).toBe('admitted')
    gateway.fence(A, DUE)
    expect(gateway.verdict({ session: ` ${A} ` })).toBe('fence-due')
    expect(gateway.verdict({ tokens: [{ lock: null, token, signature: null }] })).toBe('fence-due')
    expect(gateway.verdict({})).toBe('admitted')
    expect(gateway.verdict({ session: 'nonsense' })).toBe('admitted')
    gateway.fence(A, CLOSED)
    expect(gateway.verdict({ session: A })).toBe('admitted')
  })

  it('is known by the session at the backend that his call is sent on, whatever name he writes in it', () => {
    const bearing = (by: BindingWay, value: string) => ({
      caller: { realm: REALM, claims: [{ by, value }], implicit: true },
    })
    gateway.open(A, { userName: 'nova-3' }, 'nova-3', [
      ['session', 'c-1'],
      ['address', '10.0.0.3'],
    ])
    gateway.open(B, { userName: 'nova-4' })
    gateway.fence(A, DUE)
    for (const name of [null, 'nova-4', 'stranger'])
      expect([name, gateway.verdict({ name, ...bearing('session', 'c-1') })]).toEqual([name, 'fence-due'])
    expect(gateway.verdict({ name: 'nova-4', ...bearing('session', 'c-2') })).toBe('admitted')
    // An address may be somebody else's as well.
    expect(gateway.verdict({ name: 'nova-4', ...bearing('address', '10.0.0.3') })).toBe('admitted')
    gateway.fence(A, CLOSED)
    expect(gateway.verdict({ name: null, ...bearing('session', 'c-1') })).toBe('admitted')
  })

  it('is kept out before his fence is written, once his lease is over and he held something', () => {
    gateway.open(A, { login: 'nova-3' })
    gateway.open(B, { login: 'nova-4' })
    hold(A)
    gateway.expire(A)
    gateway.expire(B)
    expect(gateway.verdict({ name: 'nova-3' })).toBe('fence-due')
    expect(gateway.verdict({ session: A })).toBe('fence-due')
    // B held nothing: no fence will be due.
    expect(gateway.verdict({ name: 'nova-4' })).toBe('admitted')
  })

  it('is kept out by a fence that cannot be read', () => {
    gateway.open(A, { login: 'nova-3' })
    gateway.put(layout.fence(A), '{"version":99}')
    expect(gateway.verdict({ name: 'nova-3' })).toBe('fence-due')
    expect(gateway.verdict({ session: A })).toBe('fence-due')
    expect(gateway.verdict({ strict: true })).toBe('fence-due')
  })

  it('is known by his fence alone where nobody opened a session for him', () => {
    gateway.fence(A, DUE, { fenceInfo: { userName: 'nova-3' } })
    expect(gateway.verdict({ name: 'nova-3' })).toBe('fence-due')
    expect(gateway.verdict({ name: 'nova-3', keys: ['login'] })).toBe('admitted')
  })

  it('is not found by a name that somebody else’s living session has too', () => {
    gateway.open(A, { login: 'nova' }, 'nova-1')
    gateway.open(B, { login: 'nova' }, 'nova-2')
    gateway.fence(A, DUE)
    expect(gateway.verdict({ name: 'nova' })).toBe('admitted')
    expect(gateway.verdict({ name: 'nova', session: A })).toBe('fence-due')
    expect(gateway.verdict({ name: 'nova', session: B })).toBe('admitted')
    gateway.fence(B, DUE)
    expect(gateway.verdict({ name: 'nova' })).toBe('fence-due')
  })

  it('does not come in under a new session of the same holder', () => {
    gateway.open(A, { login: 'nova' }, 'nova-1')
    gateway.fence(A, DUE)
    gateway.open(B, { login: 'nova' }, 'nova-1')
    expect(gateway.verdict({ name: 'nova' })).toBe('fence-due')
    expect(gateway.verdict({ name: 'nova', session: B })).toBe('fence-due')
    // Somebody else, who says so, is believed.
    gateway.open(C, {}, 'cinder-1')
    expect(gateway.verdict({ name: 'nova', session: C })).toBe('admitted')
  })
})

describe('a login that does not say whose it is', () => {
  it('waits, where the policy is strict, while anybody is being fenced whose name is known', () => {
    gateway.open(A, { pid: 7 })
    gateway.fence(A, DUE)
    expect(gateway.verdict({ strict: true })).toBe('admitted')
    gateway.open(B, { userName: 'nova-3' })
    expect(gateway.verdict({ strict: true })).toBe('admitted')
    gateway.fence(B, DUE)
    expect(gateway.verdict({ strict: true })).toBe('fence-due')
    expect(gateway.verdict({ strict: true, keys: ['login'] })).toBe('admitted')
    expect(gateway.verdict({})).toBe('admitted')
    gateway.open(C, {})
    expect(gateway.verdict({ strict: true, session: C })).toBe('admitted')
    gateway.fence(B, CLOSED)
    expect(gateway.verdict({ strict: true })).toBe('admitted')
  })
})

describe('a gateway without sight of the store', () => {
  it('lets nobody log in who has a session, as he may be being fenced, and everybody else', () => {
    gateway.open(A, { login: 'nova-3' })
    gateway.stale = 'the watch on the store is broken'
    expect(gateway.verdict({ name: 'nova-3' })).toBe('view-not-current')
    expect(gateway.verdict({ session: A })).toBe('view-not-current')
    expect(gateway.verdict({ name: 'monitoring' })).toBe('admitted')
  })
})

describe('what is kept in mind of logins', () => {
  it('is what the store says, however it came to be', () => {
    const sessions = [A, B, C] as const
    const step = fc.record({
      session: fc.constantFrom(...sessions),
      name: fc.constantFrom('nova', 'cinder', 'EXAMPLE\\nova', ''),
      key: fc.constantFrom(...KEYS, 'pid'),
      act: fc.constantFrom('open', 'expire', 'forget', 'due', 'blocked', 'closed', 'collect', 'damage'),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
        const one = new Gateway()
        for (const { act, session, name, key } of steps) {
          if (act === 'open') one.open(session, { [key]: name })
          else if (act === 'expire') one.expire(session)
          else if (act === 'forget') one.delete(layout.session(session))
          else if (act === 'collect') one.delete(layout.fence(session))
          else if (act === 'damage') one.put(layout.fence(session), 'no record')
          else
            one.fence(session, act === 'due' ? DUE : act === 'blocked' ? BLOCKED : CLOSED, {
              fenceInfo: { [key]: name },
            })
        }
        const other = one.restarted()
        for (const name of ['nova', 'cinder', 'nova@example', null])
          for (const session of [null, ...sessions])
            for (const strict of [false, true])
              expect(one.verdict({ name, session, strict })).toBe(other.verdict({ name, session, strict }))
        for (const session of sessions) {
          one.delete(layout.session(session))
          one.delete(layout.fence(session))
        }
        expect(one.users).toBe(0)
      }),
    )
  })
})

/** The session owns the lock; its token. */
function hold(session: SessionId): number {
  const key = layout.waiter(LOCK, 'exclusive', session)
  gateway.put(key, '', session)
  const token = gateway.lastRevision
  const record: LockRecord = {
    lock: LOCK,
    highWater: revision(token),
    grants: [
      {
        state: 'open',
        key,
        createRevision: revision(token),
        session,
        mode: 'exclusive',
        openedAt: '2030-01-01T00:00:00.000Z',
      },
    ],
  }
  gateway.put(layout.lockRecord(LOCK), lockRecords.encode(record))
  return token
}
