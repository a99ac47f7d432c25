// What other rooms may take from telemetry.

export {
  createEvents,
  type EventRing,
  type Events,
  type EventsOptions,
  type RecordedEvent,
} from './events.ts'
export { createLog, type Log, type LogFields, type LogLevel, type LogOptions } from './log.ts'
export {
  createMetrics,
  type GaugeSources,
  type MetricFamily,
  type Metrics,
  mergeFamilies,
} from './metrics.ts'
