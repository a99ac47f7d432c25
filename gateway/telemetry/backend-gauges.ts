// Gauges of the data plane: how much each backend listener has to do, and which addresses of its backend are well.

import { Counter, Gauge, type Registry } from 'prom-client'
import type { BackendState } from '../spi/backend-state.ts'

/** The map, by the backend's name, is asked at each scrape. */
export function observeBackends(registry: Registry): Map<string, () => BackendState> {
  const backends = new Map<string, () => BackendState>()
  const gauge = (
    name: string,
    help: string,
    labelNames: readonly string[],
    read: (gauge: Gauge, backend: string, state: BackendState) => void,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const [backend, state] of backends) read(this, backend, state())
      },
    })
  }
  gauge(
    'fencegate_backend_calls_in_flight',
    'Calls between their head and their end at the backend, reads too.',
    ['backend'],
    (it, backend, { inFlight }) => it.set({ backend }, inFlight),
  )
  gauge(
    'fencegate_backend_connections',
    'Connections of clients.',
    ['backend'],
    (it, backend, { connections }) => it.set({ backend }, connections),
  )
  gauge(
    'fencegate_backend_jobs',
    'Jobs that are watched until they are over.',
    ['backend'],
    (it, backend, { jobs }) => it.set({ backend }, jobs),
  )
  gauge(
    'fencegate_upstream_healthy',
    'Whether an address of a backend is well.',
    ['backend', 'upstream'],
    (it, backend, { upstreams }) => {
      for (const { upstream, healthy } of upstreams) it.set({ backend, upstream }, healthy ? 1 : 0)
    },
  )
  new Counter({
    name: 'fencegate_shed_total',
    help: 'Calls and connections that were turned away because there were too many, by the limit that was met.',
    labelNames: ['backend', 'limit'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [backend, state] of backends)
        for (const [limit, count] of Object.entries(state().shed)) this.inc({ backend, limit }, count)
    },
  })
  return backends
}
