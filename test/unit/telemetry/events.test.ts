import { expect, test } from 'vitest'
import type { Clock } from '../../../gateway/spi/clock.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { createEvents, createLog, createMetrics } from '../../../gateway/telemetry/index.ts'

const clock: Clock = {
  monotonicMs: () => 0,
  wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  after: () => ({ cancel: () => undefined }),
}

function start(kept = 4) {
  const lines: string[] = []
  const log = createLog({ level: 'debug', destination: { write: (line) => void lines.push(line) } })
  const metrics = createMetrics({ processMetrics: false })
  return { lines, metrics, events: createEvents({ clock, log, metrics, run: 'run1', kept }) }
}

const granted = (lock: string): GatewayEvent => ({ type: 'lock.granted', lock, token: '7' })

function locks(read: {
  readonly events: readonly { readonly event: GatewayEvent }[]
}): (string | undefined)[] {
  return read.events.map(({ event }) => event.lock)
}

test('an event reaches the log, the metrics, the subscribers and the ring', async () => {
  const { events, lines, metrics } = start()
  const seen: string[] = []
  events.subscribe((recorded) => void seen.push(`${recorded.id} ${recorded.at}`))
  events.sink(granted('a'))
  expect(seen).toEqual(['run1-1 2026-01-02T03:04:05.678Z'])
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'info',
    msg: 'lock.granted',
    lock: 'a',
    grant: '7',
  })
  expect((await metrics.expose()).body).toContain('fencegate_events_total{type="lock.granted"} 1')
  expect(locks(events.ring.after('run1-0'))).toEqual(['a'])
})

test('a reader resumes after the last event that it has seen', () => {
  const { events } = start()
  for (const lock of ['a', 'b', 'c']) events.sink(granted(lock))
  expect(locks(events.ring.after('run1-1'))).toEqual(['b', 'c'])
  expect(events.ring.after('run1-3')).toEqual({ events: [], missed: false })
  expect(events.ring.after(events.ring.latest())).toEqual({ events: [], missed: false })
})

test('the ring is bounded, and tells a reader that came back too late', () => {
  const { events } = start(4)
  for (const lock of ['a', 'b', 'c', 'd', 'e', 'f']) events.sink(granted(lock))
  expect(locks(events.ring.after('run1-1'))).toEqual(['c', 'd', 'e', 'f'])
  expect(events.ring.after('run1-1').missed).toBe(true)
  expect(events.ring.after('run1-2').missed).toBe(false)
  expect(locks(events.ring.after('run1-2'))).toEqual(['c', 'd', 'e', 'f'])
})

test.each(['run0-1', 'run1-99', 'run1--1', 'run1-x', 'nonsense', ''])(
  'the id %s of another run or of nobody counts as missed, and everything known is told',
  (id) => {
    const { events } = start()
    events.sink(granted('a'))
    expect(events.ring.after(id).missed).toBe(true)
    expect(locks(events.ring.after(id))).toEqual(['a'])
  },
)

test('a listener that throws is dropped and harms nobody', () => {
  const { events, lines } = start()
  let calls = 0
  const seen: (string | undefined)[] = []
  events.subscribe(() => {
    calls += 1
    throw new Error('listener')
  })
  events.subscribe(({ event }) => void seen.push(event.lock))
  events.sink(granted('a'))
  events.sink(granted('b'))
  expect(calls).toBe(1)
  expect(seen).toEqual(['a', 'b'])
  expect(lines.join('')).toContain('an event listener failed and was dropped')
})

test('who has unsubscribed hears nothing more', () => {
  const { events } = start()
  const seen: unknown[] = []
  const stop = events.subscribe((recorded) => void seen.push(recorded))
  stop()
  events.sink(granted('a'))
  expect(seen).toEqual([])
})

test('the newest id is known to the ring even before the first event', () => {
  const { events } = start()
  const before = events.ring.latest()
  events.sink(granted('a'))
  expect(locks(events.ring.after(before))).toEqual(['a'])
  expect(events.ring.after(before).missed).toBe(false)
})

test('where events are numbered elsewhere, they reach readers when they come back, and a gap is told', () => {
  const lines: string[] = []
  const log = createLog({ level: 'debug', destination: { write: (line) => void lines.push(line) } })
  const relayed: GatewayEvent[] = []
  const events = createEvents({
    clock,
    log,
    metrics: createMetrics({ processMetrics: false, worker: 2 }),
    run: 'run1',
    kept: 4,
    relay: (event) => void relayed.push(event),
  })
  const numbered = (number: number) => ({
    id: `run1-${number}`,
    number,
    at: 't',
    event: granted(`l${number}`),
  })
  const seen: string[] = []
  events.subscribe(({ id }) => void seen.push(id))
  events.sink(granted('own'))
  expect([relayed.length, lines.length, seen.length]).toEqual([1, 1, 0])
  // This worker began when there were five events already.
  events.accept([numbered(6), numbered(7)])
  expect(seen).toEqual(['run1-6', 'run1-7'])
  expect(events.ring.after('run1-5')).toMatchObject({ missed: false })
  expect(locks(events.ring.after('run1-6'))).toEqual(['l7'])
  expect(events.ring.after('run1-3')).toMatchObject({ missed: true })
  events.accept([numbered(9)])
  expect(events.ring.after('run1-7')).toMatchObject({ missed: true })
  expect(events.ring.latest()).toBe('run1-9')
})

test('an event is told in the same words to who listens and to who comes later', () => {
  const { events } = start()
  events.sink(granted('early'))
  const seen: unknown[] = []
  events.subscribe((recorded) => void seen.push(recorded))
  events.sink(granted('late'))
  const { events: kept } = events.ring.after('run1-0')
  expect(kept[1]).toEqual(seen[0])
  expect(kept[0]).toEqual({ ...kept[1], id: 'run1-1', number: 1, event: granted('early') })
})

test('a line that the level leaves out is not written, and the event is told all the same', () => {
  const lines: string[] = []
  const log = createLog({ level: 'warn', destination: { write: (line) => void lines.push(line) } })
  const metrics = createMetrics({ processMetrics: false })
  const events = createEvents({ clock, log, metrics, run: 'run1' })
  for (const type of ['call.refused', 'call.unknown'] as const) events.sink({ type, backend: 'cinder' })
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['call.unknown'])
  expect(events.ring.latest()).toBe('run1-2')
})
