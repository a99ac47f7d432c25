// The brakes of a plan where several gateways run its fences: they hold for all of them together.

import { describe, expect, test } from 'vitest'
import { RunningOrder } from '../../../gateway/fencing/running-order.ts'
import type { Attempt } from '../../../gateway/spi/fencer.ts'
import { setUp } from './sequencing.ts'
import { ALIVE, aRecord, incarnation, revision, type Script, sessionId } from './support.ts'

const IDS = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']
const brakes = { atOnce: 10, powerPerHour: 10, backoffMs: 1_000, backoffMsMax: 8_000 }

/** A fencer that takes a second, and how many it was at most at work for. */
function slowly() {
  const found = { atOnce: 0, most: 0, struck: new Set<string>() }
  const fence = async (attempt: Attempt) => {
    found.struck.add(attempt.fenceId)
    found.most = Math.max(found.most, ++found.atOnce)
    await new Promise<void>((resolve) => attempt.clock.after(1_000, resolve))
    found.atOnce--
  }
  return { found, script: { fence } satisfies Script }
}

const claim = { incarnation: incarnation('gw'), lease: null }
/** Of a fence that a gateway runs which is none of those here. */
const elsewhere = {
  state: 'running',
  level: 0,
  claim: { ...claim, incarnation: incarnation('gw-9') },
} as const

