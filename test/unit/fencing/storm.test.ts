// Many expiries at once: what only takes access away goes on, what strikes waits for an operator, whichever gateway it is
// that has the fence, and whenever its turn comes.

import { afterEach, describe, expect, test } from 'vitest'
import type { FenceState } from '../../../gateway/core/fence-record.ts'
import type { PlanSettings } from '../../../gateway/fencing/plans.ts'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ALIVE, aRecord, MemoryFences, type Script, scripted, sessionId } from './support.ts'

const sequencers: Sequencer[] = []
afterEach(async () => {
  await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
})

const STORM = { share: 0.5, count: 5, windowMs: 60_000 }

function setUp(
  scripts: Readonly<Record<string, Script>>,
  plan: Partial<PlanSettings> & { readonly levels: PlanSettings['levels'] },
) {
  const clock = new ManualClock()
  const fences = new MemoryFences()
  fences.sessions = { alive: 10, ending: 0 }
  const events: GatewayEvent[] = []
  const { fencing, log } = scripted(clock, scripts, plan)
  const start = (self: string, mayStrike = true): Sequencer => {
    const journal = fences.journal(self)
    journal.state.mayStrike = mayStrike
    const sequencer = startSequencer({
      journal,
      fencing,
      clock,
      storm: STORM,
      random: () => 1,
      events: (event) => events.push(event),
    })
    sequencers.push(sequencer)
    return sequencer
  }
  const expire = (count: number, from = 1, cause: 'expired' | 'operator' = 'expired') => {
    for (let number = from; number < from + count; number++)
      fences.put(aRecord({ id: sessionId(number.toString(16)), levels: plan.levels, cause }))
  }
  const states = (): Record<string, number> => {
    const found: Record<string, number> = {}
    for (const { record } of fences.journal('nobody').list()) {
      const { progress } = record
      const state = progress.state === 'blocked' && progress.held === true ? 'held' : progress.state
      found[state] = (found[state] ?? 0) + 1
    }
    return found
  }
  return { clock, fences, events, log, start, expire, states }
}

const retried: FenceState = { state: 'due', level: 0 }

