// Too much of anything is turned away early and in words, and takes nothing else down with it.

import { connect, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { startEchoBackend, startHttpBackend, startRawBackend } from '../../support/echo-backend.ts'
import { eventually } from '../../support/echo-backend-gateway.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { clientOf, closeLater, gatewayTo, kept } from './kept.ts'

const post = (head: string, body = '') =>
  `POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\n${head}\r\n${body}`
const change = post('Content-Length: 3\r\n', 'abc')

/** A backend that answers when it is told to. */
async function heldBackend(): Promise<{ url: string; held: (() => void)[] }> {
  const held: (() => void)[] = []
  const backend = kept(await startEchoBackend((_, response) => void held.push(() => response.end())))
  return { url: backend.url, held }
}

describe('connections', () => {
  test('above the limit are told so, with Retry-After, and the others go on', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { connectionsMax: 3 } })
    const open = await Promise.all([1, 2, 3].map(() => clientOf(gateway)))
    await eventually(() => gateway.listener.state.connections === 3)
    const fourth = await clientOf(gateway)
    const told = await fourth.answer()
    expect([told.status, told.headers['retry-after'], told.headers['connection']]).toEqual([
      503,
      '1',
      'close',
    ])
    await fourth.ended()
    expect(gateway.listener.state.shed).toEqual({ connections: 1 })
    for (const client of open) {
      client.send(change)
      expect((await client.answer()).status).toBe(200)
    }
    open[0]?.close()
    await eventually(() => gateway.listener.state.connections === 2)
    const fifth = await clientOf(gateway)
    fifth.send(change)
    expect((await fifth.answer()).status).toBe(200)
  })

  test('of one address have a limit of their own', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { connectionsPerAddressMax: 2 } })
    const open = await Promise.all([1, 2].map(() => clientOf(gateway)))
    await eventually(() => gateway.listener.state.connections === 2)
    expect((await (await clientOf(gateway)).answer()).status).toBe(503)
    expect(gateway.listener.state.shed).toEqual({ address: 1 })
    const other: Socket = connect({ port: gateway.port, host: '127.0.0.1', localAddress: '127.0.0.9' })
    closeLater(async () => void other.destroy())
    other.write(change)
    const said = await new Promise<Buffer>((resolve) => other.once('data', resolve))
    expect(said.toString('latin1')).toMatch(/^HTTP\/1.1 200/)
    for (const client of open) client.close()
    await eventually(() => gateway.listener.state.connections === 1)
  })

  test('that a client will not end are ended', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { clientIdleMs: 50 } })
    const stubborn = connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true })
    closeLater(async () => void stubborn.destroy())
    stubborn.on('error', () => stubborn.destroy())
    stubborn.write(change)
    stubborn.resume()
    await new Promise<void>((resolve) => stubborn.once('end', resolve))
    await eventually(() => gateway.listener.state.connections === 0)
  })
})

describe('a head that does not come in time', () => {
  test.each([
    ['begun', 'GET /x HTTP/1.1\r\nHost: a\r\nX-A'],
    ['begun behind a whole request', 'GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHo'],
    ['not even begun', ''],
  ])('is not waited for, %s', async (_how, text) => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { headMs: 200 } })
    const client = await clientOf(gateway)
    client.send(text)
    await client.ended()
    await eventually(() => gateway.listener.state.connections === 0)
    expect(backend.seen.length).toBe(text.includes('\r\n\r\n') ? 1 : 0)
  })
})

