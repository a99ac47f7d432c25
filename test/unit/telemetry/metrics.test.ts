import { expect, test } from 'vitest'
import { createMetrics } from '../../../gateway/telemetry/index.ts'

test('calls are counted by backend, effect and verdict, as they stand at the scrape', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const calls = [{ effect: 'mutate', verdict: 'admitted', count: 1 }]
  metrics.observeCalls('cinder', calls)
  calls.push({ effect: 'mutate', verdict: 'stale-token', count: 7 })
  await metrics.expose()
  const { body, contentType } = await metrics.expose()
  expect(contentType).toContain('text/plain')
  expect(body).toContain('fencegate_calls_total{backend="cinder",effect="mutate",verdict="admitted"} 1')
  expect(body).toContain('fencegate_calls_total{backend="cinder",effect="mutate",verdict="stale-token"} 7')
})

test('events become counters and histograms of their own', async () => {
  const metrics = createMetrics({ processMetrics: false })
  metrics.event({ type: 'call.refused', backend: 'cinder', verdict: 'handover', lock: 'x' })
  metrics.event({ type: 'call.shadowed', backend: 'cinder', verdict: 'missing-token' })
  metrics.event({ type: 'call.unknown', backend: 'cinder' })
  metrics.event({ type: 'handover.opened', lock: 'x', durationMs: 1500 })
  metrics.event({ type: 'fence.attempted', fencer: 'power', verdict: 'timed-out', durationMs: 4000 })
  metrics.event({ type: 'fence.closed', verdict: 'confirmed', durationMs: 9000 })
  metrics.event({ type: 'fence.blocked' })
  const { body } = await metrics.expose()
  for (const line of [
    'fencegate_calls_refused_total{backend="cinder",verdict="handover"} 1',
    'fencegate_calls_shadowed_total{backend="cinder",verdict="missing-token"} 1',
    'fencegate_calls_unknown_total{backend="cinder"} 1',
    'fencegate_handover_duration_seconds_sum 1.5',
    'fencegate_fence_attempts_total{fencer="power",outcome="timed-out"} 1',
    'fencegate_fence_attempt_duration_seconds_sum{fencer="power"} 4',
    'fencegate_fences_total{outcome="confirmed"} 1',
    'fencegate_fences_total{outcome="blocked"} 1',
    'fencegate_fence_duration_seconds_sum 9',
  ])
    expect(body).toContain(line)
})

test('no lock, session or token ever becomes a label', async () => {
  const metrics = createMetrics({ processMetrics: false })
  for (const type of ['lock.granted', 'call.refused', 'fence.due', 'handover.opened'] as const)
    metrics.event({ type, lock: 'my-lock', session: 'my-session', token: '4711', durationMs: 1 })
  expect((await metrics.expose()).body).not.toMatch(/my-lock|my-session|4711/)
})

test('gauges are read at the scrape, and may be given anew', async () => {
  const metrics = createMetrics({ processMetrics: false })
  let sessions = 1
  const sources = {
    sessions: () => sessions,
    locks: () => ({ open: 2, handover: 1, blocked: 0 }),
    inFlight: () => 5,
    unknown: () => 1,
    waiting: () => 3,
    parked: () => 2,
  }
  metrics.observe(sources)
  sessions = 9
  const { body } = await metrics.expose()
  expect(body).toContain('fencegate_sessions 9')
  expect(body).toContain('fencegate_locks{phase="handover"} 1')
  expect(body).toContain('fencegate_calls_in_flight 5')
  expect(body).toContain('fencegate_calls_parked 2')
  metrics.observe({ ...sources, sessions: () => 4 })
  expect((await metrics.expose()).body).toContain('fencegate_sessions 4')
})

test('open fences and the health of fencers are read at the scrape', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const one = {
    fencer: 'power',
    driver: 'fence-agent',
    state: 'unhealthy' as const,
    reason: 'no route',
    monitoredAt: '2030-01-01T00:00:00.000Z',
    since: null,
    lastResortOf: [],
  }
  metrics.observeFencing({
    fences: () => ({ states: { due: 0, running: 1, blocked: 2, held: 0 }, oldestSeconds: 40 }),
    fencers: () => [one, { ...one, fencer: 'new', state: 'unknown', monitoredAt: null }],
  })
  const { body } = await metrics.expose()
  expect(body).toContain('fencegate_fences_open{state="blocked"} 2')
  expect(body).toContain('fencegate_fences_oldest_seconds 40')
  expect(body).toContain('fencegate_fencer_healthy{fencer="power"} 0')
  expect(body).toContain('fencegate_fencer_monitored_timestamp_seconds{fencer="power"} 1893456000')
  expect(body).not.toContain('fencer="new"')
})

test('two gateways in one process count apart', async () => {
  const [a, b] = [createMetrics({ processMetrics: false }), createMetrics({ processMetrics: true })]
  a.observeCalls('x', [{ effect: 'read', verdict: 'admitted', count: 1 }])
  const second = await b.expose()
  expect(second.body).not.toContain('backend="x"')
  expect(second.body).toContain('fencegate_process_cpu_seconds_total')
  a.close()
  b.close()
})
