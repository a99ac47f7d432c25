// The load generator for machines without wrk: one process, plain sockets, one request in flight on each. Started as
// `node sockets.ts '<SocketPlan as JSON>'`; it writes one line `RESULT {…}` and ends.

import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'

interface SocketPlan {
  readonly port: number
  readonly secure: boolean
  readonly connections: number
  readonly seconds: number
  readonly requestsFile: string
}

const LATENCY_US_MAX = 2_000_000
const DRAIN_MS_MAX = 10_000

const text = process.argv[2]
if (text === undefined) throw new Error('sockets.ts needs a plan')
const plan: SocketPlan = JSON.parse(text)
const requests = readFileSync(plan.requestsFile, 'latin1')
  .split('\0')
  .filter((request) => request !== '')
  .map((request) => Buffer.from(request, 'latin1'))

/** Answers by latency in microseconds; the last field takes what is slower. */
const latencies = new Uint32Array(LATENCY_US_MAX + 1)
let next = 0
let answered = 0
let refused = 0
let broken = 0
let open = 0

const startedMs = performance.now()
const endMs = startedMs + plan.seconds * 1000

for (let i = 0; i < plan.connections; i++) connect()
setTimeout(report, plan.seconds * 1000 + DRAIN_MS_MAX).unref()

function connect(): void {
  const socket = plan.secure
    ? // A certificate of this run's own making, on loopback.
      tls.connect({ port: plan.port, host: '127.0.0.1', rejectUnauthorized: false })
    : net.connect(plan.port, '127.0.0.1')
  open++
  let sentMs = 0
  let rest: Buffer | null = null
  const send = (): void => {
    const request = requests[next]
    if (request === undefined) throw new Error('there are no requests to send')
    next = next + 1 === requests.length ? 0 : next + 1
    sentMs = performance.now()
    socket.write(request)
  }
  const answer = (status: number): void => {
    const now = performance.now()
    count(now - sentMs)
    answered++
    if (status >= 400) refused++
    if (now < endMs) send()
    else socket.end()
  }
  socket.setNoDelay(true)
  socket.once(plan.secure ? 'secureConnect' : 'connect', send)
  socket.on('data', (chunk: Buffer) => {
    const data = rest === null ? chunk : Buffer.concat([rest, chunk])
    const status = wholeAnswer(data)
    rest = status === null ? data : null
    if (status !== null) answer(status)
  })
  socket.once('error', () => {
    broken++
  })
  socket.once('close', () => {
    open--
    if (performance.now() < endMs) {
      broken++
      connect()
    } else if (open === 0) report()
  })
}

/** The status of the answer that fills `data`, or null where bytes are missing. One request, one answer. */
function wholeAnswer(data: Buffer): number | null {
  const headEnd = data.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = data.toString('latin1', 0, headEnd + 2)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  const whole =
    length === null
      ? !/\r\ntransfer-encoding: *chunked/i.test(head) || data.subarray(-5).toString('latin1') === '0\r\n\r\n'
      : data.length >= headEnd + 4 + Number(length[1])
  return whole ? Number(head.slice(9, 12)) : null
}

function count(latencyMs: number): void {
  const us = Math.min(LATENCY_US_MAX, Math.round(latencyMs * 1000))
  latencies[us] = (latencies[us] ?? 0) + 1
}

function percentile(share: number): number {
  let left = answered * share
  for (let us = 0; us < latencies.length; us++) {
    left -= latencies[us] ?? 0
    if (left <= 0) return us
  }
  return LATENCY_US_MAX
}

function report(): void {
  const result = {
    requests: answered,
    seconds: (performance.now() - startedMs) / 1000,
    refused,
    broken: broken + open,
    p50Us: percentile(0.5),
    p99Us: percentile(0.99),
  }
  process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`, () => process.exit(0))
}
