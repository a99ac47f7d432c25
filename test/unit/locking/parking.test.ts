// Where calls wait: nobody overtakes, nobody waits beyond a bound, and nothing is left behind of who has gone.

import { beforeEach, describe, expect, it } from 'vitest'
import type { LockName } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { LockState } from '../../../gateway/locking/lock-state.ts'
import { Parking, type ParkingLimits, type Undecided } from '../../../gateway/locking/parking.ts'
import type { AdmissionRequest, AdmissionResult, LedgerEntry } from '../../../gateway/spi/gate.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const ROOMY = { callsMax: 100, bytesMax: 1_000_000 }
const ENTRY: LedgerEntry = {
  session: 'session',
  leaseStands: true,
  sealed: false,
  recheck: () => null,
  ended: () => undefined,
  job: () => undefined,
  unknown: () => undefined,
  onSealed: () => undefined,
  onAbandoned: () => undefined,
}

let A: LockState
let B: LockState
let clock: ManualClock
/** What a call, by its target, is told when it is decided on. */
let verdicts: Map<string, AdmissionResult | Undecided>
/** The targets of those who were let go, in the order in which they entered the ledger. */
let entered: string[]
let catchUp: PromiseWithResolvers<boolean>

beforeEach(() => {
  A = new LockState('a' as LockName, new Layout('/fencegate'))
  B = new LockState('b' as LockName, new Layout('/fencegate'))
  clock = new ManualClock()
  verdicts = new Map()
  entered = []
  catchUp = Promise.withResolvers()
})

function parkingOf(limits: Partial<ParkingLimits> = {}): Parking {
  return new Parking({
    clock,
    limits: { total: ROOMY, lock: ROOMY, backend: () => ROOMY, ...limits },
    decide({ target }) {
      const verdict = verdicts.get(target) ?? queued(A)
      if (verdict.kind === 'admitted') entered.push(target)
      return verdict
    },
    catchUp: () => catchUp.promise,
  })
}

function queued(lock: LockState): Undecided {
  return { kind: 'queued', lock, refusal: { code: 'handover', detail: `${lock.name} is not open yet` } }
}

const NEWS: Undecided = {
  kind: 'news',
  ofLaterEpoch: false,
  refusal: { code: 'view-not-current', detail: 'newer', token: '9' },
}
const ADMITTED: AdmissionResult = { kind: 'admitted', entry: ENTRY }

function call(target: string, over: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    backend: 'cinder',
    method: 'POST',
    target,
    rule: 'r',
    locks: [{ name: A.name, mode: 'exclusive' }],
    tokens: [],
    waitMs: 1_000,
    quietMs: null,
    ...over,
  }
}

function change(lock: LockState): void {
  for (const listener of [...lock.listeners]) listener()
}

async function codeOf(result: AdmissionResult | Promise<AdmissionResult>): Promise<string> {
  const settled = await result
  return settled.kind === 'refused' ? settled.refusal.code : settled.kind
}

async function detailOf(result: AdmissionResult | Promise<AdmissionResult>): Promise<string> {
  const settled = await result
  return settled.kind === 'refused' ? settled.refusal.detail : settled.kind
}

describe('calls that wait for a lock', () => {
  it('are in the ledger in the order of their arrival, within the tick in which the lock opens', () => {
    const parking = parkingOf()
    for (const target of ['/1', '/2', '/3']) void parking.park(queued(A), call(target), null, 0)
    change(A)
    expect(entered).toEqual([])
    for (const target of ['/3', '/2', '/1']) verdicts.set(target, ADMITTED)
    change(A)
    expect(entered).toEqual(['/1', '/2', '/3'])
    expect([parking.size, A.listeners.size, clock.pendingTimers]).toEqual([0, 0, 0])
  })

  it('are each let go as soon as it is their own turn', async () => {
    const parking = parkingOf()
    const first = parking.park(queued(A), call('/1'), null, 0)
    const second = parking.park(queued(A), call('/2'), null, 0)
    verdicts.set('/2', { kind: 'refused', refusal: { code: 'stale-token', detail: 'gone' } })
    change(A)
    expect(await codeOf(second)).toBe('stale-token')
    verdicts.set('/1', ADMITTED)
    change(A)
    expect(await codeOf(first)).toBe('admitted')
  })

  it('keep their place by arrival where they come over from another lock', () => {
    const parking = parkingOf()
    void parking.park(queued(B), call('/1'), null, 0)
    void parking.park(queued(A), call('/2'), null, 0)
    change(B)
    expect(B.listeners.size).toBe(0)
    verdicts.set('/1', ADMITTED)
    verdicts.set('/2', ADMITTED)
    change(A)
    expect(entered).toEqual(['/1', '/2'])
  })

  it('are refused when their time is over, with what stands in the way then', async () => {
    const parking = parkingOf()
    const waiting = parking.park(queued(A), call('/1'), null, 0)
    verdicts.set('/1', { kind: 'refused', refusal: { code: 'view-not-current', detail: 'no lease' } })
    await clock.advance(999)
    expect(parking.size).toBe(1)
    await clock.advance(1)
    expect(await codeOf(waiting)).toBe('view-not-current')
    const other = parking.park(queued(A), call('/2'), null, 0)
    await clock.advance(1_000)
    expect(await codeOf(other)).toBe('handover')
    expect([parking.size, A.listeners.size]).toEqual([0, 0])
  })

  it('leave when their clients hang up, and are not let go any more', async () => {
    const parking = parkingOf()
    const client = new AbortController()
    const gone = parking.park(queued(A), call('/1'), client.signal, 0)
    void parking.park(queued(A), call('/2'), null, 0)
    client.abort()
    expect(await codeOf(gone)).toBe('handover')
    expect(parking.size).toBe(1)
    verdicts.set('/1', ADMITTED)
    verdicts.set('/2', ADMITTED)
    change(A)
    expect(entered).toEqual(['/2'])
    expect(await codeOf(parking.park(queued(A), call('/3'), client.signal, 0))).toBe('handover')
    expect(parking.size).toBe(0)
  })

  it('are refused with the reason when the gateway stops, and nobody waits from then on', async () => {
    const parking = parkingOf()
    const waiting = parking.park(queued(A), call('/1'), null, 0)
    parking.stop('the gateway is shutting down')
    expect(await detailOf(waiting)).toBe(
      'a is not open yet; the gateway is shutting down, and nothing of this call was sent',
    )
    expect(await codeOf(parking.park(queued(A), call('/2'), null, 0))).toBe('handover')
    expect([parking.size, A.listeners.size]).toEqual([0, 0])
  })
})

