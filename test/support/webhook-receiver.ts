// A service that fences on a signed order, as the driver webhook expects one, and can be slow, wrong or a liar. What it calls back,
// and to which gateway, the test says.

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
  /** Where and with what each order can be answered, by its idempotency key; of orders that come twice, the last. */
  readonly answerable: Map<string, Answerable>
}

export interface Answerable {
  readonly url: string
  readonly ticket: string
}

export interface Said {
  readonly fence: string
  readonly ticket: string
  readonly state: string
  readonly evidence?: string
}

/** The head and body of a callback. `ageSeconds`: how long ago it was signed. */
export function signedCallback(secret: string, said: Said, ageSeconds = 0) {
  const text = JSON.stringify(said)
  const timestamp = String(Math.floor(Date.now() / 1_000) - ageSeconds)
  const signature = createHmac('sha256', secret).update(`${timestamp}.${text}`).digest('hex')
  return { text, headers: { 'fencegate-timestamp': timestamp, 'fencegate-signature': `v1=${signature}` } }
}

/** Sends it to one gateway, whatever host the order named. Its status, and the answer. */
export async function callBack(
  control: string,
  { url }: Pick<Answerable, 'url'>,
  { text, headers }: ReturnType<typeof signedCallback>,
): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await fetch(control + new URL(url).pathname, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: text,
  })
  return { status: answer.status, body: await answer.text() }
}

const Order = z.object({
  fence: z.string(),
  action: z.enum(['fence', 'unfence']),
  callback: z.object({ url: z.string(), ticket: z.string() }).optional(),
})

export async function startWebhookReceiver(secret: string): Promise<WebhookReceiver> {
  const fenced = new Set<string>()
  const orders = new Set<string>()
  const started: string[] = []
  const answerable = new Map<string, Answerable>()

  function isSigned({ method, path, headers, text }: RestCall): boolean {
    const content = `${String(headers['fencegate-timestamp'])}.${method === 'POST' ? text : path}`
    const signature = createHmac('sha256', secret).update(content).digest('hex')
    const ageMs = Math.abs(Date.now() - Number(headers['fencegate-timestamp']) * 1_000)
    return headers['fencegate-signature'] === `v1=${signature}` && ageMs < 60_000
  }

  function take(call: RestCall): RestAnswer {
    const { fence, action, callback } = Order.parse(call.json)
    const key = String(call.headers['idempotency-key'])
    if (callback !== undefined) answerable.set(key, callback)
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
    answerable,
    mode: 'prompt',
    finish() {
      for (const fence of started.splice(0)) fenced.add(fence)
    },
  }
  return receiver
}
