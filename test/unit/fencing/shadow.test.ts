// Fences of gateways that refuse nothing yet: all is decided and said, nobody is struck, nobody is waited for.

import { afterEach, describe, expect, test } from 'vitest'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { gatewayRecords } from '../../../gateway/locking/records.ts'
import { inShadow } from '../../../gateway/locking/shadow.ts'
import { View } from '../../../gateway/locking/view.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ALIVE, aRecord, MemoryFences, revision, type Script, scripted } from './support.ts'

let sequencer: Sequencer | null = null
afterEach(() => sequencer?.stop())

function run(scripts: Readonly<Record<string, Script>>) {
  const clock = new ManualClock()
  const fences = new MemoryFences()
  const events: GatewayEvent[] = []
  const levels = Object.keys(scripts).map((name) => [name])
  const { fencing, log } = scripted(clock, scripts, { levels, blastRadiusMax: 0, timeoutMs: 60_000 })
  fences.neighbours = [{ session: aRecord().id, holder: 'other', locks: [] }]
  fences.put(
    aRecord({ levels, dryRun: true, shadow: true, delaysMs: [0, 30_000], storm: '9 of 10 sessions expired' }),
  )
  const note = (event: GatewayEvent) => events.push(event)
  sequencer = startSequencer({ journal: fences.journal('gw'), fencing, clock, random: () => 1, events: note })
  return { clock, fences, events, log }
}

describe('a fence in shadow mode', () => {
  test('strikes nobody, says whom each level would have struck, and is over by itself', async () => {
    const { clock, fences, events, log } = run({
      kill: { verify: () => Promise.resolve(ALIVE) },
      power: { power: true },
    })
    await clock.advance(1_000)
    const { progress, attempts, proofs } = fences.record()
    expect(progress).toMatchObject({ state: 'closed', outcome: 'unfenced', by: null })
    expect(progress).toMatchObject({ reason: expect.stringContaining('it would have been held: 9 of 10') })
    expect(log.filter((line) => line.includes('fence'))).toEqual([])
    expect(proofs).toEqual([])
    expect(attempts.map(({ fencer, outcome, output }) => [fencer, outcome, output])).toEqual([
      ['kill', 'refused', 'dry run: would strike kill:kill; seen now: not-fenced: still there'],
      [
        'power',
        'refused',
        'dry run: would strike power:power, 30 s after the level before; it is seen to be harmless already: gone',
      ],
    ])
    expect(events.at(-1)).toMatchObject({ type: 'fence.closed', verdict: 'unfenced' })
  })

  test('waits for a fencer that does not answer for five seconds and not for its whole time', async () => {
    const { clock, fences } = run({ kill: { verify: () => new Promise(() => undefined) } })
    await clock.advance(4_900)
    expect(fences.record().progress.state).toBe('running')
    await clock.advance(200)
    expect(fences.record().progress.state).toBe('closed')
  })
})

describe('whether fences are in shadow mode', () => {
  const layout = new Layout('/fencegate')
  const planner: FencePlanner = {
    defaultPlan: 'p',
    levels: () => [['kill']],
    checkFenceInfo: () => ({ kind: 'faulty', faults: [] }),
  }

  function isShadow(gateways: Readonly<Record<string, boolean | 'unreadable' | 'gone'>>): boolean {
    const ignore = () => undefined
    const view = new View({
      layout,
      clock: new ManualClock(),
      onChange: ignore,
      onSealed: ignore,
      onNarrowed: ignore,
      onClosed: ignore,
    })
    let at = 0
    for (const [name, kind] of Object.entries(gateways)) {
      const record = {
        state: kind === 'gone' ? ('gone' as const) : ('serving' as const),
        quietMs: 0,
        name,
        startedAt: '',
        formats: { reads: 1, writes: 1 },
        ...(kind === true ? { shadow: true } : {}),
      }
      const value = kind === 'unreadable' ? 'no record' : gatewayRecords.encode(record)
      const written = revision(++at)
      const kv = {
        key: layout.gateway(name),
        value,
        lease: null,
        createRevision: written,
        modRevision: written,
      }
      view.apply(written, [{ type: 'put', kv }])
    }
    return inShadow(planner, view).terms?.('p')?.shadow === true
  }

  test('is so while every gateway says that it enforces nothing, and no longer where one does not', () => {
    expect(isShadow({ a: true })).toBe(true)
    expect(isShadow({ a: true, b: true })).toBe(true)
    expect(isShadow({ a: true, b: false })).toBe(false)
    // It may still have calls under way that it checked.
    expect(isShadow({ a: true, b: 'gone' })).toBe(false)
    expect(isShadow({ a: true, b: 'unreadable' })).toBe(false)
    expect(isShadow({})).toBe(false)
  })
})
