// The sequencer with real attempts, scripted fencers, a journal in memory and a clock that a test moves.

import { describe, expect, test } from 'vitest'
import { InvariantViolation } from '../../../gateway/core/invariant.ts'
import { startSequencer } from '../../../gateway/fencing/sequencer.ts'
import type { Attempt } from '../../../gateway/spi/fencer.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { setUp } from './sequencing.ts'
import { ALIVE, aRecord, revision, SEEN, scripted } from './support.ts'

const never = (): Promise<never> => new Promise(() => undefined)
const fails = (): Promise<never> => Promise.reject(new Error('refused by the BMC'))

describe('a fence that succeeds', () => {
  test('is claimed, verified and closed, and every step is on record', async () => {
    const { clock, fences, events, due, start } = setUp({ one: {} }, { levels: [['one']] })
    due()
    start('gw')
    await clock.advance(0)
    const record = fences.record()
    expect(record.progress).toMatchObject({ state: 'closed', outcome: 'fenced' })
    expect(record.attempts).toMatchObject([{ fencer: 'one', number: 1, outcome: 'verified', level: 0 }])
    expect(record.proofs).toMatchObject([{ fencer: 'one', proves: ['no-new-calls'], observed: 'gone' }])
    expect(events.map((event) => event.type)).toEqual(['fence.started', 'fence.attempted', 'fence.closed'])
  })

  test('is taken up by a change of the journal, and also without one', async () => {
    const { clock, fences, due, start } = setUp({ one: {} }, { levels: [['one']] })
    const { journal } = start('gw')
    journal.state.mayStrike = false
    due()
    await clock.advance(0)
    expect(fences.record().progress.state).toBe('due')
    journal.state.mayStrike = true
    await clock.advance(2_000)
    expect(fences.record().progress.state).toBe('closed')
  })

  test('runs the fencers of a level side by side, and needs all of them', async () => {
    const slow = Promise.withResolvers<void>()
    const { clock, fences, log, due, start } = setUp(
      { one: { fence: () => slow.promise }, two: {} },
      { levels: [['one', 'two']] },
    )
    due()
    start('gw')
    await clock.advance(500)
    expect(log).toContain('two verify 2')
    expect(fences.record().progress.state).toBe('running')
    slow.resolve()
    await clock.advance(500)
    expect(fences.record().progress.state).toBe('closed')
  })

  test('polls what it sees until it is proven: the first look decides nothing', async () => {
    let looks = 0
    const verify = () => Promise.resolve(++looks < 4 ? ALIVE : SEEN)
    const { clock, fences, due, start } = setUp({ one: { verify } }, { levels: [['one']] })
    due()
    start('gw')
    await clock.advance(9_000)
    expect(looks).toBe(4)
    expect(fences.record().attempts).toHaveLength(1)
    expect(fences.record().progress.state).toBe('closed')
  })

  test('believes what it sees over an action that reported a failure', async () => {
    const { clock, fences, due, start } = setUp({ one: { fence: fails } }, { levels: [['one']] })
    due()
    start('gw')
    await clock.advance(1_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(fences.record().attempts[0]?.output).toContain('refused by the BMC')
  })
})

describe('a fence that does not', () => {
  test('an action that succeeds without being seen to is a failure in the end', async () => {
    const { clock, fences, due, start } = setUp(
      { one: { verify: () => Promise.resolve(ALIVE) } },
      { levels: [['one']], attempts: 1 },
    )
    due()
    start('gw')
    await clock.advance(30_000)
    expect(fences.record().attempts).toMatchObject([{ outcome: 'timed-out' }])
    expect(fences.record().progress).toMatchObject({ state: 'blocked' })
    expect(JSON.stringify(fences.record().progress)).toContain('still there')
  })

  test('a fencer that sees nothing never closes the fence', async () => {
    const verify = () => Promise.resolve({ state: 'unknown' as const, reason: 'no route' })
    const { clock, fences, due, start } = setUp({ one: { verify } }, { levels: [['one']], attempts: 1 })
    due()
    start('gw')
    await clock.advance(30_000)
    expect(fences.record().attempts).toMatchObject([{ outcome: 'unknown' }])
    expect(fences.record().progress.state).toBe('blocked')
  })

  test('a hung action ends with its deadline, is told so, and counts as a failure', async () => {
    const signals: AbortSignal[] = []
    const { clock, fences, due, start } = setUp(
      {
        one: {
          fence(attempt) {
            signals.push(attempt.signal)
            return never()
          },
        },
      },
      { levels: [['one']], attempts: 1 },
    )
    due()
    start('gw')
    await clock.advance(9_999)
    expect(signals[0]?.aborted).toBe(false)
    await clock.advance(2)
    expect(signals[0]?.aborted).toBe(true)
    expect(fences.record().attempts).toMatchObject([{ outcome: 'timed-out' }])
  })

  test('what is seen only after the deadline does not count', async () => {
    const sight = Promise.withResolvers<typeof SEEN>()
    const { clock, fences, due, start } = setUp(
      { one: { verify: () => sight.promise } },
      { levels: [['one']], attempts: 1 },
    )
    due()
    start('gw')
    await clock.advance(5_000)
    // The process stood still across the deadline: the answer is there before any timer ran.
    sight.resolve(SEEN)
    await clock.stall(60_000)
    await clock.advance(1_000)
    expect(fences.record().attempts[0]?.outcome).not.toBe('verified')
    expect(fences.record().progress.state).toBe('blocked')
  })

  test('tries each level as often as it may, with growing pauses, before it goes on to the next', async () => {
    const times: number[] = []
    const clockOf: { now: () => number } = { now: () => 0 }
    const { clock, fences, log, due, start } = setUp(
      {
        one: {
          fence() {
            times.push(clockOf.now())
            return fails()
          },
          verify: () => Promise.resolve(ALIVE),
        },
        two: {},
      },
      { levels: [['one'], ['two']] },
    )
    clockOf.now = () => clock.monotonicMs()
    due()
    start('gw')
    await clock.advance(60_000)
    expect(log.filter((line) => line.startsWith('one fence'))).toHaveLength(3)
    const [first = 0, second = 0, third = 0] = times
    expect(second - first).toBeGreaterThanOrEqual(1_000)
    expect(third - second).toBeGreaterThan(second - first)
    expect(fences.record().proofs.map((proof) => proof.fencer)).toEqual(['two'])
    expect(fences.record().progress.state).toBe('closed')
  })

  test('after the last level it is blocked, with the reason and what can be done, and says so', async () => {
    const { clock, fences, events, due, start } = setUp(
      { one: { fence: fails, verify: () => Promise.resolve(ALIVE) } },
      { levels: [['one']] },
    )
    due()
    start('gw')
    await clock.advance(120_000)
    const { progress } = fences.record()
    expect(progress).toMatchObject({ state: 'blocked' })
    expect(JSON.stringify(progress)).toMatch(/refused by the BMC.*confirm/)
    expect(events.at(-1)).toMatchObject({ type: 'fence.blocked', fence: 'a1' })
  })

  test('a fencer that is not configured any more is refused, and the next level has its turn', async () => {
    const { clock, fences, start } = setUp({ one: {} }, { levels: [['one']] })
    fences.put(aRecord({ levels: [['vanished'], ['one']] }))
    start('gw')
    await clock.advance(60_000)
    expect(fences.record().attempts[0]).toMatchObject({ fencer: 'vanished', outcome: 'refused' })
    expect(fences.record().progress.state).toBe('closed')
  })

  test('a fenceInfo that names nobody strikes nobody', async () => {
    const { clock, fences, log, start } = setUp({ one: {} }, { levels: [['one']], attempts: 1 })
    fences.put(aRecord({ fenceInfo: {} }))
    start('gw')
    await clock.advance(1_000)
    expect(log).toEqual([])
    expect(fences.record().attempts).toMatchObject([{ outcome: 'refused' }])
    expect(fences.record().progress.state).toBe('blocked')
  })
})

describe('the seal', () => {
  test('a proof about calls is looked for only after every gateway has sealed; the strike does not wait', async () => {
    const { clock, fences, log, due, start } = setUp({ one: { proves: ['swept'] } }, { levels: [['one']] })
    const { journal } = start('gw')
    const sealed = Promise.withResolvers<ReturnType<typeof revision>>()
    journal.state.sealed = sealed.promise
    due()
    await clock.advance(60_000)
    expect(log).toEqual(['one fence 1'])
    sealed.resolve(revision(4711))
    await clock.advance(1_000)
    expect(log).toEqual(['one fence 1', 'one verify 1'])
    expect(fences.record().proofs).toMatchObject([{ proves: ['swept'], sealedThrough: 4711 }])
    expect(fences.record().progress.state).toBe('closed')
  })

  test('a sweep beside a block begins once the block has been seen, whatever their order in the plan', async () => {
    let seen = false
    const verify = () => Promise.resolve(seen ? SEEN : ALIVE)
    const { clock, fences, log, due, start } = setUp(
      { sweep: { proves: ['swept'] }, block: { proves: ['blocks'], verify }, kill: {} },
      { levels: [['sweep', 'block', 'kill']] },
    )
    due()
    start('gw')
    await clock.advance(10_000)
    expect(log).toContain('kill verify 2')
    expect(log.join()).not.toContain('sweep')
    seen = true
    await clock.advance(10_000)
    expect(fences.record().progress.state).toBe('closed')
    const order = fences.record().proofs.map(({ fencer }) => fencer)
    expect(order.indexOf('sweep')).toBeGreaterThan(order.indexOf('block'))
  })

  test('a block that could not be seen leaves the sweep to the next round', async () => {
    let tries = 0
    const fence = () => (++tries === 1 ? fails() : Promise.resolve())
    const verify = () => Promise.resolve(tries > 1 ? SEEN : ALIVE)
    const { clock, fences, log, due, start } = setUp(
      { sweep: { proves: ['swept'] }, block: { proves: ['blocks'], fence, verify } },
      { levels: [['sweep', 'block']] },
    )
    due()
    start('gw')
    await clock.advance(120_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(log.filter((line) => line.startsWith('sweep fence'))).toHaveLength(1)
    expect(fences.record().proofs.map(({ proves }) => proves[0])).toEqual(['blocks', 'swept'])
  })

  test('a proof that says nothing about calls does not wait for it', async () => {
    const { clock, fences, due, start } = setUp({ one: {} }, { levels: [['one']] })
    const { journal } = start('gw')
    journal.state.sealed = never()
    due()
    await clock.advance(1_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(fences.record().proofs[0]?.sealedThrough).toBe(0)
  })

  test('a seal that cannot be learned is no failure of the fencer, and never leads to a stronger one', async () => {
    const { clock, fences, log, faults, due, start } = setUp(
      { one: { proves: ['swept'] }, power: { power: true } },
      { levels: [['one'], ['power']] },
    )
    const { journal } = start('gw')
    const broken = Promise.reject(new Error('no quorum'))
    broken.catch(() => undefined)
    journal.state.sealed = broken
    due()
    await clock.advance(60_000)
    expect(log.some((line) => line.startsWith('power'))).toBe(false)
    expect(faults[0]).toContain('no quorum')
    journal.state.sealed = Promise.resolve(revision(5))
    await clock.advance(5_000)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('several gateways', () => {
  test('one of them runs the fence, the others leave it alone', async () => {
    const { clock, log, due, start, fences } = setUp({ one: {} }, { levels: [['one']] })
    start('gw-1')
    start('gw-2')
    start('gw-3')
    due()
    await clock.advance(5_000)
    expect(log).toEqual(['one fence 1', 'one verify 1'])
    expect(fences.record().attempts).toHaveLength(1)
  })

  test('a fence whose gateway died in the middle is taken over, and done', async () => {
    let hang = true
    const { clock, fences, log, due, start } = setUp(
      { one: { fence: () => (hang ? never() : Promise.resolve()) } },
      { levels: [['one']], timeoutMs: 3_600_000 },
    )
    const dead = start('gw-1')
    due()
    await clock.advance(1_000)
    expect(fences.record().progress).toMatchObject({ state: 'running', claim: { incarnation: 'gw-1' } })
    start('gw-2')
    await clock.advance(5_000)
    expect(log).toEqual(['one fence 1'])
    hang = false
    dead.journal.state.refuseWrites = Number.MAX_SAFE_INTEGER
    dead.journal.state.mayStrike = false
    fences.gone.add('gw-1')
    await clock.advance(5_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(log.filter((line) => line === 'one fence 1')).toHaveLength(2)
  })

  test('a gateway that cannot prove its claim breaks off, and a driver that asks is not let strike', async () => {
    const seen: boolean[] = []
    const signals: AbortSignal[] = []
    const { clock, fences, due, start } = setUp(
      {
        one: {
          async fence(attempt) {
            signals.push(attempt.signal)
            seen.push(attempt.mayStrike())
            await new Promise<void>((resolve) => attempt.clock.after(2_000, resolve))
            seen.push(attempt.mayStrike())
          },
        },
      },
      { levels: [['one']] },
    )
    const { journal } = start('gw')
    due()
    await clock.advance(1_000)
    journal.state.mayStrike = false
    await clock.advance(200)
    expect(signals[0]?.aborted).toBe(true)
    await clock.advance(5_000)
    expect(seen).toEqual([true, false])
    expect(fences.record().proofs).toEqual([])
    journal.state.mayStrike = true
    await clock.advance(10_000)
    expect(fences.record().progress.state).toBe('closed')
  })

  test('an attempt that was broken off for a lost claim does not lead to a stronger fencer', async () => {
    let hang = true
    const { clock, fences, log, due, start } = setUp(
      { one: { fence: () => (hang ? never() : Promise.resolve()) }, power: { power: true } },
      { levels: [['one'], ['power']], attempts: 1 },
    )
    const { journal } = start('gw')
    due()
    await clock.advance(1_000)
    journal.state.mayStrike = false
    await clock.advance(5_000)
    hang = false
    journal.state.mayStrike = true
    await clock.advance(20_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(log.filter((line) => line.startsWith('power'))).toEqual([])
  })

  test('a process that stood still past its deadline is not let strike, before any timer has run', async () => {
    const asked: boolean[] = []
    const go = Promise.withResolvers<void>()
    const { clock, due, start } = setUp(
      {
        one: {
          async fence(attempt) {
            await go.promise
            asked.push(attempt.mayStrike())
          },
        },
      },
      { levels: [['one']], attempts: 1 },
    )
    start('gw')
    due()
    await clock.advance(100)
    go.resolve()
    await clock.stall(60_000)
    expect(asked).toEqual([false])
  })
})

describe('an operator', () => {
  test('who confirms while an attempt runs ends it, and his word stands', async () => {
    const signals: AbortSignal[] = []
    const { clock, fences, due, start } = setUp(
      {
        one: {
          fence(attempt) {
            signals.push(attempt.signal)
            return never()
          },
        },
      },
      { levels: [['one']] },
    )
    const { sequencer } = start('gw')
    due()
    await clock.advance(1_000)
    const confirmed = {
      state: 'closed' as const,
      outcome: 'confirmed' as const,
      closedAt: '2030-01-01T00:00:01.000Z',
      by: 'op',
      reason: 'cord pulled',
    }
    fences.put({ ...fences.record(), progress: confirmed })
    await clock.advance(100)
    expect(signals[0]?.aborted).toBe(true)
    expect(sequencer.running).toEqual([])
    await clock.advance(60_000)
    expect(fences.record().progress).toEqual(confirmed)
  })

  test('who retries a blocked fence gets every level anew', async () => {
    let works = false
    const { clock, fences, log, due, start } = setUp(
      {
        one: {
          fence: () => (works ? Promise.resolve() : fails()),
          verify: () => Promise.resolve(works ? SEEN : ALIVE),
        },
      },
      { levels: [['one']], attempts: 2 },
    )
    start('gw')
    due()
    await clock.advance(60_000)
    expect(fences.record().progress.state).toBe('blocked')
    works = true
    fences.put({ ...fences.record(), progress: { state: 'due', level: 0 } })
    await clock.advance(1_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(log.filter((line) => line.startsWith('one fence'))).toEqual([
      'one fence 1',
      'one fence 2',
      'one fence 3',
    ])
  })

  test('who retries a fence that runs begins it anew', async () => {
    let calls = 0
    const { clock, fences, due, start } = setUp(
      { one: { fence: () => (++calls === 1 ? never() : Promise.resolve()) } },
      { levels: [['one']], timeoutMs: 3_600_000 },
    )
    start('gw')
    due()
    await clock.advance(1_000)
    fences.put({ ...fences.record(), progress: { state: 'due', level: 0 } })
    await clock.advance(1_000)
    expect(calls).toBe(2)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('the store', () => {
  test('a write that did not come through is made again, one whose answer was lost is not made twice', async () => {
    for (const trouble of ['refuseWrites', 'lostAnswers'] as const) {
      const { clock, fences, events, due, start } = setUp({ one: {} }, { levels: [['one']] })
      const { journal } = start('gw')
      journal.state[trouble] = 3
      due()
      await clock.advance(20_000)
      expect(fences.record().progress.state, trouble).toBe('closed')
      expect(
        fences.record().attempts.filter((attempt) => attempt.number === 1),
        trouble,
      ).toHaveLength(1)
      expect(
        events.filter((event) => event.type === 'fence.closed'),
        trouble,
      ).toHaveLength(1)
    }
  })

  test.each(['running', 'closed'])(
    'a write whose answer was lost is found in the record, and reported once (%s)',
    async (lost) => {
      const { clock, fences, events, due, start } = setUp({ one: {} }, { levels: [['one']] })
      const { journal } = start('gw')
      journal.state.losesAnswerOf = (record) => record.progress.state === lost && record.attempts.length > 0
      journal.state.lostAnswers = 1
      due()
      await clock.advance(20_000)
      expect(journal.state.lostAnswers).toBe(0)
      expect(fences.record().attempts).toHaveLength(1)
      expect(fences.record().progress.state).toBe('closed')
      expect(events.map((event) => event.type)).toEqual(['fence.started', 'fence.attempted', 'fence.closed'])
    },
  )

  test('an outage makes no busy loop of claims', async () => {
    const { clock, faults, due, start } = setUp({ one: {} }, { levels: [['one']] })
    const { journal } = start('gw')
    journal.state.refuseWrites = 1_000_000
    due()
    await clock.advance(10_000)
    expect(faults.length).toBeGreaterThan(5)
    expect(faults.length).toBeLessThan(20)
  })
})

describe('the brakes', () => {
  test('no more fences of a plan run at once than it allows', async () => {
    let atOnce = 0
    let most = 0
    const fence = async (attempt: Attempt) => {
      most = Math.max(most, ++atOnce)
      await new Promise<void>((resolve) => attempt.clock.after(1_000, resolve))
      atOnce--
    }
    const brakes = { atOnce: 2, powerPerHour: 4, backoffMs: 1_000, backoffMsMax: 8_000 }
    const { clock, fences, due, start } = setUp({ one: { fence } }, { levels: [['one']], brakes })
    const ids = ['a1', 'a2', 'a3', 'a4', 'a5']
    for (const id of ids) due(id)
    start('gw')
    await clock.advance(10_000)
    expect(most).toBe(2)
    expect(ids.map((id) => fences.record(id).progress.state)).toEqual(ids.map(() => 'closed'))
  })

  test("power fences past the hour's ration are not struck, and an operator is asked", async () => {
    const brakes = { atOnce: 10, powerPerHour: 2, backoffMs: 1_000, backoffMsMax: 8_000 }
    const { clock, fences, log, due, start } = setUp({ one: { power: true } }, { levels: [['one']], brakes })
    start('gw')
    for (const id of ['a1', 'a2', 'a3']) {
      due(id)
      await clock.advance(1_000)
    }
    expect(log.filter((line) => line.startsWith('one fence'))).toHaveLength(2)
    expect(fences.record('a3').progress).toMatchObject({ state: 'blocked' })
    await clock.advance(3_600_000)
    due('a4')
    await clock.advance(1_000)
    expect(fences.record('a4').progress.state).toBe('closed')
  })

  test('a crash lifts no brake: what was closed within the hour counts for a gateway that comes later', async () => {
    const brakes = { atOnce: 10, powerPerHour: 2, backoffMs: 1_000, backoffMsMax: 8_000 }
    const { clock, fences, due, start } = setUp({ one: { power: true } }, { levels: [['one']], brakes })
    const first = start('gw-1')
    for (const id of ['a1', 'a2']) {
      due(id)
      await clock.advance(1_000)
    }
    expect([fences.record('a1'), fences.record('a2')].map(({ progress }) => progress.state)).toEqual([
      'closed',
      'closed',
    ])
    await first.sequencer.stop()
    fences.gone.add('gw-1')
    await clock.advance(1_800_000)
    start('gw-2')
    due('a3')
    await clock.advance(1_000)
    expect(fences.record('a3').progress).toMatchObject({
      state: 'blocked',
      reason: expect.stringContaining('too many power fences'),
    })
    await clock.advance(1_800_000)
    due('a4')
    await clock.advance(1_000)
    expect(fences.record('a4').progress.state).toBe('closed')
  })

  test("the retries of one power fence take one of the ration, and other gateways' fences count", async () => {
    const brakes = { atOnce: 10, powerPerHour: 2, backoffMs: 1_000, backoffMsMax: 1_000 }
    let works = false
    const { clock, fences, log, due, start } = setUp(
      {
        one: {
          power: true,
          verify: () => Promise.resolve(works ? SEEN : ALIVE),
          fence: () => (works ? Promise.resolve() : fails()),
        },
      },
      { levels: [['one']], brakes },
    )
    start('gw-1')
    const second = start('gw-2')
    second.journal.state.mayStrike = false
    due('a1')
    await clock.advance(30_000)
    expect(log.filter((line) => line.startsWith('one fence'))).toHaveLength(3)
    works = true
    due('a2')
    await clock.advance(1_000)
    expect(fences.record('a2').progress.state).toBe('closed')
    second.journal.state.mayStrike = true
    due('a3')
    await clock.advance(1_000)
    expect(fences.record('a3').progress.state).toBe('blocked')
    // The first one is still blocked, and is counted from when it was struck, not for as long as it is seen.
    await clock.advance(3_600_000)
    due('a4')
    due('a5')
    await clock.advance(1_000)
    expect(fences.record('a4').progress.state).toBe('closed')
    expect(fences.record('a5').progress.state).toBe('closed')
  })

  test('a power fence is not closed while one of its attempts may still strike', async () => {
    const straggler = Promise.withResolvers<void>()
    let calls = 0
    const { clock, fences, due, start } = setUp(
      { one: { power: true, fence: () => (++calls === 1 ? straggler.promise : Promise.resolve()) } },
      { levels: [['one']], timeoutMs: 1_000 },
    )
    start('gw')
    due()
    await clock.advance(5_000)
    expect(calls).toBe(2)
    expect(fences.record().progress.state).toBe('running')
    straggler.resolve()
    await clock.advance(100)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('what goes on record', () => {
  test('holds no secret of the options, however the driver prints it, and is bounded', async () => {
    const secret = 'hunter2&<friends>'
    const { clock, fences, due, start } = setUp(
      {
        one: {
          options: { username: 'admin', tls: { passphrase: secret } },
          fence(attempt) {
            attempt.note(`plain ${secret}`)
            attempt.note(`url ${encodeURIComponent(secret)} base64 ${Buffer.from(secret).toString('base64')}`)
            attempt.note('x'.repeat(100_000))
            return Promise.reject(new Error(`login with ${secret} failed as admin`))
          },
          verify: () => Promise.resolve({ state: 'not-fenced', reason: `asked with ${secret}` }),
        },
      },
      { levels: [['one']], attempts: 1 },
    )
    start('gw')
    due()
    await clock.advance(20_000)
    const output = fences.record().attempts[0]?.output ?? ''
    expect(output.length).toBeLessThanOrEqual(4_096)
    expect(output).toContain('failed as admin')
    const everything = JSON.stringify(fences.record())
    for (const form of [secret, encodeURIComponent(secret), 'aHVudGVyMiY8ZnJpZW5kcz4', 'hunter2']) {
      expect(everything).not.toContain(form)
    }
  })

  test('stopping breaks off what runs, and leaves the fence to be taken over', async () => {
    const { clock, fences, due, start } = setUp({ one: { fence: never } }, { levels: [['one']] })
    const { sequencer } = start('gw')
    due()
    await clock.advance(1_000)
    expect(sequencer.running).toEqual(['a1'])
    await sequencer.stop()
    expect(sequencer.running).toEqual([])
    expect(fences.record().progress).toEqual({ state: 'due', level: 0 })
  })

  test('what was stopped is taken over at once, while the gateway that stopped still lives', async () => {
    let hangs = true
    const { clock, fences, due, start, log } = setUp(
      { one: { fence: () => (hangs ? never() : Promise.resolve()) } },
      { levels: [['one']] },
    )
    const { sequencer } = start('gw-1')
    due()
    await clock.advance(1_000)
    start('gw-2')
    hangs = false
    await sequencer.stop()
    await clock.advance(100)
    expect(fences.record().progress).toMatchObject({ state: 'closed', outcome: 'fenced' })
    // The attempt that was broken off stands on record, and its number is not given to another.
    expect(fences.record().attempts.map(({ number, outcome }) => [number, outcome])).toEqual([
      [1, 'refused'],
      [2, 'verified'],
    ])
    expect(log.filter((line) => line.includes('fence'))).toEqual(['one fence 1', 'one fence 2'])
  })

  test('stopping keeps the claim while a power fencer may still strike', async () => {
    const { clock, fences, due, start } = setUp({ one: { power: true, fence: never } }, { levels: [['one']] })
    const { sequencer } = start('gw-1')
    due()
    await clock.advance(1_000)
    start('gw-2')
    const stopping = sequencer.stop()
    await clock.advance(3_000)
    await stopping
    expect(fences.record().progress).toMatchObject({ state: 'running', claim: { incarnation: 'gw-1' } })
  })

  test('stopping keeps the claim where one of the level broke off while a power fencer may still strike', async () => {
    const { clock, fences, due, start } = setUp(
      { one: { proves: ['swept'] }, cut: { power: true, fence: never } },
      { levels: [['one', 'cut']] },
    )
    const { sequencer, journal } = start('gw-1')
    journal.state.sealed = new Promise(() => undefined)
    due()
    await clock.advance(1_000)
    const stopping = sequencer.stop()
    await clock.advance(3_000)
    await stopping
    expect(fences.record().progress.state).toBe('running')
  })

  test('stopping gives the claim back once the power fencer has returned', async () => {
    const action = Promise.withResolvers<void>()
    const { clock, fences, due, start } = setUp(
      { one: { power: true, fence: () => action.promise } },
      { levels: [['one']] },
    )
    const { sequencer } = start('gw-1')
    due()
    await clock.advance(1_000)
    const stopping = sequencer.stop()
    await clock.advance(500)
    expect(fences.record().progress.state).toBe('running')
    action.resolve()
    await clock.advance(100)
    await stopping
    expect(fences.record().progress.state).toBe('due')
  })
})

describe('a sequencer that finds itself to be wrong', () => {
  test('lets that out of its hands, where it ends the process', async () => {
    const { fences, faults, due } = setUp({ one: {} }, { levels: [['one']] })
    due()
    const journal = fences.journal('gw')
    journal.replace = () => Promise.reject(new InvariantViolation('a record that nobody could read'))
    const clock = new ManualClock()
    const { fencing } = scripted(clock, { one: {} }, { levels: [['one']] })
    const sequencer = startSequencer({
      journal,
      fencing,
      clock,
      random: () => 1,
      events: () => undefined,
      onFault: (message) => faults.push(message),
    })
    await expect(sequencer.stop()).rejects.toBeInstanceOf(InvariantViolation)
    expect(faults).toEqual([])
  })
})