describe('where there is no more room', () => {
  const two = { callsMax: 2, bytesMax: 1_000 }

  it.each([
    ['for the lock', { lock: two }, 'too many calls wait for this lock already'],
    ['for the backend', { backend: () => two }, 'too many calls to cinder wait already'],
    ['at all', { total: two }, 'too many calls wait at this gateway already'],
  ])(
    '%s, the newest is refused at once, and the older ones keep their places',
    async (_where, limits, why) => {
      const parking = parkingOf(limits)
      void parking.park(queued(A), call('/1'), null, 10)
      void parking.park(queued(A), call('/2'), null, 10)
      const refused = parking.park(queued(A), call('/3'), null, 10)
      expect(refused).not.toBeInstanceOf(Promise)
      expect(await codeOf(refused)).toBe('handover')
      expect(await detailOf(refused)).toContain(why)
      for (const target of ['/1', '/2', '/3']) verdicts.set(target, ADMITTED)
      change(A)
      expect(entered).toEqual(['/1', '/2'])
      expect(parking.park(queued(A), call('/4'), null, 10)).toBeInstanceOf(Promise)
    },
  )

  it.each([
    ['for the lock', { lock: two }],
    ['for the backend', { backend: () => two }],
    ['at all', { total: two }],
  ])('%s, counts the bytes as well, and gives them back', async (_where, limits) => {
    const parking = parkingOf(limits)
    const client = new AbortController()
    const first = parking.park(queued(A), call('/1'), client.signal, 600)
    expect(parking.park(queued(A), call('/2'), null, 401)).not.toBeInstanceOf(Promise)
    client.abort()
    await first
    expect(parking.park(queued(A), call('/3'), null, 1_000)).toBeInstanceOf(Promise)
    expect(parking.park(queued(A), call('/4'), null, 1)).not.toBeInstanceOf(Promise)
  })

  it('for one lock or backend, there is some for the others', () => {
    const parking = parkingOf({ lock: two, backend: (name) => (name === 'cinder' ? two : ROOMY) })
    void parking.park(queued(A), call('/1'), null, 0)
    void parking.park(queued(B), call('/2'), null, 0)
    expect(parking.park(queued(B), call('/3'), null, 0)).not.toBeInstanceOf(Promise)
    expect(parking.park(queued(B), call('/4', { backend: 'nova' }), null, 0)).toBeInstanceOf(Promise)
  })
})

describe('a token that is news', () => {
  it('is decided on once the view has caught up, and may then have to wait its turn', async () => {
    const parking = parkingOf()
    const waiting = parking.park(NEWS, call('/1'), null, 0)
    catchUp.resolve(true)
    await clock.advance(0)
    expect(parking.size).toBe(1)
    verdicts.set('/1', ADMITTED)
    change(A)
    expect(await codeOf(waiting)).toBe('admitted')
  })

  it('is stale where the store has never granted it, and in doubt where the view did not catch up', async () => {
    const parking = parkingOf()
    verdicts.set('/1', NEWS)
    const never = parking.park(NEWS, call('/1'), null, 0)
    catchUp.resolve(true)
    expect(await codeOf(never)).toBe('stale-token')
    catchUp = Promise.withResolvers()
    const doubtful = parking.park(NEWS, call('/1'), null, 0)
    catchUp.resolve(false)
    expect(await codeOf(doubtful)).toBe('view-not-current')
    expect(parking.size).toBe(0)
  })

  it('that may not wait is not parked after it, and one whose client has gone is not decided on', async () => {
    const parking = parkingOf()
    const impatient = parking.park(NEWS, call('/1', { waitMs: 0 }), null, 0)
    const client = new AbortController()
    const gone = parking.park(NEWS, call('/2'), client.signal, 0)
    client.abort()
    expect(await codeOf(gone)).toBe('view-not-current')
    verdicts.set('/2', ADMITTED)
    catchUp.resolve(true)
    expect(await codeOf(impatient)).toBe('handover')
    await clock.advance(0)
    expect(entered).toEqual([])
    expect([parking.size, A.listeners.size]).toEqual([0, 0])
  })
})