describe('several gateways', () => {
  test.each([1, 2, 3])(
    'run no more fences of a plan at once than %i, all together, and come to an end',
    async (atOnce) => {
      const { found, script } = slowly()
      const plan = { levels: [['one']], brakes: { ...brakes, atOnce } }
      const { clock, fences, due, start } = setUp({ one: script }, plan)
      const gateways = ['gw-1', 'gw-2', 'gw-3'].map((name) => start(name).journal.state)
      // All begin in the same moment, and each with another fence.
      for (const [index, state] of gateways.entries())
        Object.assign(state, { mayStrike: false, reversed: index > 0 })
      for (const id of IDS) due(id)
      for (const state of gateways) state.mayStrike = true
      fences.changed()
      await clock.advance(30_000)
      expect(found.most).toBe(atOnce)
      expect(IDS.map((id) => fences.record(id).progress.state)).toEqual(IDS.map(() => 'closed'))
      // Nobody was tried twice because somebody else was faster.
      expect(IDS.map((id) => fences.record(id).attempts.length)).toEqual(IDS.map(() => 1))
    },
  )

  test('take up what stopped short under their own claim, however few may run at once', async () => {
    const { script } = slowly()
    const plan = { levels: [['one']], brakes: { ...brakes, atOnce: 1 } }
    const limits = { powerPerHour: null, fencers: { one: { atOnce: 1 } } }
    const { clock, fences, due, start } = setUp({ one: script }, plan, limits)
    for (const id of ['a1', 'a2']) {
      const progress = { state: 'running', level: 0, claim } as const
      fences.put(aRecord({ id: sessionId(id), levels: [['one']], progress }))
    }
    start('gw')
    start('gw-2')
    due('a3')
    await clock.advance(10_000)
    expect(['a1', 'a2', 'a3'].map((id) => fences.record(id).progress.state)).toEqual([
      'closed',
      'closed',
      'closed',
    ])
  })

  test.each([1, 2, 4])(
    'cut the power of no more than %i machines an hour, also all at the same moment',
    async (powerPerHour) => {
      const { found, script } = slowly()
      const plan = { levels: [['one']], brakes: { ...brakes, powerPerHour } }
      const { clock, fences, due, start } = setUp({ one: { ...script, power: true } }, plan)
      for (const name of ['gw-1', 'gw-2', 'gw-3']) start(name)
      for (const id of IDS) due(id)
      await clock.advance(30_000)
      expect(found.struck.size).toBe(powerPerHour)
      const states = IDS.map((id) => fences.record(id).progress.state)
      expect(states.filter((state) => state === 'closed')).toHaveLength(powerPerHour)
      expect(states.filter((state) => state === 'blocked')).toHaveLength(IDS.length - powerPerHour)
    },
  )

  test('ask one fencer for no more fences at once than it may be asked, whichever level it stands on', async () => {
    const { found, script } = slowly()
    const plan = { levels: [['one']], brakes }
    const limits = { powerPerHour: null, fencers: { one: { atOnce: 2 } } }
    const { clock, fences, due, start } = setUp(
      {
        one: script,
        two: { fence: () => Promise.reject(new Error('no')), verify: () => Promise.resolve(ALIVE) },
      },
      { ...plan, attempts: 1 },
      limits,
    )
    for (const [index, name] of ['gw-1', 'gw-2', 'gw-3'].entries())
      start(name).journal.state.reversed = index > 0
    for (const id of IDS.slice(0, 4)) due(id)
    for (const id of IDS.slice(4)) fences.put(aRecord({ id: sessionId(id), levels: [['two'], ['one']] }))
    await clock.advance(30_000)
    expect(found.most).toBe(2)
    expect(IDS.map((id) => fences.record(id).progress.state)).toEqual(IDS.map(() => 'closed'))
  })

  test('wait for no fence of a gateway that is gone, which in its turn waits for them', async () => {
    const { found, script } = slowly()
    const plan = { levels: [['one']], brakes: { ...brakes, atOnce: 1 } }
    const limits = { powerPerHour: null, fencers: { one: { atOnce: 1 } } }
    const { clock, fences, start } = setUp({ one: script }, plan, limits)
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], progress: elsewhere }))
    const { state } = start('gw-1').journal
    fences.put(aRecord({ id: sessionId('a2'), levels: [['one']] }))
    await clock.advance(500)
    expect(fences.record('a2').progress.state).toBe('due')
    // Whoever is faster then: that one, and afterwards the other.
    state.reversed = true
    fences.gone.add('gw-9')
    await clock.advance(10_000)
    expect(['a1', 'a2'].map((id) => fences.record(id).progress.state)).toEqual(['closed', 'closed'])
    expect(found.most).toBe(1)
  })

  test('leave the last place to whoever comes next, where the first one gives it up', async () => {
    const { found, script } = slowly()
    const plan = { levels: [['one']], blastRadiusMax: 0, brakes: { ...brakes, powerPerHour: 1 } }
    const { clock, fences, start } = setUp({ one: { ...script, power: true } }, plan)
    start('gw-1')
    start('gw-2')
    fences.neighbours = [{ session: sessionId('ff'), holder: 'another', locks: [] }]
    // Waits for its delay, and then for an operator, as others would go down with it.
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], delaysMs: [3_000] }))
    await clock.advance(1_000)
    fences.put(aRecord({ id: sessionId('a2'), levels: [['one']], released: true }))
    await clock.advance(1_000)
    expect(fences.record('a2').progress.state).toBe('running')
    expect(found.struck.size).toBe(0)
    await clock.advance(5_000)
    expect(fences.record('a1').progress.state).toBe('blocked')
    expect(fences.record('a2').progress.state).toBe('closed')
  })

  test('wait no longer for what another may strike than an attempt takes, and then ask an operator', async () => {
    const { found, script } = slowly()
    const plan = { levels: [['one']], timeoutMs: 2_000, brakes: { ...brakes, powerPerHour: 1 } }
    const { clock, fences, start } = setUp({ one: { ...script, power: true } }, plan)
    // Of a gateway that lives and does not move.
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], progress: elsewhere }))
    start('gw-1')
    fences.put(aRecord({ id: sessionId('a2'), levels: [['one']] }))
    await clock.advance(1_500)
    expect(fences.record('a2').progress.state).toBe('running')
    await clock.advance(3_000)
    expect(fences.record('a2').progress).toMatchObject({
      state: 'blocked',
      reason: expect.stringContaining('the brakes hold one'),
    })
    expect(found.struck.size).toBe(0)
  })
})