describe('in a storm', () => {
  test('nothing is struck, each fence says why, and an event tells of each', async () => {
    const { clock, fences, events, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    expire(20)
    start('gw')
    await clock.advance(10_000)
    expect(log).toEqual([])
    expect(states()).toEqual({ held: 20 })
    expect(fences.record('3').progress).toMatchObject({
      reason: expect.stringMatching(
        /^20 of 30 known sessions expired within 60 s.*so kill must not strike by itself; .*retry .*confirm/,
      ),
    })
    expect(events.filter(({ type }) => type === 'fence.held')).toHaveLength(20)
    expect(events.filter(({ type }) => type === 'fence.blocked')).toHaveLength(0)
  })

  test('what only takes access away goes on, and is enough where it succeeds', async () => {
    const scripts = { session: { accessOnly: true }, power: { power: true } }
    const { clock, log, start, expire, states } = setUp(scripts, { levels: [['session'], ['power']] })
    expire(12)
    start('gw')
    await clock.advance(10_000)
    expect(states()).toEqual({ closed: 12 })
    expect(log.some((line) => line.startsWith('power'))).toBe(false)
  })

  test('the next level is held where it fails, also for those whose turn comes long after the storm', async () => {
    const scripts = {
      session: { accessOnly: true, verify: () => Promise.resolve(ALIVE) },
      power: { power: true },
    }
    const plan = { levels: [['session'], ['power']], attempts: 2, timeoutMs: 30_000 }
    const { clock, fences, log, start, expire, states } = setUp(scripts, plan)
    expire(12)
    start('gw')
    await clock.advance(70_000)
    fences.sessions = { alive: 1_000, ending: 0 }
    await clock.advance(500_000)
    expect(states()).toEqual({ held: 12 })
    expect(log.some((line) => line.startsWith('power'))).toBe(false)
  })

  test('a crash in the middle lifts nothing, even if the holders are all back by then', async () => {
    const { clock, fences, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    start('watcher')
    for (const sequencer of sequencers) expect(sequencer.running).toEqual([])
    expire(12)
    await clock.advance(0)
    const before = log.length
    await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
    fences.gone.add('watcher')
    fences.sessions = { alive: 1_000, ending: 0 }
    start('next')
    await clock.advance(120_000)
    expect(log).toHaveLength(before)
    expect((states()['held'] ?? 0) + (states()['closed'] ?? 0)).toBe(12)
    expect(states()['closed'] ?? 0).toBeLessThanOrEqual(STORM.count)
  })

  test('what is on record as part of it stays so for a gateway that sees nothing of it', async () => {
    const { clock, fences, log, start, states } = setUp({ kill: {} }, { levels: [['kill']] })
    fences.put(aRecord({ levels: [['kill']], storm: '150 of 200 known sessions expired' }))
    start('late')
    await clock.advance(30_000)
    expect(log).toEqual([])
    expect(states()).toEqual({ held: 1 })
  })

  test('a crash before anything was written down is made up for by those that are still open', async () => {
    const { clock, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    start('doubtful', false)
    expire(11)
    await clock.advance(90_000)
    await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
    start('next')
    await clock.advance(10_000)
    expect(log).toEqual([])
    expect(states()).toEqual({ held: 11 })
  })

  test('the first few of a wave that comes one by one are struck, and no more than the count', async () => {
    const { clock, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    start('gw')
    for (let number = 1; number <= 40; number++) {
      expire(1, number)
      await clock.advance(1_000)
    }
    await clock.advance(20_000)
    // The first five wait for nobody. The others wait until it can be seen that these are not holders that die one by one.
    expect(states()).toEqual({ closed: 5, held: 35 })
    expect(log.filter((line) => line.includes('fence'))).toHaveLength(5)
  })

  test('a wave that comes as fast as a store ends leases is waited for, and strikes no more than the count', async () => {
    const { clock, fences, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    start('gw')
    for (let number = 1; number <= 200; number++) {
      fences.sessions = { alive: 200 - number, ending: 0 }
      expire(1, number)
      await clock.advance(10)
    }
    await clock.advance(20_000)
    expect(states()).toEqual({ closed: 5, held: 195 })
    expect(log.filter((line) => line.includes('fence'))).toHaveLength(5)
  })

  test('sessions whose lease is over count before their fences are due', async () => {
    const { clock, fences, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    fences.sessions = { alive: 3, ending: 30 }
    expire(1)
    start('gw')
    await clock.advance(1_000)
    expect(log).toEqual([])
    expect(states()).toEqual({ held: 1 })
  })
})

describe('an operator', () => {
  test('lets a held fence strike by a retry, and only that one', async () => {
    const { clock, fences, log, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    expire(12)
    start('gw')
    await clock.advance(5_000)
    fences.put({ ...fences.record('4'), released: true, progress: retried })
    await clock.advance(5_000)
    expect(log).toEqual(['kill fence 1', 'kill verify 1'])
    expect(states()).toEqual({ held: 11, closed: 1 })
  })

  test('who orders fences is not held up, and makes no storm', async () => {
    const { clock, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    expire(12, 1, 'operator')
    expire(1, 100)
    start('gw')
    await clock.advance(5_000)
    expect(states()).toEqual({ closed: 13 })
  })
})

describe('no storm', () => {
  test('are a few of many, many over a long time, and fences that were closed before this gateway came', async () => {
    const { clock, fences, start, expire, states } = setUp({ kill: {} }, { levels: [['kill']] })
    fences.sessions = { alive: 40, ending: 0 }
    expire(20)
    start('first')
    await clock.advance(14_000)
    expect(states()).toEqual({ due: 16, running: 4 })
    await clock.advance(10_000)
    expect(states()).toEqual({ closed: 20 })
    fences.sessions = { alive: 0, ending: 0 }
    await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
    start('second')
    expire(1, 100)
    await clock.advance(5_000)
    for (let number = 200; number < 210; number++) {
      await clock.advance(20_000)
      expire(1, number)
    }
    await clock.advance(5_000)
    expect(states()).toEqual({ closed: 31 })
  })
})
