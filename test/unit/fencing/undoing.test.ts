// What a fence has left behind is undone at an operator's word, once nothing rests on the fence any more, and never before.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { FenceState } from '../../../gateway/core/fence-record.ts'
import { createFencing, type Fencing, PLAN_DEFAULTS } from '../../../gateway/fencing/plans.ts'
import { startUndoing, type Undoing } from '../../../gateway/fencing/undoing.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { type Attempt, defineFencer, type Verification } from '../../../gateway/spi/fencer.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ALIVE, anAttempt, aProof, aRecord, MemoryFences, sessionId, type TestJournal } from './support.ts'

const WORD = { by: 'ann', reason: 'the host is back' }
const QUIET_MS = 60_000
const CLOSED: FenceState = { state: 'closed', outcome: 'fenced', closedAt: '', by: null, reason: null }
const BLOCKING = { ...aProof('account'), proves: ['blocks'] as const }

let clock: ManualClock
let fences: MemoryFences
let journal: TestJournal
let undoing: Undoing
let events: GatewayEvent[]
let undone: string[]
let pending: string[]
let unfence: (attempt: Attempt) => Promise<void>
let verify: () => Promise<Verification>

function fencingOf(names: readonly string[]): Fencing {
  const driver = defineFencer({
    id: 'account',
    summary: 'takes the rights of an account',
    options: z.object({ password: z.string() }),
    fenceInfo: z.object({ userName: z.string() }),
    proves: () => ['blocks'],
    target: (info) => info.userName,
    create: () => ({
      fence: () => Promise.resolve(),
      verify: () => verify(),
      monitor: () => Promise.resolve(),
      async unfence(info, attempt) {
        await unfence(attempt)
        undone.push(info.userName)
      },
    }),
  })
  const still = {
    fence: () => Promise.resolve(),
    verify: () => verify(),
    monitor: () => Promise.resolve(),
  }
  const plain = { ...driver, create: () => still }
  return createFencing({
    fencers: Object.fromEntries(
      names.map((name) => [name, { driver: name, options: { password: 'hush-hush' } }]),
    ),
    plans: { plan: { ...PLAN_DEFAULTS, levels: [names], timeoutMs: 10_000 } },
    defaultPlan: null,
    registry: { ids: names, driver: (id) => (id === 'account' ? driver : plain), optionFaults: () => [] },
    clock,
  })
}

function begin(names: readonly string[] = ['account'], quietMs: number | null = QUIET_MS): void {
  const sink = (event: GatewayEvent) => events.push(event)
  undoing = startUndoing({ journal, fencing: fencingOf(names), clock, events: sink, quietMs })
}

const closed = (parts: Parameters<typeof aRecord>[0] = {}) =>
  aRecord({
    progress: CLOSED,
    fenceInfo: { userName: 'nova-3' },
    targets: ['account:nova-3'],
    attempts: [anAttempt({ fencer: 'account', outcome: 'verified' })],
    ...parts,
  })

const refusal = () =>
  undoing.undo('a1', WORD).then(
    () => 'undone',
    (error: unknown) => (error instanceof Error ? error.message : ''),
  )

beforeEach(() => {
  clock = new ManualClock()
  fences = new MemoryFences()
  pending = []
  journal = Object.assign(fences.journal('gw'), { pendingLocks: () => pending })
  events = []
  undone = []
  unfence = () => Promise.resolve()
  verify = () => Promise.resolve(ALIVE)
})
afterEach(() => undoing.stop())

test('it is done by each fencer that was tried and can, and stands on record with what was seen afterwards', async () => {
  fences.put(closed({ attempts: [anAttempt({ fencer: 'account' }), anAttempt({ fencer: 'plain' })] }))
  begin(['account', 'plain'])
  const record = await undoing.undo('a1', WORD)
  expect(undone).toEqual(['nova-3'])
  expect(record.undone).toEqual([
    {
      fencer: 'account',
      at: expect.any(String),
      ...WORD,
      outcome: 'undone',
      output: 'seen afterwards: not-fenced: still there',
    },
  ])
  expect(fences.record()).toEqual(record)
  expect(record.progress).toEqual(CLOSED)
  expect(events).toMatchObject([{ type: 'fence.undone', fence: 'a1', fencer: 'account', verdict: 'undone' }])
  await undoing.undo('a1', WORD)
  expect(fences.record().undone).toHaveLength(2)
})

