// HTTP/2 in front: calls of well-behaved clients, as their backend gets them and as they get their answers.

import { describe, expect, test } from 'vitest'
import { selfSigned } from '../../../support/certificates.ts'
import { type Answerer, startEchoBackend, startRawBackend } from '../../../support/echo-backend.ts'
import type { startTestGateway } from '../../../support/echo-backend-gateway.ts'
import { Http2Client } from '../../../support/http2-client.ts'
import { gatewayTo, kept } from '../kept.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')
const tls = { cert, key }

async function start(
  answer?: Answerer,
  policy: Parameters<typeof startTestGateway>[1] = {},
  options: Parameters<typeof startTestGateway>[2] = {},
) {
  const backend = kept(await startEchoBackend(answer))
  const gateway = await gatewayTo(backend.url, policy, { tls, ...options })
  const client = kept(await Http2Client.open(gateway.port, cert))
  return { backend, gateway, client }
}

const CHANGE = { ':method': 'POST', ':path': '/x?a=%41&b', 'fencing-token': '1' }

describe('a call over HTTP/2', () => {
  test('reaches the backend in HTTP/1.1, with Host and one Cookie, without what ends here', async () => {
    const { backend, client, gateway } = await start()
    const answer = await client.call(
      {
        ...CHANGE,
        cookie: ['a=1', 'b=2'],
        'x-two': ['1', '2'],
        te: 'trailers',
        'content-type': 'text/plain',
      },
      'abc',
    )
    expect(answer.status).toBe(200)
    const [seen] = backend.seen
    expect(seen).toMatchObject({ method: 'POST', target: '/x?a=%41&b', body: 'abc' })
    expect(seen?.headers).toEqual({
      host: 'a',
      'x-two': '1, 2',
      te: 'trailers',
      'content-type': 'text/plain',
      cookie: 'a=1; b=2',
      via: '2 fencegate',
      'content-length': '3',
      connection: 'keep-alive',
    })
    expect(gateway.gate.asked[0]?.tokens.map(({ token }) => token)).toEqual([1])
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('may have a long body of unknown length, and an answer as long', async () => {
    const { backend, client } = await start((request, response) => response.end(request.body))
    const body = 'abcdefgh'.repeat(300_000)
    const answer = await client.call(CHANGE, body)
    expect(answer.body === body).toBe(true)
    expect(backend.seen[0]?.headers['transfer-encoding']).toBe('chunked')
  })

  test('keeps its length where its client says it', async () => {
    const { backend, client } = await start()
    const body = 'a'.repeat(200_000)
    await client.call({ ...CHANGE, 'content-length': body.length }, body)
    expect(backend.seen[0]?.headers['content-length']).toBe('200000')
  })

  test('gets the answer as it is, repeated fields and trailers among it', async () => {
    const { client } = await start((_request, response) => {
      response.writeHead(207, [
        ...[
          'Set-Cookie',
          'a=1',
          'Set-Cookie',
          'b=2',
          'X-Case',
          'K',
          'Content-Type',
          'a/b',
          'Content-Type',
          'c/d',
        ],
        ...['Connection', 'close, X-Hop', 'X-Hop', 'gone', 'Fencing-Verdict', 'admitted', 'Trailer', 'X-Sum'],
      ])
      response.write('abc')
      response.addTrailers({ 'X-Sum': '1', 'Content-Type': 'e/f' })
      response.end()
    })
    const answer = await client.call(CHANGE, 'abc')
    expect(answer).toMatchObject({
      status: 207,
      body: 'abc',
      fields: { 'set-cookie': ['a=1', 'b=2'], 'x-case': 'K' },
      trailers: { 'x-sum': '1' },
    })
    for (const name of ['connection', 'x-hop', 'fencing-verdict', 'transfer-encoding', 'keep-alive'])
      expect(answer.fields).not.toHaveProperty(name)
    expect(answer.trailers).not.toHaveProperty('content-type')
  })

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
    ['POST', 205],
  ])('to %s that is answered with %i gets no body', async (method, status) => {
    const { client } = await start((_request, response) => {
      if (method === 'HEAD') response.setHeader('Content-Length', '1234')
      response.writeHead(status).end()
    })
    const answer = await client.call({ ...CHANGE, ':method': method })
    expect(answer).toMatchObject({ status, body: '' })
    expect(answer.fields['content-length']).toBe(method === 'HEAD' ? '1234' : answer.fields['content-length'])
  })

  test.each([204, 205])(
    'gets an answer of status %i whatever length its backend says that this has',
    async (status) => {
      const backend = kept(
        await startRawBackend((socket) =>
          socket.write(`HTTP/1.1 ${status} Done\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello`),
        ),
      )
      const gateway = await gatewayTo(backend.url, {}, { tls })
      const client = kept(await Http2Client.open(gateway.port, cert))
      const answer = await client.call(CHANGE, 'abc')
      expect(answer).toMatchObject({ status, body: '', fields: { 'x-a': 'b' } })
      expect(answer.fields).not.toHaveProperty('content-length')
      expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    },
  )

  test('gets what fields the backend sends, whatever they are called', async () => {
    const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'HTTP2-Settings']
    const head = names.map((name) => `${name}: of ${name}\r\n`).join('')
    const backend = kept(
      await startRawBackend((socket) =>
        socket.write(`HTTP/1.1 200 OK\r\n${head}Transfer-Encoding: chunked\r\n\r\n0\r\n${head}\r\n`),
      ),
    )
    const gateway = await gatewayTo(backend.url, {}, { tls })
    const client = kept(await Http2Client.open(gateway.port, cert))
    const { fields, trailers } = await client.call(CHANGE, 'abc')
    for (const got of [fields, trailers]) {
      for (const name of names.slice(0, 4))
        expect([name, Object.getOwnPropertyDescriptor(got, name.toLowerCase())?.value]).toEqual([
          name,
          `of ${name}`,
        ])
      // It is of a connection of HTTP/1.1, and node does not write it.
      expect(got).not.toHaveProperty('http2-settings')
    }
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('hears interim answers, and 100 before a body that it holds back', async () => {
    const { client } = await start((_request, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      response.end('done')
    })
    const answer = await client.call({ ...CHANGE, expect: '100-continue' }, 'a'.repeat(100_000))
    expect(answer).toMatchObject({ status: 200, body: 'done', interim: [100, 103] })
  })

  test('is refused in the dialect of the backend, and its connection goes on', async () => {
    const { backend, client, gateway } = await start(undefined, { dialect: 'openstack' })
    for (let i = 0; i < 3; i++) {
      const answer = await client.call({ ...CHANGE, ':path': '/denied' }, 'a'.repeat(100_000))
      expect(answer.status).toBe(403)
      expect(answer.fields['fencing-verdict']).toBe('denied')
      expect(JSON.parse(answer.body).error.code).toBe(403)
    }
    expect(backend.seen).toEqual([])
    expect(gateway.listener.state.connections).toBe(1)
    expect(gateway.events.filter(({ type }) => type === 'call.refused')).toHaveLength(3)
  })

  test('does not wait for another on its connection', async () => {
    const held = Promise.withResolvers<void>()
    const { client, gateway } = await start((request, response) => {
      const turn = request.target === '/slow' ? held.promise : Promise.resolve()
      void turn.then(() => response.end(request.target))
    })
    const slow = client.call({ ...CHANGE, ':path': '/slow' }, 'abc')
    await expect.poll(() => gateway.listener.inFlight).toBe(1)
    expect((await client.call({ ':path': '/fast' })).body).toBe('/fast')
    held.resolve()
    expect((await slow).body).toBe('/slow')
  })

  test('of many on one connection each has its own check and its own answer', async () => {
    const { client, gateway } = await start((request, response) => response.end(request.body))
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        client.call({ ...CHANGE, 'fencing-token': `${i + 1}` }, `body ${i}`),
      ),
    )
    expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 300 }, (_, i) => `body ${i}`))
    expect(gateway.gate.asked).toHaveLength(300)
    expect(gateway.listener.state.connections).toBe(1)
  })

  test('whose answer breaks off is never taken for answered', async () => {
    const backend = kept(
      await startRawBackend((socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
        setTimeout(() => socket.destroy(), 20)
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { tls })
    const client = kept(await Http2Client.open(gateway.port, cert))
    for (let i = 0; i < 20; i++) await expect(client.call(CHANGE, 'abc')).rejects.toThrow(/reset|INTERNAL/)
    for (const entry of gateway.gate.entries) expect(entry.log).toEqual([expect.stringMatching(/^unknown/)])
  })
})

test('a listener that does not offer HTTP/2 speaks HTTP/1.1 with who can', async () => {
  const backend = kept(await startEchoBackend())
  const gateway = await gatewayTo(backend.url, {}, { tls, http2: false })
  await expect(Http2Client.open(gateway.port, cert)).rejects.toThrow()
})
