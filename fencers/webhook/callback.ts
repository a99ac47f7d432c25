// The signatures between the gateways and a webhook's service, both ways, and the tickets by which the service answers one
// order. It must never believe a word that is unsigned, old, about another fence, or about an order that was never given.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import type { FenceCallback } from '../../gateway/core/fence-record.ts'
import type { CallbackDelivery } from '../../gateway/spi/fencer.ts'

/** Both clocks and the way count; what comes twice within it is known by then. */
const AGE_SECONDS_MAX = 300
const EVIDENCE_LENGTH_MAX = 500

const Body = z.strictObject({
  fence: z.string(),
  ticket: z.string().regex(/^[1-9][0-9]{0,8}\.[0-9a-f]{64}$/),
  state: z.enum(['fenced', 'failed']),
  evidence: z.string().optional(),
})

export interface Order {
  readonly fence: string
  /** Name of the fencer: two of one service and one key must not answer for each other. */
  readonly fencer: string
  readonly attempt: number
}

export function signature(secret: string, timestamp: string, content: string): string {
  return createHmac('sha256', secret).update(`${timestamp}.${content}`).digest('hex')
}

/**
 * Nobody without the key can make one up. It is no random number, so that every gateway knows it again, also one that takes the
 * fence over from a gateway that was killed before it could write anything down.
 */
export function ticketOf(secret: string, { fence, fencer, attempt }: Order): string {
  const key = createHmac('sha256', secret).update('fencegate callback tickets').digest()
  const mark = createHmac('sha256', key)
    .update(JSON.stringify([fence, fencer, attempt]))
    .digest('hex')
  return `${attempt}.${mark}`
}

/** Null where it is not the service's word about an order of that fence and fencer. */
export function readCallback(
  secret: string,
  { fencer, fenceId, header, text, wallMs }: CallbackDelivery,
): Pick<FenceCallback, 'attempt' | 'state' | 'evidence'> | null {
  const timestamp = header('fencegate-timestamp') ?? ''
  if (!/^[0-9]{1,12}$/.test(timestamp)) return null
  if (Math.abs(wallMs / 1_000 - Number(timestamp)) > AGE_SECONDS_MAX) return null
  if (!isSame(header('fencegate-signature') ?? '', `v1=${signature(secret, timestamp, text)}`)) return null
  const body = Body.safeParse(jsonOf(text))
  if (!body.success || body.data.fence !== fenceId) return null
  const { ticket, state, evidence = 'nothing' } = body.data
  const attempt = Number(ticket.split('.')[0])
  if (!isSame(ticket, ticketOf(secret, { fence: fenceId, fencer, attempt }))) return null
  return { attempt, state, evidence: evidence.slice(0, EVIDENCE_LENGTH_MAX) }
}

function isSame(said: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(said), Buffer.from(wanted)]
  return one.byteLength === other.byteLength && timingSafeEqual(one, other)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