describe('a gateway whose view lags behind what it wrote itself', () => {
  test.each([
    ['cuts no power before it sees who else may', { powerPerHour: 1 }],
    ['runs no fence before it sees how many run', { atOnce: 1 }],
  ])('%s', async (_what, more) => {
    const struck: string[] = []
    const fence = async ({ fenceId }: Attempt) => void struck.push(fenceId)
    const plan = { levels: [['one']], brakes: { ...brakes, ...more } }
    const { clock, fences, start } = setUp({ one: { fence, power: true } }, plan)
    const { state } = start('gw-1').journal
    state.mayStrike = false
    for (const id of ['a2', 'a1']) fences.put(aRecord({ id: sessionId(id), levels: [['one']] }))
    state.lagging = fences.all()
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], progress: elsewhere }))
    state.mayStrike = true
    fences.changed()
    await clock.advance(5_000)
    expect(fences.record('a2').progress).toMatchObject({ claim: { incarnation: 'gw-1' } })
    expect(struck).toEqual([])
    state.lagging = null
    fences.changed()
    await clock.advance(3_000)
    expect(struck).toEqual([])
    const closedAt = '2030-01-01T00:00:00.000Z'
    const confirmed = { state: 'closed', outcome: 'confirmed', closedAt, by: 'me', reason: 'dead' } as const
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], progress: confirmed }))
    await clock.advance(3_000)
    expect(struck).toEqual(['a2'])
  })
})

test('a gateway whose view begins to lag later looks again before it strikes on the next level', async () => {
  const struck: string[] = []
  const plan = { levels: [['two'], ['one']], attempts: 1, brakes: { ...brakes, powerPerHour: 1 } }
  let lag: () => void = () => undefined
  const two: Script = {
    fence: async () => lag(),
    verify: () => Promise.resolve(ALIVE),
  }
  const one: Script = { fence: async ({ fenceId }) => void struck.push(fenceId), power: true }
  const { clock, fences, start } = setUp({ one, two }, { ...plan, timeoutMs: 1_000 })
  const { state } = start('gw-1').journal
  lag = () => {
    state.lagging = fences.all()
    fences.put(aRecord({ id: sessionId('a1'), levels: [['one']], progress: elsewhere }))
  }
  fences.put(aRecord({ id: sessionId('a2'), levels: plan.levels }))
  await clock.advance(4_000)
  expect(fences.record('a2').progress).toMatchObject({ state: 'running', level: 1 })
  expect(struck).toEqual([])
  state.lagging = null
  fences.changed()
  await clock.advance(500)
  expect(struck).toEqual([])
})

describe('the order in which fences run', () => {
  const at = (id: string, level: number, modRevision: number, gateway = 'gw') => ({
    record: aRecord({
      id: sessionId(id),
      progress: { state: 'running', level, claim: { ...claim, incarnation: incarnation(gateway) } },
    }),
    modRevision: revision(modRevision),
  })
  const ids = (records: readonly { readonly id: string }[]) => records.map(({ id }) => id)

  test('is that of the store: by the first claim, and by the arrival at the level', () => {
    const order = new RunningOrder()
    order.look([])
    order.look([at('a1', 0, 10), at('a2', 0, 11)])
    expect(ids(order.before('a2', 'claim'))).toEqual(['a1'])
    expect(ids(order.before('a1', 'claim'))).toEqual([])
    order.look([at('a1', 1, 12), at('a2', 0, 13)])
    expect(ids(order.before('a2', 'claim'))).toEqual(['a1'])
    expect(ids(order.before('a2', 'arrival'))).toEqual([])
    expect(ids(order.before('a1', 'arrival'))).toEqual(['a2'])
  })

  test('is kept by a fence that is taken over as to what it may have struck, and begins anew as to what it does now', () => {
    const order = new RunningOrder()
    order.look([])
    order.look([at('a1', 0, 10), at('a2', 0, 11)])
    order.look([at('a1', 0, 20, 'gw-2'), at('a2', 0, 11)])
    expect(ids(order.before('a2', 'arrival'))).toEqual(['a1'])
    for (const by of ['claim', 'turn'] as const) {
      expect(ids(order.before('a2', by))).toEqual([])
      expect(ids(order.before('a1', by))).toEqual(['a2'])
    }
    order.look([at('a2', 0, 11)])
    order.look([at('a2', 0, 11), at('a1', 0, 30)])
    expect(ids(order.before('a2', 'arrival'))).toEqual([])
  })

  test('has those first that were there before anybody looked', () => {
    const order = new RunningOrder()
    order.look([at('a1', 0, 50)])
    order.look([at('a1', 0, 60), at('a2', 0, 55)])
    expect(ids(order.before('a2', 'claim'))).toEqual(['a1'])
  })
})
