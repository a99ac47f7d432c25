// A lock holder as a process of its own: sends the requests it is told to, renews its session, and can be stopped, woken
// and killed like any process. Speaks JSON lines on standard input and output.

import { createInterface } from 'node:readline'

interface Order {
  readonly id: number
  readonly url: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: string | null
  /** Sent again and again, every so many milliseconds, until it fails; only the first answer is told. */
  readonly everyMs: number | null
}

async function send(
  order: Order,
): Promise<{ status: number; headers: Record<string, string>; body: string }> {
  const answer = await fetch(order.url, {
    method: order.method,
    headers: order.headers,
    body: order.body,
  })
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
}

async function carryOut(order: Order): Promise<void> {
  try {
    const answer = await send(order)
    process.stdout.write(`${JSON.stringify({ id: order.id, answer })}\n`)
    if (order.everyMs !== null && answer.status < 300) setTimeout(() => void renew(order), order.everyMs)
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id: order.id, error: String(error) })}\n`)
  }
}

async function renew(order: Order): Promise<void> {
  const answer = await send(order).catch(() => null)
  if (answer !== null && answer.status < 300) setTimeout(() => void renew(order), order.everyMs ?? 1_000)
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order: Order = JSON.parse(line)
    void carryOut(order)
  })
  .on('close', () => process.exit(0))
process.stdout.write('{"ready":true}\n')
