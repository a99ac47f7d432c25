// What a plan says besides its levels: a delay before one of them, and that nobody is struck.

import { describe, expect, test } from 'vitest'
import { setUp } from './sequencing.ts'
import { ALIVE, aRecord, type Script, sessionId } from './support.ts'

const never = (): Promise<never> => new Promise(() => undefined)
const fails = (): Promise<never> => Promise.reject(new Error('refused by the BMC'))

describe('a delay before a level', () => {
  test('is waited once the level before has failed, and not before the first', async () => {
    const scripts = { one: { verify: () => Promise.resolve(ALIVE), fence: fails }, two: {} }
    const plan = { levels: [['one'], ['two']], attempts: 1 }
    const { clock, fences, log, start } = setUp(scripts, plan)
    fences.put(aRecord({ levels: plan.levels, delaysMs: [0, 30_000] }))
    start('gw')
    await clock.advance(2_000)
    expect(fences.record().progress).toMatchObject({ state: 'running', level: 1 })
    await clock.advance(27_000)
    expect(log).not.toContain('two fence 2')
    await clock.advance(3_000)
    expect(log).toContain('two fence 2')
    expect(fences.record().progress.state).toBe('closed')
  })

  test('is over at once where an operator confirms meanwhile, and nothing strikes', async () => {
    const { clock, fences, log, start } = setUp({ one: {} }, { levels: [['one']] })
    fences.put(aRecord({ delaysMs: [60_000] }))
    const { sequencer } = start('gw')
    await clock.advance(10_000)
    expect(sequencer.running).toEqual(['a1'])
    const { id } = fences.record()
    fences.put({
      ...fences.record(),
      progress: { state: 'closed', outcome: 'confirmed', closedAt: '', by: 'ops', reason: 'dead' },
    })
    await clock.advance(0)
    expect(sequencer.running).toEqual([])
    await clock.advance(120_000)
    expect(log).toEqual([])
    expect(fences.record(id).progress.state).toBe('closed')
  })

  test('begins anew for a gateway that takes the fence over', async () => {
    const { clock, fences, log, start } = setUp({ one: {} }, { levels: [['one']] })
    fences.put(aRecord({ delaysMs: [60_000] }))
    const first = start('gw-1')
    await clock.advance(50_000)
    first.journal.state.mayStrike = false
    await first.sequencer.stop()
    fences.gone.add('gw-1')
    start('gw-2')
    await clock.advance(50_000)
    expect(log).toEqual([])
    await clock.advance(11_000)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('a fencer that is known to be unhealthy', () => {
  const unhealthy = (...names: string[]) => {
    const doubted: string[] = []
    return {
      doubted,
      isUnhealthy: (name: string) => names.includes(name),
      doubt: (name: string) => void doubted.push(name),
    }
  }
  const scripts = {
    one: { verify: () => Promise.resolve(ALIVE), fence: fails },
    two: { fence: fails, verify: () => Promise.resolve(ALIVE) },
  }
  const strikes = (log: readonly string[], name: string) =>
    log.filter((line) => line.startsWith(`${name} fence`)).length

  test('is tried once before the next level, and never passed over', async () => {
    const { clock, fences, log, due, start } = setUp(scripts, { levels: [['one'], ['two']] })
    due()
    const doubts = unhealthy('one')
    start('gw', doubts)
    await clock.advance(60_000)
    expect([strikes(log, 'one'), strikes(log, 'two')]).toEqual([1, 3])
    expect(fences.record().progress.state).toBe('blocked')
    expect(doubts.doubted).toEqual(['one', 'two', 'two', 'two'])
  })

  test('is tried as often as any other where nothing comes after it', async () => {
    const { clock, log, due, start } = setUp(scripts, { levels: [['one'], ['two']] })
    due()
    start('gw', unhealthy('two'))
    await clock.advance(60_000)
    expect([strikes(log, 'one'), strikes(log, 'two')]).toEqual([3, 3])
  })

  test('closes the fence all the same where it succeeds', async () => {
    const { clock, fences, due, start } = setUp({ one: {}, two: {} }, { levels: [['one'], ['two']] })
    due()
    start('gw', unhealthy('one', 'two'))
    await clock.advance(1_000)
    expect(fences.record().proofs.map(({ fencer }) => fencer)).toEqual(['one'])
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('the blast radius of a power fence', () => {
  const others = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      session: sessionId(`b${index}`),
      holder: `nova-${index}`,
      locks: ['cinder/volume/1'],
    }))
  const cut = { cut: { power: true }, kill: { fence: fails, verify: () => Promise.resolve(ALIVE) } }

  test('past the limit an operator is asked before it strikes, with the names of who else is there', async () => {
    const plan = { levels: [['kill'], ['cut']], attempts: 1, blastRadiusMax: 1 }
    const { clock, fences, log, due, start } = setUp(cut, plan)
    fences.neighbours = others(7)
    due()
    start('gw')
    await clock.advance(60_000)
    expect(log).not.toContain('cut fence 2')
    expect(fences.record().progress).toMatchObject({
      state: 'blocked',
      reason: expect.stringMatching(
        /^7 other living sessions are on this host: nova-0 \(session b0\) with cinder\/volume\/1; .*nova-4.*, and 2 more; see whether/,
      ),
    })
    // The word that an operator has given stands.
    fences.put({ ...fences.record(), released: true, progress: { state: 'due', level: 0 } })
    await clock.advance(60_000)
    expect(fences.record().progress.state).toBe('closed')
    expect(fences.record().attempts.at(-1)?.output).toContain('7 other living sessions are on this host')
  })

  test('within the limit, and where there is none, it strikes and says on record who was there', async () => {
    for (const blastRadiusMax of [2, undefined]) {
      const { clock, fences, due, start } = setUp(cut, { levels: [['cut']], blastRadiusMax })
      fences.neighbours = others(2)
      due()
      start('gw')
      await clock.advance(5_000)
      expect(fences.record().progress.state).toBe('closed')
      expect(fences.record().attempts[0]?.output).toContain('nova-1 (session b1)')
    }
  })

  test('is nothing to a fencer that cuts no power', async () => {
    const { clock, fences, due, start } = setUp({ kill: {} }, { levels: [['kill']], blastRadiusMax: 0 })
    fences.neighbours = others(2)
    due()
    start('gw')
    await clock.advance(5_000)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('a dry run', () => {
  test('records whom each level would strike and what is seen, strikes nobody, and asks an operator', async () => {
    const scripts: Record<string, Script> = {
      one: { verify: () => Promise.resolve(ALIVE) },
      two: { power: true, options: { password: 'sesame-1234' }, verify: () => fails() },
    }
    const { clock, fences, log, start } = setUp(scripts, { levels: [['one'], ['two']] })
    fences.put(aRecord({ levels: [['one'], ['two']], dryRun: true }))
    start('gw')
    await clock.advance(60_000)
    expect(log).toEqual(['one verify 1', 'two verify 2'])
    expect(fences.record().progress).toMatchObject({
      state: 'blocked',
      reason: expect.stringMatching(/^a dry run: nobody was struck/),
    })
    expect(fences.record().attempts).toMatchObject([
      {
        fencer: 'one',
        outcome: 'refused',
        output: 'dry run: would strike one:one; seen now: not-fenced: still there',
      },
      {
        fencer: 'two',
        outcome: 'refused',
        output: expect.stringContaining('it could not look: refused by the BMC'),
      },
    ])
  })

  test('never closes a fence, even of a holder who is seen to be gone', async () => {
    const { clock, fences, start } = setUp({ one: {} }, { levels: [['one']] })
    fences.put(aRecord({ dryRun: true }))
    start('gw')
    await clock.advance(60_000)
    expect(fences.record()).toMatchObject({ progress: { state: 'blocked' }, proofs: [] })
  })

  test('takes nothing of the power ration', async () => {
    const brakes = { atOnce: 10, powerPerHour: 1, backoffMs: 1_000, backoffMsMax: 8_000 }
    const { clock, fences, due, start } = setUp({ one: { power: true } }, { levels: [['one']], brakes })
    start('gw')
    for (const id of ['a1', 'a2', 'a3']) fences.put(aRecord({ id: sessionId(id), dryRun: true }))
    await clock.advance(5_000)
    expect(fences.record('a3').attempts).toHaveLength(1)
    due('a4')
    await clock.advance(5_000)
    expect(fences.record('a4').progress.state).toBe('closed')
  })

  test('is over in time where a look never comes back', async () => {
    const { clock, fences, start } = setUp(
      { one: { verify: never } },
      { levels: [['one']], timeoutMs: 5_000 },
    )
    fences.put(aRecord({ dryRun: true }))
    start('gw')
    await clock.advance(6_000)
    expect(fences.record().attempts[0]?.output).toContain('it saw nothing in time')
    expect(fences.record().progress.state).toBe('blocked')
  })
})
