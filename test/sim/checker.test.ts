import { describe, expect, it } from 'vitest'
import { check, type Violation } from './checker.ts'
import type { HistoryEvent } from './history.ts'

type Untimed<Event> = Event extends unknown ? Omit<Event, 'atMs'> : never
const LOCK = 'volume/1'

/** One event a second. */
function broken(...events: readonly Untimed<HistoryEvent>[]): readonly Violation['promise'][] {
  const history = events.map((event, index): HistoryEvent => ({ ...event, atMs: index * 1_000 }))
  return [...new Set(check(history, { whole: true }).map(({ promise }) => promise))]
}

const registered = { kind: 'registered', gateway: 'a', incarnation: 'a-1' } as const
const queued = (token: number, session = `s${token}`, mode: 'exclusive' | 'shared' = 'exclusive') =>
  ({ kind: 'queued', lock: LOCK, token, session, mode }) as const
const opened = (token: number, session = `s${token}`, mode: 'exclusive' | 'shared' = 'exclusive') =>
  ({ kind: 'opened', lock: LOCK, token, session, mode, by: 'a' }) as const
const unqueued = (token: number, leaseEnded = false, session = `s${token}`) =>
  ({ kind: 'unqueued', lock: LOCK, token, session, leaseEnded, by: 'a' }) as const
const sealed = (token: number, cause: 'released' | 'expired' | 'revoked', session = `s${token}`) =>
  ({ kind: 'sealed', lock: LOCK, token, session, cause, by: 'a', revision: token + 100 }) as const
const closed = (token: number) => ({ kind: 'closed', lock: LOCK, token, by: 'a' }) as const
const fence = (session: string, state: 'due' | 'closed' | 'blocked' | 'deleted') =>
  ({ kind: 'fence', session, cause: 'expired', state, claim: null, outcome: null, by: 'a' }) as const
const leaseEnded = (lease: string, by: string | null = null) => ({ kind: 'lease-ended', lease, by }) as const
const admitted = (call: number, token: number, mode: 'exclusive' | 'shared' = 'exclusive') =>
  ({ kind: 'admitted', gateway: 'a', call, lock: LOCK, token, mode }) as const
const executed = (call: number, token: number, mode: 'exclusive' | 'shared' = 'exclusive') =>
  ({ kind: 'executed', call, lock: LOCK, token, mode }) as const
const granted = (token: number) =>
  ({ kind: 'granted', lock: LOCK, token, session: `s${token}`, gateway: 'a' }) as const
const releaseAsked = (session: string, lock: string | null = LOCK) =>
  ({ kind: 'release-asked', id: 1, lock, session, gateway: 'a' }) as const
const releaseDone = { kind: 'release-answered', id: 1, how: 'done' } as const
const struck = (session: string, gateway = 'a') =>
  ({ kind: 'struck', gateway, session, fencer: 'kill' }) as const
const running = (session: string, claim: string) =>
  ({ kind: 'fence', session, cause: 'expired', state: 'running', claim, outcome: null, by: 'a' }) as const
const refused = (token: number, code = 'stale-token') =>
  ({ kind: 'refused', gateway: 'a', lock: LOCK, token, code }) as const
const blocked = { kind: 'blocked', lock: LOCK, reason: 'nothing ends the call' } as const
const settled = { kind: 'settled', mayBlock: false } as const
/** 5 is released in good order, 9 is open. */
const handedOver = [
  registered,
  queued(5),
  opened(5),
  queued(9),
  releaseAsked('s5'),
  unqueued(5),
  sealed(5, 'released'),
  releaseDone,
  closed(5),
  opened(9),
] as const

const sessionOpened = (session: string, revision: number, targets: readonly string[] = []) =>
  ({ kind: 'session-opened', session, holder: 'h', targets, revision }) as const
const fenceAt = (
  session: string,
  state: 'due' | 'closed',
  revision: number,
  targets: readonly string[] = [],
) => ({ ...fence(session, state), revision, targets }) as const
const login = (seen: number, code: string | null = null) =>
  ({ kind: 'login', gateway: 'a', holder: 'h', seen, code }) as const
/** His lease ends at 6; the fence is written at 7, and closed at 8. */
const expired = [
  registered,
  sessionOpened('s5', 4),
  queued(5),
  opened(5),
  { ...unqueued(5, true), revision: 6 },
  leaseEnded('s5'),
] as const