describe('nothing is undone', () => {
  test('of a fence that is not closed, or that nobody knows', async () => {
    fences.put(closed({ progress: { state: 'blocked', reason: 'all failed' } }))
    begin()
    expect(await refusal()).toContain('is not closed yet')
    await expect(undoing.undo('b2', WORD)).rejects.toThrow('no fence "b2"')
  })

  test('while a lock of the session has not been handed over', async () => {
    fences.put(closed())
    pending = ['vmware/vm/vm-1']
    begin()
    expect(await refusal()).toContain('vmware/vm/vm-1 has not been handed over yet')
    pending = []
    expect(await refusal()).toBe('undone')
  })

  test('while another fence stands against the same target', async () => {
    fences.put(closed())
    fences.put(aRecord({ id: sessionId('b2'), targets: ['account:nova-3'] }))
    begin()
    expect(await refusal()).toContain('fence b2 against the same target')
  })

  test('before the calls that it keeps out can arrive no more, counted from when it was first seen closed here', async () => {
    fences.put(closed({ proofs: [BLOCKING] }))
    begin()
    await clock.advance(QUIET_MS - 1_000)
    expect(await refusal()).toContain('may still arrive; wait 1 s')
    undoing.stop()
    // Another gateway does not know when that was.
    begin()
    expect(await refusal()).toContain('wait 60 s')
    await clock.advance(QUIET_MS)
    expect(await refusal()).toBe('undone')
  })

  test('by a gateway that cannot prove that its view is current', async () => {
    fences.put(closed())
    journal.state.mayStrike = false
    begin()
    expect(await refusal()).toContain('cannot prove')
  })

  test('where no fencer that was tried can undo anything, or nobody was struck', async () => {
    fences.put(closed({ attempts: [anAttempt({ fencer: 'plain' })] }))
    begin(['plain'])
    expect(await refusal()).toContain('can undo anything')
    undoing.stop()
    fences.put(closed({ dryRun: true }))
    begin()
    expect(await refusal()).toContain('can undo anything')
  })
  afterEach(() => {
    if (!undone.includes('nova-3')) expect(events).toEqual([])
  })
})

test('what fails or takes too long is told as that, without secrets, and can be asked for again', async () => {
  fences.put(closed())
  begin()
  unfence = () => Promise.reject(new Error('the account is locked, password hush-hush'))
  expect((await undoing.undo('a1', WORD)).undone).toMatchObject([
    { outcome: 'failed', output: 'the account is locked, password [secret]' },
  ])
  const aborted = Promise.withResolvers<void>()
  unfence = ({ signal, number }) => {
    expect(number).toBe(3)
    signal.addEventListener('abort', () => aborted.resolve(), { once: true })
    return new Promise(() => undefined)
  }
  const late = undoing.undo('a1', WORD)
  await clock.advance(0)
  await expect(undoing.undo('a1', WORD)).rejects.toThrow('being undone already')
  await clock.advance(10_000)
  expect((await late).undone?.map(({ outcome }) => outcome)).toEqual(['failed', 'timed-out'])
  await aborted.promise
  unfence = () => Promise.resolve()
  expect((await undoing.undo('a1', WORD)).undone?.at(-1)).toMatchObject({ outcome: 'undone' })
})

test('a driver that acts late is told that something rests on the fence again', async () => {
  fences.put(closed())
  begin()
  const asked = Promise.withResolvers<Attempt>()
  const go = Promise.withResolvers<void>()
  unfence = async (attempt) => {
    asked.resolve(attempt)
    await go.promise
    if (!attempt.mayStrike()) throw new Error('withheld')
  }
  const answer = undoing.undo('a1', WORD)
  expect((await asked.promise).mayStrike()).toBe(true)
  fences.put(aRecord({ id: sessionId('b2'), targets: ['account:nova-3'] }))
  go.resolve()
  expect((await answer).undone).toMatchObject([{ outcome: 'failed', output: 'withheld' }])
  expect(undone).toEqual([])
})
