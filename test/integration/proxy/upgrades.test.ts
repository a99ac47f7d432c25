// A console over WebSocket goes through where the configuration lets it, is one call from its check to its end, and no byte
// of a holder goes on once his lock is sealed.

import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { eventually, startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'
import type { RawClient } from '../../support/raw-http.ts'
import { clientOf, closeLater } from './kept.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

/** Speaks WebSocket's handshake, then gives every byte back in capitals; refuses `/refused`. */
async function consoleBackend() {
  const sockets: Duplex[] = []
  const plain: (string | undefined)[] = []
  const got: string[] = []
  const server = createServer((request, response) => {
    plain.push(request.headers.upgrade)
    response.end('plain')
  })
  server.on('upgrade', (request, socket: Socket) => {
    if (request.url === '/refused') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno\r\n')
      return
    }
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    const protocol = request.url === '/other' ? 'other' : 'websocket'
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${protocol}\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      got.push(bytes.toString())
      socket.write(bytes.toString().toUpperCase())
    })
    socket.on('end', () => {
      if (request.url !== '/silent') socket.end('BYE')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closeLater(async () => {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, plain, got }
}

async function gatewayTo(
  ...[url, policy, options]: Parameters<typeof startTestGateway>
): Promise<TestGateway> {
  const gateway = await startTestGateway(url, policy, { upgrades: ['websocket'], ...options })
  closeLater(() => gateway.listener.close())
  return gateway
}

const asks = (target: string, fields = '') =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\nFencing-Token: 7\r\n${fields}\r\n`

/** Everything below `/console` changes something, as a pack may say of consoles. */
const consoles = {
  classify: ({ target }: { readonly target: string }) =>
    ({
      kind: 'call',
      effect: target.startsWith('/read') ? 'read' : 'mutate',
      rule: 'console',
      locks: [],
      waitMs: 0,
      job: null,
      target,
    }) as const,
}

async function opened(gateway: TestGateway, target = '/console'): Promise<RawClient> {
  const client = await clientOf(gateway)
  client.send(asks(target))
  const answer = await client.answer()
  expect(answer.status).toBe(101)
  expect(answer.headers).toMatchObject({
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  })
  return client
}

async function echoed(client: RawClient, text: string): Promise<void> {
  client.send(text)
  await client.until((received) => received.endsWith(text.toUpperCase()))
}

describe('a change of protocol', () => {
  test('passes bytes both ways, and is one call in flight until the backend has ended it', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await opened(gateway)
    await echoed(client, 'hello')
    await echoed(client, 'x'.repeat(200_000))
    expect(gateway.gate.entries[0]?.log).toEqual([])
    expect(gateway.listener.inFlight).toBe(1)
    client.socket.end()
    await client.ended()
    expect(client.received.endsWith('BYE')).toBe(true)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('is refused like any call whose token is not the owner’s, and the backend hears nothing', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    gateway.gate.decide = () => ({ code: 'stale-token', detail: 'no' })
    const client = await clientOf(gateway)
    client.send(asks('/console'))
    expect((await client.answer()).status).toBe(412)
    await client.ended()
    expect([backend.sockets, backend.plain]).toEqual([[], []])
  })

  test('that only reads needs no lock', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    await echoed(await opened(gateway, '/read'), 'hello')
    expect(gateway.gate.asked).toEqual([])
  })

  test('that the backend refuses brings its answer, and the call has ended', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await clientOf(gateway)
    client.send(asks('/refused'))
    const answer = await client.answer()
    expect([answer.status, answer.headers['connection']]).toEqual([403, 'close'])
    await client.ended()
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('to what nobody asked for is broken off, and unknown', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await clientOf(gateway)
    client.send(asks('/other'))
    expect((await client.answer()).status).toBe(502)
    expect(gateway.gate.entries[0]?.log[0]).toMatch(/^unknown: .*protocol that nobody had asked for/)
  })

  test.each([
    ['the backend does not allow it', asks('/x'), { upgrades: [] }],
    ['another protocol is asked for', asks('/x').replace('websocket', 'h2c'), {}],
    ['the request has a body', asks('/x', 'Content-Length: 0\r\n'), {}],
    ['it is not a GET', asks('/x').replace('GET', 'OPTIONS'), {}],
  ])('is not made where %s: the call goes on as a plain one', async (_why, request, options) => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles, options)
    const client = await clientOf(gateway)
    client.send(request)
    const answer = await client.answer()
    expect([answer.status, answer.body]).toEqual([200, 'plain'])
    expect(backend.plain).toEqual([undefined])
  })

  test('is not made behind a call that is under way: both are plain ones', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const first = Promise.withResolvers<'admit'>()
    gateway.gate.decide = () => first.promise
    const client = await clientOf(gateway)
    client.send(`POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${asks('/read')}`)
    await eventually(() => gateway.gate.asked.length === 1)
    expect([client.received, backend.sockets]).toEqual(['', []])
    first.resolve('admit')
    for (let i = 0; i < 2; i++) expect((await client.answer()).body).toBe('plain')
    expect(backend.sockets).toEqual([])
  })

  test('is refused where more is sent behind it, which nobody would check, wherever a slice of it ends', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const { length } = asks('/console')
    for (const bytes of [length, 2 * 1024 - 1, 2 * 1024, 2 * 1024 + 1, 4 * 1024]) {
      const client = await clientOf(gateway)
      const asked = asks(`/console${'/'.repeat(bytes - length)}`)
      expect(asked).toHaveLength(bytes)
      client.send(`${asked}POST /x HTTP/1.1\r\nHost: a\r\n\r\n`)
      expect((await client.answer()).status).toBe(400)
      await client.ended()
    }
    expect(backend.sockets).toEqual([])
  })
})

describe('a tunnel', () => {
  test('takes no byte of its client once the lock is sealed, and has ended when the backend has', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await opened(gateway)
    await echoed(client, 'before')
    gateway.gate.entries[0]?.seal()
    client.send('after')
    await client.ended()
    expect(backend.got).toEqual(['before'])
    expect(client.received.endsWith('BYE')).toBe(true)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('that the backend does not end is broken off when the drain limit is over, and unknown', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await opened(gateway, '/silent')
    await echoed(client, 'before')
    gateway.gate.entries[0]?.seal()
    await eventually(() => backend.sockets[0]?.readableEnded === true)
    expect(gateway.gate.entries[0]?.log).toEqual([])
    gateway.gate.entries[0]?.abandon()
    await client.ended()
    expect(gateway.gate.entries[0]?.log[0]).toMatch(/^unknown: abandoned/)
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('takes no byte of its client once the gateway may be taken for gone, and is unknown', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await opened(gateway)
    await echoed(client, 'before')
    const [entry] = gateway.gate.entries
    if (entry !== undefined) entry.leaseStands = false
    client.send('after')
    await client.ended()
    expect(backend.got).toEqual(['before'])
    expect(entry?.log[0]).toMatch(/^unknown: the gateway could not renew its lease/)
  })

  test('is unknown where the backend breaks it off', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles)
    const client = await opened(gateway)
    const [socket] = backend.sockets
    if (socket !== undefined && 'resetAndDestroy' in socket) (socket as Socket).resetAndDestroy()
    await client.ended()
    expect(gateway.gate.entries[0]?.log[0]).toMatch(/^unknown/)
  })

  test('is ended in order when the gateway goes', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles, { limits: { closeMs: 20_000 } })
    const client = await opened(gateway)
    const closed = gateway.listener.close()
    await client.ended()
    expect(client.received.endsWith('BYE')).toBe(true)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    await closed
  })

  test('that lies idle too long is ended', async () => {
    const backend = await consoleBackend()
    const gateway = await gatewayTo(backend.url, consoles, { limits: { tunnelIdleMs: 50 } })
    const client = await opened(gateway)
    await client.ended()
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })
})
