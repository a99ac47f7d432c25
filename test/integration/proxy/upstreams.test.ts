// Several addresses of one backend: whoever is well takes the calls, and no call is ever sent twice.

import { createServer as createTcpServer, type LookupFunction } from 'node:net'
import { describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend, startRawBackend } from '../../support/echo-backend.ts'
import { eventually, type TestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { clientOf, gatewayTo, kept } from './kept.ts'

/** A port on which nobody listens. */
async function deadUrl(): Promise<string> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

const change = 'POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 3\r\n\r\nabc'
const streamed = (bytes: number) =>
  `POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: ${bytes}\r\n\r\n${'a'.repeat(bytes)}`

async function statusOf(gateway: TestGateway, request: string): Promise<number> {
  const client = await RawClient.open(gateway.port)
  client.send(request)
  const { status } = await client.answer()
  client.close()
  return status
}

function targets(...backends: EchoBackend[]): number[] {
  return backends.map((backend) => backend.seen.length)
}

describe('an address that cannot be reached', () => {
  test('is passed over before a byte is sent, and asked last from then on', async () => {
    const backend = kept(await startEchoBackend())
    const dead = await deadUrl()
    const gateway = await gatewayTo('', {}, { upstream: [dead, backend.url] })
    for (let i = 0; i < 3; i++) expect(await statusOf(gateway, change)).toBe(200)
    expect(backend.seen.map(({ body }) => body)).toEqual(['abc', 'abc', 'abc'])
    expect(gateway.gate.entries.map(({ log }) => log)).toEqual([['ended'], ['ended'], ['ended']])
    expect(gateway.listener.state.upstreams).toMatchObject([
      { upstream: dead, healthy: false, reason: expect.stringContaining('ECONNREFUSED') },
      { upstream: backend.url, healthy: true, reason: null },
    ])
    // The first call alone has met it.
    expect(gateway.events.filter(({ type }) => type === 'upstream.unhealthy')).toHaveLength(1)
  })

  test('does not cost a call its body, also where that is streamed', async () => {
    const backend = kept(await startEchoBackend((_, response) => response.end()))
    const gateway = await gatewayTo('', {}, { upstream: [await deadUrl(), backend.url] })
    expect(await statusOf(gateway, streamed(300_000))).toBe(200)
    expect(backend.seen[0]?.body).toBe('a'.repeat(300_000))
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('is asked again before the call goes out whether it may: a seal that came meanwhile stops it', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo('', {}, { upstream: [await deadUrl(), backend.url] })
    gateway.gate.onEntry = (entry) => (entry.refusal = { code: 'stale-token', detail: 'sealed' })
    expect(await statusOf(gateway, change)).toBe(412)
    expect(backend.seen).toEqual([])
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('leaves a call refused and provably unsent where there is no other, however often it is repeated', async () => {
    const gateway = await gatewayTo('', {}, { upstream: [await deadUrl(), await deadUrl()] })
    for (let i = 0; i < 3; i++) expect(await statusOf(gateway, change)).toBe(503)
    expect(gateway.gate.entries.map(({ log }) => log)).toEqual([['ended'], ['ended'], ['ended']])
  })

  test('is tried again when its time aside is over, and where nobody is well at once', async () => {
    const url = await deadUrl()
    const gateway = await gatewayTo('', {}, { upstream: [url], limits: { asideMs: 3_600_000 } })
    expect(await statusOf(gateway, change)).toBe(503)
    expect(gateway.listener.state.upstreams[0]?.healthy).toBe(false)
    const backend = kept(
      await startRawBackend(
        (socket, received) => {
          if (received.endsWith('abc')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        },
        Number(new URL(url).port),
      ),
    )
    expect(await statusOf(gateway, change)).toBe(200)
    expect(backend.sockets).toHaveLength(1)
  })
})

describe('a call of which a byte may have gone out', () => {
  test.each([
    ['without an answer', ''],
    ['within the head of its answer', 'HTTP/1.1 200 OK\r\nContent-'],
    ['within its answer', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'],
  ])('is never sent to another address, lost %s', async (_when, said) => {
    const other = kept(await startEchoBackend())
    const broken = kept(
      await startRawBackend((socket, received) => {
        if (received.includes('abc')) socket.end(said, () => socket.destroy())
      }),
    )
    const gateway = await gatewayTo('', {}, { upstream: [broken.url, other.url] })
    const client = await clientOf(gateway)
    client.send(change)
    await client.until((received) => received.length > 0).catch(() => '')
    await eventually(() => gateway.gate.entries[0]?.log.length === 1)
    expect(gateway.gate.entries[0]?.log[0]).toMatch(/^unknown/)
    expect(other.seen).toEqual([])
    expect(broken.sockets).toHaveLength(1)
  })

  test('puts the address aside where three in a row were lost', async () => {
    const other = kept(await startEchoBackend())
    const broken = kept(await startRawBackend((socket) => socket.destroy()))
    const gateway = await gatewayTo('', {}, { upstream: [broken.url, other.url] })
    for (let i = 0; i < 3; i++) expect(await statusOf(gateway, change)).toBe(502)
    expect(other.seen).toEqual([])
    expect(await statusOf(gateway, change)).toBe(200)
    expect(broken.sockets).toHaveLength(3)
  })
})

describe('a backend with several addresses', () => {
  test('has all its calls at the first that is well, in the order of the configuration', async () => {
    const [one, two] = [kept(await startEchoBackend()), kept(await startEchoBackend())]
    const gateway = await gatewayTo('', {}, { upstream: [one.url, two.url] })
    for (let i = 0; i < 4; i++) expect(await statusOf(gateway, change)).toBe(200)
    expect(targets(one, two)).toEqual([4, 0])
  })

  test('has them where the fewest are, if it is told to', async () => {
    const held: (() => void)[] = []
    const hold = () =>
      startEchoBackend((_, response) => {
        held.push(() => response.end())
      })
    const [one, two] = [kept(await hold()), kept(await hold())]
    const gateway = await gatewayTo('', {}, { upstream: [one.url, two.url], balance: 'least' })
    const clients = await Promise.all([1, 2, 3, 4].map(() => clientOf(gateway)))
    for (const [index, client] of clients.entries()) {
      client.send(change)
      await eventually(() => held.length === index + 1)
    }
    expect(targets(one, two)).toEqual([2, 2])
    expect(gateway.listener.state.upstreams.map(({ inFlight }) => inFlight)).toEqual([2, 2])
    for (const answer of held) answer()
    for (const client of clients) expect((await client.answer()).status).toBe(200)
  })
})

describe('looks at the addresses', () => {
  const terms = { everyMs: 20, timeoutMs: 1_000, failures: 2, successes: 2 }

  test('find who is not well by the path that they are given, and who is again', async () => {
    let status = 200
    const sick = kept(
      await startEchoBackend((request, response) => {
        response.statusCode = request.target === '/healthz' ? status : 200
        response.end()
      }),
    )
    const other = kept(await startEchoBackend())
    const gateway = await gatewayTo(
      '',
      {},
      { upstream: [sick.url, other.url], health: { ...terms, path: '/healthz' } },
    )
    const calls = () => sick.seen.filter(({ target }) => target === '/x').length
    expect(await statusOf(gateway, change)).toBe(200)
    expect(calls()).toBe(1)
    status = 503
    await eventually(() => gateway.listener.state.upstreams[0]?.healthy === false)
    expect(gateway.listener.state.upstreams[0]?.reason).toBe('status 503 to GET /healthz')
    expect(await statusOf(gateway, change)).toBe(200)
    expect([calls(), other.seen.filter(({ target }) => target === '/x').length]).toEqual([1, 1])
    status = 200
    await eventually(() => gateway.listener.state.upstreams[0]?.healthy === true)
    expect(await statusOf(gateway, change)).toBe(200)
    expect(calls()).toBe(2)
    expect(gateway.events.map(({ type }) => type)).toEqual(['upstream.unhealthy', 'upstream.recovered'])
  })

  test('bring back an address by a connection alone, before its time aside is over', async () => {
    const url = await deadUrl()
    const other = kept(await startEchoBackend())
    const gateway = await gatewayTo(
      '',
      {},
      { upstream: [url, other.url], health: { ...terms, path: null }, limits: { asideMs: 3_600_000 } },
    )
    await eventually(() => gateway.listener.state.upstreams[0]?.healthy === false)
    kept(await startRawBackend(() => undefined, Number(new URL(url).port)))
    await eventually(() => gateway.listener.state.upstreams[0]?.healthy === true)
  })

  test('take silence for a failure', async () => {
    const silent = kept(await startRawBackend(() => undefined))
    const gateway = await gatewayTo(
      '',
      {},
      { upstream: [silent.url], health: { ...terms, timeoutMs: 30, path: '/healthz' } },
    )
    await eventually(() => gateway.listener.state.upstreams[0]?.healthy === false)
    expect(gateway.listener.state.upstreams[0]?.reason).toMatch(/no answer within 0.03 s|TIMEOUT/)
  })
})

describe('a name', () => {
  test('is looked up anew for each connection, and no connection is used past its age', async () => {
    const [one, two] = ['127.0.0.1', '127.0.0.2']
    let leadsTo = one
    const seen: string[] = []
    const backend = kept(
      await startRawBackend(
        (socket, received) => {
          if (!received.endsWith('abc')) return
          seen.push(socket.localAddress ?? '')
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=60\r\n\r\n')
        },
        0,
        '0.0.0.0',
      ),
    )
    const lookup: LookupFunction = (_name, options, callback) => {
      if (options.all === true) callback(null, [{ address: leadsTo, family: 4 }])
      else callback(null, leadsTo, 4)
    }
    const gateway = await gatewayTo(
      `http://backend.example:${backend.port}`,
      {},
      { lookup, limits: { upstreamAgeMs: 150 } },
    )
    const client = await clientOf(gateway)
    const call = async () => {
      client.send(change)
      expect((await client.answer()).status).toBe(200)
      return seen.at(-1)
    }
    expect(await call()).toBe(one)
    leadsTo = two
    // The connection would be kept for a minute, and is used all the time.
    while ((await call()) !== two) expect(backend.sockets.length).toBeLessThan(10)
    expect(seen.length).toBeGreaterThan(2)
  })
})