describe('calls in flight', () => {
  test('above the limit are refused before their body is read, and are told of once a second', async () => {
    const { url, held } = await heldBackend()
    const gateway = await gatewayTo(url, {}, { limits: { inFlightMax: 2 } })
    const open = await Promise.all([1, 2].map(() => clientOf(gateway)))
    for (const client of open) client.send(change)
    await eventually(() => held.length === 2)
    const crowd = await Promise.all(Array.from({ length: 5 }, () => clientOf(gateway)))
    for (const client of crowd) {
      client.send(post('Content-Length: 1000000\r\n'))
      const { status, headers } = await client.answer()
      expect([status, headers['retry-after']]).toEqual([503, '1'])
    }
    expect(gateway.listener.state.shed).toEqual({ calls: 5 })
    expect([...gateway.listener.calls]).toContainEqual({ effect: 'none', verdict: 'backend-down', count: 5 })
    await eventually(() => gateway.events.length > 0)
    expect(gateway.events).toEqual([
      { type: 'calls.shed', backend: 'test', detail: '5 by the limit of calls in flight (limits.calls)' },
    ])
    for (const answer of held) answer()
    for (const client of open) expect((await client.answer()).status).toBe(200)
  })

  test('of one session have a limit of their own, and another session is not met by it', async () => {
    const { url, held } = await heldBackend()
    const gateway = await gatewayTo(url, {}, { limits: { inFlightPerSessionMax: 1 } })
    const [first, second, third] = [await clientOf(gateway), await clientOf(gateway), await clientOf(gateway)]
    first.send(change)
    await eventually(() => held.length === 1)
    second.send(change)
    expect((await second.answer()).status).toBe(503)
    expect(gateway.gate.entries[1]?.log).toEqual(['ended'])
    expect(gateway.listener.state.shed).toEqual({ session: 1 })
    gateway.gate.onEntry = (entry) => (entry.session = 'another')
    third.send(change)
    await eventually(() => held.length === 2)
    for (const answer of held) answer()
    expect((await first.answer()).status).toBe(200)
    expect((await third.answer()).status).toBe(200)
    gateway.gate.onEntry = () => undefined
    second.send(change)
    await eventually(() => held.length === 3)
    held[2]?.()
    expect((await second.answer()).status).toBe(200)
  })
})

describe('a request', () => {
  test.each([
    ['few', 20],
    ['many', 150],
  ])('with more header fields than are taken is refused, be they %s', async (_how, max) => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { headerFieldsMax: max } })
    const client = await clientOf(gateway)
    // Host, Fencing-Token and Content-Length are fields as well.
    client.send(post(`${'X-A: 1\r\n'.repeat(max - 3)}Content-Length: 3\r\n`, 'abc'))
    expect((await client.answer()).status).toBe(200)
    client.send(post(`${'X-A: 1\r\n'.repeat(max - 2)}Content-Length: 3\r\n`, 'abc'))
    expect((await client.answer()).status).toBe(413)
    expect(backend.seen).toHaveLength(1)
  })

  test('with a longer body than is taken is refused before anything of it is sent', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { limits: { bodyBytesMax: 100 } })
    for (const length of [101, 100_000]) {
      const client = await clientOf(gateway)
      client.send(post(`Content-Length: ${length}\r\n`, 'a'.repeat(101)))
      expect((await client.answer()).status).toBe(413)
    }
    expect(gateway.gate.asked).toEqual([])
    const client = await clientOf(gateway)
    client.send(post('Content-Length: 100\r\n', 'a'.repeat(100)))
    expect((await client.answer()).status).toBe(200)
    expect(backend.seen).toHaveLength(1)
  })

  test('whose body of unknown length grows too long is cut off, and unknown', async () => {
    const bodies: number[] = []
    const backend = kept(
      await startHttpBackend((request) => {
        request.on('error', () => undefined)
        request.on('data', (chunk: Buffer) => bodies.push(chunk.length))
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { limits: { bodyBytesMax: 100 } })
    const client = await clientOf(gateway)
    client.send(post('Transfer-Encoding: chunked\r\n', `32\r\n${'a'.repeat(50)}\r\n`))
    await eventually(() => bodies.length > 0)
    client.send(`33\r\n${'a'.repeat(51)}\r\n0\r\n\r\n`)
    expect((await client.answer()).status).toBe(413)
    expect(gateway.gate.entries[0]?.log[0]).toMatch(
      /^unknown: the body of the request is longer than 100 bytes/,
    )
    expect(bodies).toEqual([50])
  })

  test('whose body of unknown length is to be checked, and too long, is refused unsent', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { bodyBytes: 10_000 }, { limits: { bodyBytesMax: 100 } })
    const send = async (length: number) => {
      const client = await clientOf(gateway)
      const chunk = `${length.toString(16)}\r\n${'a'.repeat(length)}\r\n0\r\n\r\n`
      client.send(post('Transfer-Encoding: chunked\r\n', chunk))
      return client.answer()
    }
    const refused = await send(101)
    expect(refused.status).toBe(413)
    expect(refused.body).toContain('limits.bodyBytes')
    expect((await send(100)).status).toBe(200)
    expect(gateway.gate.asked).toHaveLength(1)
    expect(backend.seen).toHaveLength(1)
  })

  test('whose body finds no room beside those of other calls is told to come again, and gets in when one has ended', async () => {
    const { url, held } = await heldBackend()
    const gateway = await gatewayTo(url, { bodyBytes: 10_000 }, { limits: { bodiesBytesMax: 150 } })
    const chunked = (length: number) =>
      post('Transfer-Encoding: chunked\r\n', `${length.toString(16)}\r\n${'a'.repeat(length)}\r\n0\r\n\r\n`)
    const first = await clientOf(gateway)
    first.send(chunked(100))
    await eventually(() => held.length === 1)
    const second = await clientOf(gateway)
    second.send(chunked(51))
    const told = await second.answer()
    expect([told.status, told.headers['retry-after']]).toEqual([503, '1'])
    expect(gateway.listener.state.shed).toEqual({ bodies: 1 })
    const third = await clientOf(gateway)
    third.send(chunked(50))
    await eventually(() => held.length === 2)
    for (const answer of held.splice(0)) answer()
    expect((await first.answer()).status).toBe(200)
    expect((await third.answer()).status).toBe(200)
    const fourth = await clientOf(gateway)
    fourth.send(chunked(150))
    await eventually(() => held.length === 1)
    held[0]?.()
    expect((await fourth.answer()).status).toBe(200)
  })
})

