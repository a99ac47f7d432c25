// A service that fences on a signed order, as the driver webhook expects one, and can be slow, wrong or a liar.

import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { type RestAnswer, type RestCall, type RestServer, startRestServer } from './rest-server.ts'

export interface WebhookReceiver {
  readonly server: RestServer
  /** The fences whose holder it has ended. */
  readonly fenced: Set<string>
  /** Idempotency keys, each once. */
  readonly orders: Set<string>
  /** `slow`: works until `finish`. `boast`: says "fenced" to the order, and does nothing. `confused`: tells of another fence. */
  mode: 'prompt' | 'slow' | 'boast' | 'confused' | 'failed'
  finish(): void
}

const Order = z.object({ fence: z.string(), action: z.enum(['fence', 'unfence']) })

export async function startWebhookReceiver(secret: string): Promise<WebhookReceiver> {
  const fenced = new Set<string>()
  const orders = new Set<string>()
  const started: string[] = []

  function isSigned({ method, path, headers, text }: RestCall): boolean {
    const content = `${String(headers['fencegate-timestamp'])}.${method === 'POST' ? text : path}`
    const signature = createHmac('sha256', secret).update(content).digest('hex')
    const ageMs = Math.abs(Date.now() - Number(headers['fencegate-timestamp']) * 1_000)
    return headers['fencegate-signature'] === `v1=${signature}` && ageMs < 60_000
  }

  function take(call: RestCall): RestAnswer {
    const { fence, action } = Order.parse(call.json)
    const key = String(call.headers['idempotency-key'])
    if (orders.has(key)) return { status: 200, json: { again: true } }
    orders.add(key)
    if (action === 'unfence') fenced.delete(fence)
    else if (receiver.mode === 'boast') return { status: 200, json: { fence, state: 'fenced' } }
    else if (receiver.mode === 'slow') started.push(fence)
    else if (receiver.mode !== 'failed') fenced.add(fence)
    return { status: 202, json: { fence, state: 'pending' } }
  }

  const server = await startRestServer((call) => {
    if (!isSigned(call)) return { status: 401, json: { error: 'not signed' } }
    if (call.method === 'POST') return take(call)
    const asked = decodeURIComponent(call.path.slice(1))
    if (asked === 'monitor') return { status: 404, json: { error: 'no such fence' } }
    const fence = receiver.mode === 'confused' ? 'another' : asked
    const state = fenced.has(asked) ? 'fenced' : receiver.mode === 'failed' ? 'failed' : 'pending'
    return { status: 200, json: { fence, state, evidence: `looked at ${asked}` } }
  })
  const receiver: WebhookReceiver = {
    server,
    fenced,
    orders,
    mode: 'prompt',
    finish() {
      for (const fence of started.splice(0)) fenced.add(fence)
    },
  }
  return receiver
}
