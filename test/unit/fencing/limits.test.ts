// What single fencers, and power fences of all plans together, are held to beside the brakes of each plan.

import { afterEach, describe, expect, test } from 'vitest'
import { startMonitoring } from '../../../gateway/fencing/monitoring.ts'
import type { FencerLimits, FencingLimits } from '../../../gateway/fencing/plans.ts'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { anAttempt, aRecord, MemoryFences, type Script, scripted, sessionId } from './support.ts'

const running: { stop(): Promise<void> | void }[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(async (one) => await one.stop()))
})

function setUp(scripts: Readonly<Record<string, Script>>, limits: FencingLimits) {
  const clock = new ManualClock()
  const fences = new MemoryFences()
  const levels = [Object.keys(scripts)]
  const { fencing, log } = scripted(clock, scripts, { levels }, limits)
  const start = (): Sequencer => {
    const journal = fences.journal('gw')
    const sequencer = startSequencer({ journal, fencing, clock, random: () => 1, events: () => undefined })
    running.push(sequencer)
    return sequencer
  }
  const due = (hex: string, plan = 'plan') => fences.put(aRecord({ id: sessionId(hex), plan, levels }))
  const states = (...ids: string[]) => ids.map((id) => fences.record(id).progress.state)
  return { clock, fences, fencing, log, start, due, states }
}

const of = (one: FencerLimits): FencingLimits => ({ powerPerHour: null, fencers: { one } })

describe('power fences of all plans together', () => {
  test('are held to their own number an hour, and count for it once', async () => {
    const limits = { powerPerHour: 2, fencers: {} }
    const { clock, fences, start, due, states } = setUp({ one: { power: true } }, limits)
    start()
    due('a1')
    await clock.advance(1_000)
    due('b2', 'another')
    await clock.advance(1_000)
    due('c3', 'a third')
    await clock.advance(1_000)
    expect(states('a1', 'b2', 'c3')).toEqual(['closed', 'closed', 'blocked'])
    expect(fences.record('c3').progress).toMatchObject({
      reason: expect.stringContaining('the brakes hold one'),
    })
    await clock.advance(3_600_000)
    due('d4')
    await clock.advance(1_000)
    expect(states('d4')).toEqual(['closed'])
  })
})

describe('a fencer with a limit an hour', () => {
  test('strikes for so many fences and no more, tried again or not, also after a restart', async () => {
    const { clock, fences, log, start, due, states } = setUp({ one: {} }, of({ perHour: 2 }))
    // From before this gateway came.
    fences.put(
      aRecord({
        id: sessionId('e5'),
        progress: { state: 'blocked', reason: 'x' },
        attempts: [anAttempt({ fencer: 'one' })],
      }),
    )
    start()
    due('a1')
    await clock.advance(1_000)
    due('b2')
    await clock.advance(1_000)
    expect(states('a1', 'b2')).toEqual(['closed', 'blocked'])
    expect(log.filter((line) => line.includes('fence'))).toEqual(['one fence 1'])
    // It has counted already.
    fences.put({ ...fences.record('e5'), released: true, progress: { state: 'due', level: 0 } })
    await clock.advance(1_000)
    expect(states('e5')).toEqual(['closed'])
  })

  test('leaves the others of its level alone, and dry runs', async () => {
    const { clock, fences, start, due, states } = setUp({ one: {}, two: {} }, of({ perHour: 0 }))
    start()
    due('a1')
    fences.put(aRecord({ id: sessionId('b2'), levels: [['two']] }))
    fences.put(aRecord({ id: sessionId('c3'), levels: [['one']], dryRun: true, shadow: true }))
    await clock.advance(1_000)
    expect(states('a1', 'b2', 'c3')).toEqual(['blocked', 'closed', 'closed'])
  })
})

describe('a fencer with a limit at once', () => {
  test('is asked by one fence after the other, and whoever goes away while he waits holds up nobody', async () => {
    const works: PromiseWithResolvers<void>[] = []
    const fence = () => {
      const work = Promise.withResolvers<void>()
      works.push(work)
      return work.promise
    }
    const { clock, fences, start, due, states } = setUp({ one: { fence } }, of({ atOnce: 1 }))
    start()
    for (const hex of ['a1', 'b2', 'c3']) due(hex)
    await clock.advance(5_000)
    expect(works).toHaveLength(1)
    fences.put({
      ...fences.record('b2'),
      progress: { state: 'closed', outcome: 'confirmed', closedAt: '', by: 'ops', reason: 'dead' },
    })
    await clock.advance(0)
    works[0]?.resolve()
    await clock.advance(1_000)
    expect(works).toHaveLength(2)
    // The waiting took nothing of its time.
    await clock.advance(8_000)
    works[1]?.resolve()
    await clock.advance(1_000)
    expect(states('a1', 'b2', 'c3')).toEqual(['closed', 'closed', 'closed'])
    expect(fences.record('b2').progress).toMatchObject({ outcome: 'confirmed' })
  })
})

test('a fencer can be asked for its health on a schedule of its own, or never', async () => {
  const { clock, fencing, log } = setUp({ one: {}, two: {}, three: {} }, of({}))
  const monitoring = startMonitoring({
    fencing,
    clock,
    random: () => 0.5,
    events: () => undefined,
    everyMs: 60_000,
    timeoutMs: 1_000,
    fencers: { two: { everyMs: 10_000 }, three: { everyMs: 0 } },
  })
  running.push(monitoring)
  await clock.advance(59_000)
  const asked = (name: string) => log.filter((line) => line === `${name} monitor`).length
  expect([asked('one'), asked('two'), asked('three')]).toEqual([1, 6, 0])
  monitoring.doubt('three')
  await clock.advance(0)
  expect(asked('three')).toBe(0)
})
