// A fencer that is broken is known before it is needed, said once, and never struck with to find out.

import { afterEach, describe, expect, test } from 'vitest'
import { type Monitoring, startMonitoring } from '../../../gateway/fencing/monitoring.ts'
import { countOpenFences } from '../../../gateway/fencing/open-fences.ts'
import type { PlanSettings } from '../../../gateway/fencing/plans.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { aRecord, type Script, scripted, sessionId } from './support.ts'

const running: Monitoring[] = []
afterEach(() => {
  for (const monitoring of running.splice(0)) monitoring.stop()
})

function setUp(
  scripts: Readonly<Record<string, Script>>,
  levels: PlanSettings['levels'],
  settings: { everyMs?: number; random?: () => number } = {},
) {
  const clock = new ManualClock()
  const events: GatewayEvent[] = []
  const { fencing, log } = scripted(clock, scripts, { levels })
  const monitoring = startMonitoring({
    fencing,
    clock,
    random: () => 0.5,
    events: (event) => events.push(event),
    everyMs: 300_000,
    timeoutMs: 30_000,
    ...settings,
  })
  running.push(monitoring)
  const states = () =>
    Object.fromEntries(monitoring.health().map(({ fencer, state, reason }) => [fencer, reason ?? state]))
  return { clock, events, log, monitoring, states }
}

const types = (events: readonly GatewayEvent[]) => events.map(({ type }) => type)
const refuse = (reason: string) => () => Promise.reject(new Error(reason))