describe('a client that takes nothing of its answer', () => {
  // More than the kernel takes on both connections.
  const flood = Buffer.alloc(40 * 1024 * 1024, 'a')
  const limits = { clientStallMs: 60_000, closeMs: 0 }
  const STEP_MS = limits.clientStallMs / 4

  /** A client that reads only when it is told to, in front of a backend with a long answer. */
  async function slowClient(request: string) {
    const backend = kept(
      await startRawBackend((socket, received) => {
        if (!received.endsWith(request.slice(-4))) return
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${flood.length}\r\n\r\n`)
        socket.write(flood)
      }),
    )
    const clock = new ManualClock()
    const gateway = await gatewayTo(backend.url, {}, { limits, clock })
    const client = await clientOf(gateway)
    client.socket.pause()
    client.send(request)
    // Everything stands still: nobody takes anything any more.
    let sent = -1
    let stands = 0
    await eventually(() => {
      const now = backend.sockets[0]?.writableLength ?? 0
      stands = now > 0 && now === sent ? stands + 1 : 0
      sent = now
      return stands === 20
    })
    return { backend, clock, gateway, client }
  }

  test('loses it in the end, and the call has ended all the same', async () => {
    const { clock, gateway, client } = await slowClient(change)
    for (let i = 0; i < 4; i++) await clock.advance(STEP_MS)
    expect(gateway.listener.state.connections).toBe(1)
    for (let i = 0; i < 4 && gateway.listener.state.connections > 0; i++) await clock.advance(STEP_MS)
    await eventually(() => gateway.gate.entries[0]?.log.length === 1)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    expect(gateway.listener.state.connections).toBe(0)
    client.close()
  })

  test('is left alone while it takes something now and then', async () => {
    const { clock, gateway, client } = await slowClient(change)
    for (let i = 0; i < 12; i++) {
      await clock.advance(STEP_MS)
      if (i % 3 !== 2) continue
      const before = client.received.length
      client.socket.resume()
      await client.until((received) => received.length > before + 8_000_000)
      client.socket.pause()
    }
    client.socket.resume()
    await client.until((received) => received.length > flood.length)
    await eventually(() => gateway.gate.entries[0]?.log.length === 1)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('does not outlive its read at the backend', async () => {
    const { backend, clock, gateway, client } = await slowClient('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    for (let i = 0; i < 8; i++) await clock.advance(STEP_MS)
    await eventually(() => backend.sockets[0]?.destroyed === true)
    expect(gateway.listener.inFlight).toBe(0)
    client.close()
  })
})
