// What the parent and its workers say to each other. Never a call and never a decision: those go through the store, as
// between gateways on different machines.

import { z } from 'zod'
import type { GatewayEvent } from '../spi/events.ts'
import type { RecordedEvent } from '../telemetry/index.ts'
import type { MetricFamily } from '../telemetry/metrics.ts'

const object = (value: unknown): boolean => typeof value === 'object' && value !== null
const gatewayEvent = z.custom<GatewayEvent>(object)
const recordedEvent = z.custom<RecordedEvent>(object)
const families = z.array(z.custom<MetricFamily>(object))
const address = z.object({ host: z.string(), port: z.number() })

const fromWorker = z.discriminatedUnion('type', [
  /** It serves; on these addresses, which are the same for all. */
  z.object({ type: z.literal('ready'), control: address, backends: z.record(z.string(), address) }),
  z.object({ type: z.literal('alive') }),
  z.object({
    type: z.literal('events'),
    events: z.array(z.object({ at: z.string(), event: gatewayEvent })),
  }),
  /** Somebody asked this worker for the numbers of all. */
  z.object({ type: z.literal('gather'), id: z.number() }),
  z.object({ type: z.literal('metrics'), id: z.number(), families }),
])

const fromParent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('stop') }),
  z.object({ type: z.literal('events'), events: z.array(recordedEvent) }),
  z.object({ type: z.literal('metrics-wanted'), id: z.number() }),
  z.object({ type: z.literal('gathered'), id: z.number(), families }),
])

export type FromWorker = z.output<typeof fromWorker>
export type FromParent = z.output<typeof fromParent>
export type Address = z.output<typeof address>

/** Null for what is none of ours: Node's own messages go the same way. */
export function readFromWorker(message: unknown): FromWorker | null {
  return fromWorker.safeParse(message).data ?? null
}

export function readFromParent(message: unknown): FromParent | null {
  return fromParent.safeParse(message).data ?? null
}