describe('the checker', () => {
  it('finds nothing in a handover in good order', () => {
    expect(broken(...handedOver, admitted(1, 9), executed(1, 9), settled)).toEqual([])
  })

  it('finds nothing in an expiry whose fence is closed before the next call', () => {
    const ended = [unqueued(5, true), leaseEnded('s5'), fence('s5', 'due'), sealed(5, 'expired')] as const
    const next = [fence('s5', 'closed'), queued(9), closed(5), opened(9), admitted(1, 9), settled] as const
    expect(broken(registered, queued(5), opened(5), ...ended, ...next)).toEqual([])
  })

  it('flags an older token that is admitted after a newer one (I1)', () => {
    expect(broken(...handedOver, admitted(1, 9), admitted(2, 5))).toContain('I1')
  })

  it('lets readers be admitted in any order', () => {
    const readers = [queued(5, 'r', 'shared'), opened(5, 'r', 'shared'), queued(6, 'q', 'shared')] as const
    const calls = [opened(6, 'q', 'shared'), admitted(1, 6, 'shared'), admitted(2, 5, 'shared')] as const
    expect(broken(registered, ...readers, ...calls)).toEqual([])
  })

  it('flags an admission under a token that the store never opened (I1)', () => {
    expect(broken(registered, queued(5), admitted(1, 5))).toEqual(['I1'])
  })

  it('flags an admission by a gateway that has reported the seal (I1)', () => {
    const ended = [registered, queued(5), opened(5), unqueued(5), sealed(5, 'released')] as const
    const reported = (revision: number) => ({ kind: 'reported', gateway: 'a', sealed: revision }) as const
    expect(broken(...ended, reported(104), admitted(1, 5))).toEqual([])
    expect(broken(...ended, reported(105), admitted(1, 5))).toEqual(['I1'])
  })

  it('flags an older call that takes effect after a newer one was admitted (I2)', () => {
    const both = [registered, queued(5), opened(5), admitted(1, 5), queued(9)] as const
    const over = [unqueued(5), sealed(5, 'released'), closed(5), opened(9), admitted(2, 9)] as const
    expect(broken(...both, ...over, executed(1, 5))).toEqual(['I2'])
  })

  it('flags a call that takes effect and was never admitted (I2)', () => {
    expect(broken(...handedOver, executed(1, 9))).toEqual(['I2'])
  })

  it('flags two conflicting grants open at once (I2)', () => {
    expect(broken(registered, queued(5), opened(5), queued(9), opened(9))).toEqual(['I2'])
  })

  it('flags a call of the next owner while the old one’s fence is open (I3)', () => {
    const ended = [unqueued(5, true), leaseEnded('s5'), fence('s5', 'due'), sealed(5, 'expired')] as const
    const next = [queued(9), closed(5), opened(9), admitted(1, 9)] as const
    expect(broken(registered, queued(5), opened(5), ...ended, ...next)).toEqual(['I3'])
  })

  it('flags an expired holder without a fence (I4)', () => {
    const ended = [unqueued(5, true), leaseEnded('s5'), sealed(5, 'expired'), closed(5), settled] as const
    expect(broken(registered, queued(5), opened(5), ...ended)).toEqual(['I4'])
  })

  it('flags an expired holder that is taken for one that released (I4)', () => {
    const ended = [unqueued(5, true), leaseEnded('s5'), sealed(5, 'released')] as const
    expect(broken(registered, queued(5), opened(5), ...ended)).toEqual(['I4'])
  })

  it('flags a fence that is deleted before it was closed (I4)', () => {
    expect(broken(leaseEnded('s5'), fence('s5', 'due'), fence('s5', 'deleted'))).toEqual(['I4'])
  })

  it('flags an admission by a gateway whose lease is over (I5)', () => {
    const lost = { kind: 'lost', gateway: 'store', incarnation: 'a-1' } as const
    expect(broken(...handedOver, lost, admitted(1, 9))).toEqual(['I5'])
  })

  it('flags tokens that go back (I6)', () => {
    expect(broken(queued(9), queued(5))).toEqual(['I6'])
  })

  it('flags a token that is opened a second time (I6)', () => {
    const again = [unqueued(5), sealed(5, 'released'), closed(5), opened(5)] as const
    expect(broken(queued(5), opened(5), ...again)).toEqual(['I6'])
  })

  it('flags a fence of a session whose lease lives (I7)', () => {
    expect(broken(queued(5), opened(5), fence('s5', 'due'))).toEqual(['I7'])
  })

  it('flags a released grant that a gateway with a whole view takes for expired (I7)', () => {
    const ended = [
      unqueued(5),
      leaseEnded('s5', 'foreign'),
      fence('s5', 'closed'),
      sealed(5, 'expired'),
    ] as const
    expect(broken(queued(5), opened(5), ...ended)).toEqual(['I7'])
  })

  it('lets a gateway that reads a snapshot later be in doubt', () => {
    const snapshot = { kind: 'snapshot', gateway: 'a' } as const
    const ended = [unqueued(5), leaseEnded('s5', 'foreign'), snapshot, fence('s5', 'closed')] as const
    expect(broken(queued(5), opened(5), ...ended, sealed(5, 'expired'))).toEqual([])
  })

  it('flags a holder that is fenced after he closed his session (I7)', () => {
    const closing = [granted(5), releaseAsked('s5', null), unqueued(5, true), leaseEnded('s5', 'a')] as const
    const fenced = [releaseDone, fence('s5', 'closed'), sealed(5, 'expired')] as const
    expect(broken(queued(5), opened(5), ...closing, ...fenced)).toEqual(['I7'])
  })

  it('flags a grant that is taken from who was told that it is his (I7)', () => {
    expect(broken(queued(5), opened(5), releaseAsked('s5'), releaseDone, granted(5), unqueued(5))).toEqual([
      'I7',
    ])
  })

  it('flags a release that never resolves (I8)', () => {
    expect(broken(queued(5), opened(5), releaseAsked('s5'))).toEqual(['I8'])
  })

  it('flags a lock with waiters and no owner, and a handover without end (I9)', () => {
    expect(broken(queued(5), settled)).toEqual(['I9'])
    expect(broken(queued(5), opened(5), unqueued(5), sealed(5, 'released'), settled)).toEqual(['I9'])
    expect(broken({ kind: 'probed', lock: LOCK, granted: false, detail: '' })).toEqual(['I9'])
  })

  it('flags a process that would have ended with an error', () => {
    expect(broken({ kind: 'crashed', gateway: 'a', error: 'Error' })).toEqual(['crash'])
  })

  it('flags a fence that was closed without anybody having seen anything (I3)', () => {
    const due = [registered, queued(5), opened(5), leaseEnded('s5'), fence('s5', 'due')] as const
    const over = { ...fence('s5', 'closed'), outcome: 'fenced' } as const
    const seen = { kind: 'verified', session: 's5', fencer: 'kill' } as const
    expect(broken(...due, seen, over)).toEqual([])
    expect(broken(...due, over)).toEqual(['I3'])
  })

  it('flags a strike that nothing asked for, without a lease, or while another has the claim (I7)', () => {
    const due = [registered, leaseEnded('s5'), fence('s5', 'due'), running('s5', 'a-1')] as const
    const other = { kind: 'registered', gateway: 'b', incarnation: 'b-1' } as const
    const lost = { kind: 'lost', gateway: 'store', incarnation: 'a-1' } as const
    expect(broken(...due, struck('s5'))).toEqual([])
    expect(broken(registered, struck('s5'))).toEqual(['I7'])
    expect(broken(...due, lost, struck('s5'))).toEqual(['I7'])
    expect(broken(...due, other, struck('s5', 'b'))).toEqual(['I7'])
  })

  it('flags a fence that is run again after it was closed (I7)', () => {
    expect(broken(leaseEnded('s5'), fence('s5', 'due'), fence('s5', 'closed'), running('s5', 'a-1'))).toEqual(
      ['I7'],
    )
  })

  it('flags a token that is called stale while it is held, and nobody wants to end that (I9)', () => {
    const held = [registered, queued(5), opened(5)] as const
    expect(broken(...held, refused(5))).toEqual(['I9'])
    expect(broken(queued(5), refused(5))).toEqual(['I9'])
    expect(broken(...held, refused(5, 'handover'))).toEqual([])
    expect(broken(...held, releaseAsked('s5'), refused(5), releaseDone)).toEqual([])
    expect(broken(...held, unqueued(5), refused(5))).toEqual([])
  })

  it('flags a release that was answered and never said to the store (I8)', () => {
    const held = [registered, queued(5), opened(5), granted(5), releaseAsked('s5')] as const
    expect(broken(...held, { ...releaseDone, how: 'failed' }, settled)).toEqual([])
    expect(broken(...held, releaseDone, settled)).toEqual(['I8'])
    const again = { kind: 'acquire-asked', lock: LOCK, session: 's5' } as const
    expect(broken(...held, releaseDone, again, settled)).toEqual([])
    const died = { kind: 'gateway', gateway: 'a', what: 'died' } as const
    expect(broken(...held, releaseDone, died, settled)).toEqual([])
  })

  it('lets a lock stand where it is blocked, says why, and may be (I9)', () => {
    const stuck = [queued(5), opened(5), unqueued(5), sealed(5, 'released')] as const
    const mayBlock = { ...settled, mayBlock: true } as const
    const probed = { kind: 'probed', lock: LOCK, granted: false, detail: '' } as const
    expect(broken(...stuck, blocked, mayBlock, probed)).toEqual([])
    expect(broken(...stuck, mayBlock)).toEqual(['I9'])
    expect(broken(...stuck, { ...blocked, reason: '' }, mayBlock)).toEqual(['I9'])
    expect(broken(...stuck, blocked, settled)).toEqual(['I9'])
  })

  it('flags a call under a token that a restored store gave a second time (I6)', () => {
    const back = { kind: 'restored', from: 20, to: 4 } as const
    expect(broken(...handedOver, back, queued(5), admitted(1, 5))).toEqual(['I6'])
    // Its own token, from before: the gateway has not noticed yet, and nobody else admits anything.
    expect(broken(...handedOver, back, admitted(1, 9))).toEqual([])
    expect(broken(...handedOver, admitted(1, 9), back, admitted(2, 5))).toEqual(['I1'])
  })

  it('goes on in a new epoch above what was admitted before, and counts everything again (I6, I2)', () => {
    const back = { kind: 'restored', from: 20, to: 4 } as const
    const bumped = { kind: 'bumped', epoch: 1, fences: [], sessions: ['s5'] } as const
    const next = [queued(100), opened(100), admitted(2, 100)] as const
    expect(broken(...handedOver, admitted(1, 9), back, bumped, registered, ...next)).toEqual([])
    // What the store has forgotten is still on its way.
    expect(broken(...handedOver, admitted(1, 9), back, bumped, registered, ...next, executed(1, 9))).toEqual([
      'I2',
    ])
    // Of what the backup brought back nothing is opened.
    expect(broken(...handedOver, back, bumped, opened(9))).toEqual(['I6'])
    expect(broken(...handedOver, back, queued(5), bumped, registered, admitted(3, 5))).toEqual(['I6', 'I1'])
  })

  it('holds nobody to what a history that is not whole does not show', () => {
    const events = [registered, queued(5), opened(5), refused(5)] as const
    const history = events.map((event, index): HistoryEvent => ({ ...event, atMs: index }))
    expect(check(history)).toEqual([])
  })

  it('finds a login that is let through while the fence is due, by a gateway that has seen so', () => {
    const due = [...expired, sealed(5, 'expired'), fenceAt('s5', 'due', 7)]
    expect(broken(...due, login(7))).toEqual(['I3'])
    expect(broken(...due, login(6))).toEqual(['I3'])
    expect(broken(...due, login(5))).toEqual([])
    expect(broken(...due, login(7, 'fence-due'), login(7, 'view-not-current'))).toEqual([])
    expect(broken(...due, fenceAt('s5', 'closed', 8), login(7), login(8))).toEqual([])
  })

  it('finds a login that is let through between the end of the lease and the fence', () => {
    expect(broken(...expired, login(6))).toEqual(['I3'])
    expect(broken(...expired, login(5))).toEqual([])
    // Who has closed his session owes nothing.
    expect(broken(...expired, { kind: 'session-forgotten', session: 's5' }, login(6))).toEqual([])
  })

  it('finds a login that is let through by a gateway that has lost its lease', () => {
    const lost = { kind: 'lost', gateway: 'a', incarnation: 'a-1' } as const
    const due = [...expired, lost, sealed(5, 'expired'), fenceAt('s5', 'due', 7)]
    expect(broken(...due, login(5))).toEqual(['I5'])
    expect(broken(...due, login(3))).toEqual([])
    expect(broken(...due, login(5, 'view-not-current'))).toEqual([])
  })

  it('finds a holder who is kept out although nothing of his is due any more', () => {
    const due = [...expired, { ...sealed(5, 'expired'), revision: 7 }, fenceAt('s5', 'due', 7)]
    expect(broken(...due, fenceAt('s5', 'closed', 8), login(8, 'fence-due'))).toEqual(['I9'])
    expect(broken(...due, fenceAt('s5', 'closed', 8), login(7, 'fence-due'))).toEqual([])
  })

  it('finds a login that was answered and that its fence does not know', () => {
    const answered = { kind: 'login-answered', session: 's5', login: 'l1' } as const
    const knowing = { ...fenceAt('s5', 'due', 7), logins: ['l1'] } as const
    const before = [...expired, sealed(5, 'expired')]
    expect(broken(...before, answered, fenceAt('s5', 'due', 7))).toEqual(['I3'])
    expect(broken(...before, fenceAt('s5', 'due', 7), answered)).toEqual(['I3'])
    expect(broken(...before, answered, knowing)).toEqual([])
    expect(broken(...before, knowing, answered)).toEqual([])
  })

  it('finds a session that is granted with the target of a fence that is not closed', () => {
    const before = [...expired, sealed(5, 'expired')]
    const due = fenceAt('s5', 'due', 7, ['kill:1'])
    const revived = sessionOpened('s9', 9, ['kill:1'])
    const told = { kind: 'session-granted', session: 's9' } as const
    expect(broken(...before, due, revived, told)).toEqual(['I3'])
    expect(broken(...before, due, sessionOpened('s9', 9, ['kill:2']), told)).toEqual([])
    expect(broken(...before, due, revived, fenceAt('s5', 'closed', 10), told)).toEqual([])
    expect(broken(...before, due, fenceAt('s5', 'closed', 8), revived, told)).toEqual([])
  })
})
