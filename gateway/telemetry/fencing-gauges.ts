// Gauges of fences and fencers, read at the scrape. Labels are names of the configuration and our own words.

import { Gauge, type Registry } from 'prom-client'
import type { FencerHealth } from '../spi/fencer-health.ts'

/** Asked at each scrape; must answer at once from memory. */
export interface FencingSources {
  /** Fences that are not closed. */
  fences(): {
    readonly states: Readonly<Record<'due' | 'running' | 'blocked' | 'held', number>>
    /** Of the oldest; 0 where there is none. */
    readonly oldestSeconds: number
  }
  fencers(): readonly FencerHealth[]
}

/** May be given anew. */
export function observeFencing(registry: Registry, sources: FencingSources): void {
  const registers = [registry]
  for (const name of [
    'fencegate_fences_open',
    'fencegate_fences_oldest_seconds',
    'fencegate_fencer_healthy',
    'fencegate_fencer_monitored_timestamp_seconds',
  ])
    registry.removeSingleMetric(name)
  new Gauge({
    name: 'fencegate_fences_open',
    help: 'Fences that are not closed, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(sources.fences().states)) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'fencegate_fences_oldest_seconds',
    help: 'Age of the oldest fence that is not closed; 0 where there is none.',
    registers,
    collect() {
      this.set(sources.fences().oldestSeconds)
    },
  })
  new Gauge({
    name: 'fencegate_fencer_healthy',
    help: 'Whether the fencer could do its job when it was last asked. Absent until it has been asked.',
    labelNames: ['fencer'],
    registers,
    collect() {
      this.reset()
      for (const { fencer, state } of sources.fencers())
        if (state !== 'unknown') this.set({ fencer }, state === 'healthy' ? 1 : 0)
    },
  })
  new Gauge({
    name: 'fencegate_fencer_monitored_timestamp_seconds',
    help: 'When the fencer was last asked whether it could do its job.',
    labelNames: ['fencer'],
    registers,
    collect() {
      this.reset()
      for (const { fencer, monitoredAt } of sources.fencers())
        if (monitoredAt !== null) this.set({ fencer }, Date.parse(monitoredAt) / 1000)
    },
  })
}