describe('monitoring', () => {
  test('asks every fencer at the start and again on schedule, and strikes with none', async () => {
    const { clock, log, states, events } = setUp({ kill: {}, power: {} }, [['kill'], ['power']])
    expect(states()).toEqual({ kill: 'unknown', power: 'unknown' })
    await clock.advance(0)
    expect(states()).toEqual({ kill: 'healthy', power: 'healthy' })
    expect(log).toEqual(['kill monitor', 'power monitor'])
    await clock.advance(299_999)
    expect(log).toHaveLength(2)
    await clock.advance(1)
    expect(log).toHaveLength(4)
    await clock.advance(3_000_000)
    expect(log.every((line) => line.endsWith('monitor'))).toBe(true)
    expect(events).toEqual([])
  })

  test('the schedule is shifted by up to a quarter, so that gateways fall out of step', async () => {
    const early = setUp({ kill: {} }, [['kill']], { random: () => 0 })
    const late = setUp({ kill: {} }, [['kill']], { random: () => 1 })
    await early.clock.advance(225_000)
    await late.clock.advance(374_999)
    expect([early.log, late.log].map(({ length }) => length)).toEqual([2, 1])
    await late.clock.advance(1)
    expect(late.log).toHaveLength(2)
  })

  test('a change is said once, and the way back too', async () => {
    let reason: string | null = 'login refused'
    const monitor = () => (reason === null ? Promise.resolve() : Promise.reject(new Error(reason)))
    const { clock, events, monitoring, states } = setUp({ kill: { monitor }, power: {} }, [
      ['kill'],
      ['power'],
    ])
    await clock.advance(700_000)
    expect(states()).toEqual({ kill: 'login refused', power: 'healthy' })
    expect(events).toEqual([{ type: 'fencer.unhealthy', fencer: 'kill', detail: 'kill: login refused' }])
    const [kill] = monitoring.health()
    expect([kill?.since, kill?.monitoredAt]).toEqual(['2030-01-01T00:00:00.000Z', '2030-01-01T00:10:00.000Z'])
    reason = null
    await clock.advance(300_000)
    expect(types(events)).toEqual(['fencer.unhealthy', 'fencer.recovered'])
    expect(states()['kill']).toBe('healthy')
  })

  test('a plan whose last level would fail is said loudly, once, and when it would not any more', async () => {
    let broken = true
    const monitor = () => (broken ? Promise.reject(new Error('no route')) : Promise.resolve())
    const { clock, events, monitoring } = setUp({ kill: {}, power: { monitor } }, [['kill'], ['power']])
    await clock.advance(700_000)
    expect(types(events)).toEqual(['fencer.unhealthy', 'plan.unfit'])
    expect(events[1]?.detail).toMatch(/^plan plan: its last level.* because power could not do its job/)
    expect(monitoring.health().map(({ lastResortOf }) => lastResortOf)).toEqual([[], ['plan']])
    broken = false
    await clock.advance(300_000)
    expect(types(events).slice(2)).toEqual(['fencer.recovered', 'plan.recovered'])
  })

  test('a look that never comes back is unhealthy after its time, and no second one is begun beside it', async () => {
    const signals: AbortSignal[] = []
    const monitor = (signal: AbortSignal) => {
      signals.push(signal)
      return new Promise<void>(() => undefined)
    }
    const { clock, log, states } = setUp({ kill: { monitor } }, [['kill']])
    await clock.advance(29_999)
    expect(states()['kill']).toBe('unknown')
    await clock.advance(1)
    expect(states()['kill']).toBe('no answer within 30 s')
    expect(signals[0]?.aborted).toBe(true)
    await clock.advance(3_000_000)
    expect(log).toHaveLength(1)
    expect(states()['kill']).toBe('it has not come back from the look before')
  })

  test('one fencer that hangs or throws at once keeps none of the others from being asked', async () => {
    const throws = () => {
      throw new Error('thrown')
    }
    const { clock, states } = setUp(
      { hangs: { monitor: () => new Promise(() => undefined) }, throws: { monitor: throws }, well: {} },
      [['hangs', 'throws', 'well']],
    )
    await clock.advance(0)
    expect(states()).toEqual({ hangs: 'unknown', throws: 'thrown', well: 'healthy' })
  })

  test('no secret of the options is in the reason', async () => {
    const { clock, events, states } = setUp(
      { kill: { monitor: refuse('401 for sesame-1234'), options: { password: 'sesame-1234' } } },
      [['kill']],
    )
    await clock.advance(0)
    expect(states()['kill']).toBe('401 for [secret]')
    expect(JSON.stringify(events)).not.toContain('sesame')
  })

  test('a gateway that stops asks nobody any more, and says nothing of what it broke off', async () => {
    const monitor = (signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
    const { clock, events, log, monitoring } = setUp({ kill: {}, slow: { monitor } }, [['kill']])
    await clock.advance(0)
    monitoring.stop()
    await clock.advance(3_000_000)
    expect(log).toHaveLength(2)
    expect(events).toEqual([])
    expect(clock.pendingTimers).toBe(0)
  })

  test('a doubt has the fencer asked at once, and the schedule goes on from there', async () => {
    let broken = false
    const monitor = () => (broken ? Promise.reject(new Error('no route')) : Promise.resolve())
    const { clock, log, monitoring } = setUp({ kill: { monitor } }, [['kill']])
    await clock.advance(200_000)
    expect(monitoring.isUnhealthy('kill')).toBe(false)
    broken = true
    monitoring.doubt('kill')
    monitoring.doubt('kill')
    await clock.advance(0)
    expect(monitoring.isUnhealthy('kill')).toBe(true)
    expect(log).toHaveLength(2)
    await clock.advance(299_999)
    expect(log).toHaveLength(2)
    await clock.advance(1)
    expect(log).toHaveLength(3)
  })

  test('every: 0 turns it off', async () => {
    const { clock, log } = setUp({ kill: {} }, [['kill']], { everyMs: 0 })
    await clock.advance(3_000_000)
    expect(log).toEqual([])
  })
})

test('open fences are counted by state, and the oldest of them gives the age', () => {
  const at = (createdAt: string, progress: ReturnType<typeof aRecord>['progress'], id: string) =>
    aRecord({ id: sessionId(id), createdAt, progress })
  const closed = { state: 'closed', outcome: 'fenced', closedAt: '', by: null, reason: null } as const
  const records = [
    at('2030-01-01T00:00:00.000Z', closed, '1'),
    at('2030-01-01T00:01:00.000Z', { state: 'blocked', reason: '' }, '2'),
    at('2030-01-01T00:02:00.000Z', { state: 'blocked', reason: '', held: true }, '3'),
    at('2030-01-01T00:03:00.000Z', { state: 'due', level: 0 }, '4'),
  ]
  const nowMs = Date.parse('2030-01-01T00:05:00.000Z')
  expect(countOpenFences(records, nowMs)).toEqual({
    states: { due: 1, running: 0, blocked: 1, held: 1 },
    oldestSeconds: 240,
  })
  expect(countOpenFences([], nowMs).oldestSeconds).toBe(0)
})
