// How much of what one client sends node:http reads in one turn, on real connections.

import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type BodyBegun, PacedReading } from '../../../gateway/proxy/paced-reading.ts'
import { RawClient } from '../../support/raw-http.ts'

const WAITING_MAX = 64
const SMALLEST = 'GET / HTTP/1.1\r\n\r\n'
/** Of the smallest requests, as many as one slice may have. */
const IN_A_SLICE = Math.ceil((2 * 1024) / SMALLEST.length)

const closers: (() => unknown)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** Answers a request in each turn, and counts how many it was given since the turn before. */
class SlowServer {
  readonly server: Server
  readonly waiting: IncomingMessage[] = []
  readonly bodies: Promise<string>[] = []
  readonly readings: PacedReading[] = []
  socket: Socket | null = null
  mostInATurn = 0
  mostWaiting = 0
  #latest: (IncomingMessage & BodyBegun) | null = null
  #inThisTurn = 0
  #isTurning = false

  constructor() {
    this.server = createServer({ requireHostHeader: false }, (request, response) => {
      this.waiting.push(request)
      this.#latest = Object.assign(request, {
        contentLength: Number(request.headers['content-length'] ?? 0),
      })
      this.bodies.push(bodyOf(request))
      this.mostWaiting = Math.max(this.mostWaiting, this.waiting.length)
      this.mostInATurn = Math.max(this.mostInATurn, ++this.#inThisTurn)
      request.once('taken', () => response.end())
      this.#turn()
    })
    this.server.on('connection', (socket: Socket) => {
      this.socket = socket
      this.readings.push(new PacedReading(socket, this))
    })
  }

  get isFull(): boolean {
    return this.waiting.length >= WAITING_MAX
  }

  get inBody(): BodyBegun | null {
    return this.#latest?.complete === false ? this.#latest : null
  }

  #turn(): void {
    if (this.#isTurning) return
    this.#isTurning = true
    setImmediate(() => {
      this.#isTurning = false
      this.#inThisTurn = 0
      const wasFull = this.isFull
      this.waiting.shift()?.emit('taken')
      if (wasFull && !this.isFull) this.socket?.resume()
      if (this.waiting.length > 0) this.#turn()
    })
  }

  async open(): Promise<RawClient> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    const client = await RawClient.open((this.server.address() as AddressInfo).port)
    closers.push(
      () => client.close(),
      () => this.server.close(),
    )
    return client
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}

describe('a client that sends thousands of requests at once', () => {
  test('has only some of them read in a turn, and all of them in the end', async () => {
    const server = new SlowServer()
    const client = await server.open()
    client.send(SMALLEST.repeat(4_000))
    await client.until((received) => received.split('HTTP/1.1 200').length > 4_000)
    expect(server.bodies).toHaveLength(4_000)
    expect(server.mostWaiting).toBeLessThanOrEqual(WAITING_MAX + IN_A_SLICE)
    expect(server.mostInATurn).toBeLessThanOrEqual(WAITING_MAX + IN_A_SLICE)
  })

  test.each([20, 2_000, 20_000, 200_000])(
    'behind a body of %i bytes has no more of them read',
    async (length) => {
      const server = new SlowServer()
      const client = await server.open()
      const body = 'a'.repeat(length)
      const head = `POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n`
      client.send(head + body.slice(0, -1))
      await expect.poll(() => server.bodies.length).toBe(1)
      client.send(`a${SMALLEST.repeat(2_000)}`)
      await client.until((received) => received.split('HTTP/1.1 200').length > 2_001)
      expect(await server.bodies[0]).toBe(body)
      // The end of the body and what stands behind it in the same slice.
      expect(server.mostInATurn).toBeLessThanOrEqual((16 * 1024) / SMALLEST.length + WAITING_MAX + IN_A_SLICE)
    },
  )

  test('has nothing read once that has ended, and is told how much was left', async () => {
    const server = new SlowServer()
    const client = await server.open()
    let left = 0
    server.server.once('request', () => {
      left = server.readings[0]?.stop() ?? 0
    })
    client.send(SMALLEST.repeat(1_000))
    await client.until((received) => received.includes('HTTP/1.1 200'))
    expect(server.bodies.length).toBeLessThanOrEqual(IN_A_SLICE)
    expect(left).toBe(1_000 * SMALLEST.length - 2 * 1024)
  })
})

test('what comes is read as it was sent, however it is cut', async () => {
  const server = new SlowServer()
  const client = await server.open()
  const bodies = [1, 2_047, 2_048, 2_049, 16_384, 100_000].map((length, i) => `${i}`.repeat(length))
  for (const body of bodies) {
    client.send(`POST / HTTP/1.1\r\nX-A: ${'a'.repeat(3_000)}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    client.send(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
    client.send(`POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }
  await client.until((received) => received.split('HTTP/1.1 200').length > 2 * bodies.length)
  expect(await Promise.all(server.bodies)).toEqual(bodies.flatMap((body) => [body, body]))
})
