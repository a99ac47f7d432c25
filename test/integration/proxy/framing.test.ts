// Requests that two parsers could read in two ways never reach a backend, whatever they try.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend } from '../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'

let backend: EchoBackend
let gateway: TestGateway

beforeEach(async () => {
  backend = await startEchoBackend()
  gateway = await startTestGateway(backend.url, {}, { limits: { headerBytesMax: 16_384, lingerMs: 300 } })
})

afterEach(async () => {
  await gateway.listener.close()
  await backend.close()
})

const host = 'Host: a\r\n'
const post = (head: string, body = '') => `POST /x HTTP/1.1\r\n${host}Fencing-Token: 1\r\n${head}\r\n${body}`
const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body)
const get = (head: string) => `GET /x HTTP/1.1\r\n${host}${head}\r\n`

const REFUSED: readonly (readonly [string, string])[] = [
  [
    'Content-Length before Transfer-Encoding',
    post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  ],
  [
    'Transfer-Encoding before Content-Length',
    post('Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', '0\r\n\r\n'),
  ],
  ['two equal Content-Lengths', post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc')],
  ['two different Content-Lengths', post('Content-Length: 3\r\nContent-Length: 0\r\n', 'abc')],
  ['a list as Content-Length', post('Content-Length: 3, 3\r\n', 'abc')],
  ['a sign in Content-Length', post('Content-Length: +3\r\n', 'abc')],
  ['hexadecimal Content-Length', post('Content-Length: 0x3\r\n', 'abc')],
  ['empty Content-Length', post('Content-Length: \r\n')],
  ['space before the colon', post('Content-Length : 3\r\n', 'abc')],
  ['Content-Length past 2^64', post('Content-Length: 99999999999999999999999\r\n', 'abc')],
  ['Content-Length of 2^64-1', post('Content-Length: 18446744073709551615\r\n', 'abc')],
  ['a coding before chunked', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n')],
  ['chunked twice in one field', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n')],
  [
    'chunked in two fields',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  ],
  ['Transfer-Encoding identity', post('Transfer-Encoding: identity\r\n')],
  ['Transfer-Encoding in quotes', post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n')],
  ['Transfer-Encoding after a vertical tab', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n')],
  ['a nul in the name', post('Transfer-Encoding\x00: chunked\r\n', '0\r\n\r\n')],
  ['empty Transfer-Encoding', post('Transfer-Encoding: \r\n')],
  ['Transfer-Encoding in HTTP/1.0', `POST /x HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a folded line', get('X-A: b\r\n c\r\n')],
  ['a folded Transfer-Encoding', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n')],
  ['an absolute target', `GET http://b/x HTTP/1.1\r\n${host}\r\n`],
  ['an asterisk target', `OPTIONS * HTTP/1.1\r\n${host}\r\n`],
  ['a target without a slash', `GET x HTTP/1.1\r\n${host}\r\n`],
  ['a fragment', `GET /a#b HTTP/1.1\r\n${host}\r\n`],
  ['CONNECT', `CONNECT b:443 HTTP/1.1\r\n${host}\r\n`],
  ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${host}\r\n`],
  ['an unknown expectation', post('Expect: banana\r\nContent-Length: 0\r\n')],
  ['two Hosts', get('Host: b\r\n')],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  [
    'no Host, and fields that are not plain',
    'POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx',
  ],
  ['bare line feeds', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['a bare carriage return', get('X: a\rb\r\n')],
  ['a nul in a value', get('X: a\0b\r\n')],
  ['a space before the first field', `GET /x HTTP/1.1\r\n X: y\r\n${host}\r\n`],
  ['a field without a name', get(': x\r\n')],
  ['a field without a colon', get('Foo\r\n')],
  ['a control character in the target', `GET /a\x01b HTTP/1.1\r\n${host}\r\n`],
  ['a byte above ASCII in the target', `GET /a\xe9 HTTP/1.1\r\n${host}\r\n`],
  ['a lower-case method', `get /x HTTP/1.1\r\n${host}\r\n`],
  ['a head that is too large', get(`X: ${'a'.repeat(20_000)}\r\n`)],
  ['two Fencing-Token fields', post('Fencing-Token: 1\r\nContent-Length: 0\r\n')],
]

/** The head is fine; the body is not. */
const BROKEN_BODIES: readonly (readonly [string, string])[] = [
  ['a negative chunk size', chunked('-3\r\nabc\r\n0\r\n\r\n')],
  ['a prefixed chunk size', chunked('0x3\r\nabc\r\n0\r\n\r\n')],
  ['chunks ended by line feeds', chunked('3\nabc\n0\n\n')],
  ['a space after the chunk size', chunked('3 \r\nabc\r\n0\r\n\r\n')],
  ['a chunk size past 2^64', chunked('fffffffffffffffff\r\nabc\r\n0\r\n\r\n')],
  ['a chunk longer than its size', chunked('3\r\nabcd\r\n0\r\n\r\n')],
  ['a line feed in a chunk extension', chunked('3;x="\n"\r\nabc\r\n0\r\n\r\n')],
  ['Content-Length as a trailer', chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n')],
]

describe('framing', () => {
  test.each(REFUSED)('%s is refused, and the connection closed', async (_name, request) => {
    const client = await RawClient.open(gateway.port)
    client.send(request)
    const answer = await client.answer()
    expect([400, 413]).toContain(answer.status)
    expect(answer.headers['fencing-verdict']).toMatch(/^(bad-request|bad-token|too-large)$/)
    client.send('\r\n')
    client.close()
    expect(backend.seen).toEqual([])
    expect(gateway.gate.entries).toEqual([])
  })

  test.each(BROKEN_BODIES)('%s never makes a whole request at the backend', async (_name, request) => {
    const client = await RawClient.open(gateway.port)
    client.send(request)
    const answer = await client.answer()
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.headers['fencing-verdict']).toBeDefined()
    await client.ended()
    expect(backend.seen).toEqual([])
    for (const entry of gateway.gate.entries) expect(entry.log).toHaveLength(1)
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('bytes after a whole request are a request of their own, with its own check', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(
      post('Content-Length: 3\r\n', 'abcPOST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'),
    )
    expect((await client.answer()).status).toBe(200)
    expect((await client.answer()).status).toBe(403)
    expect(backend.seen.map((request) => request.target)).toEqual(['/x'])
  })

  test('calls sent all at once reach the backend one after the other, in their order', async () => {
    let atOnce = 0
    let most = 0
    const order: string[] = []
    const slow = await startEchoBackend((request, response) => {
      order.push(request.body)
      most = Math.max(most, ++atOnce)
      setTimeout(() => {
        atOnce--
        response.end()
      }, 5)
    })
    const inFront = await startTestGateway(slow.url)
    const client = await RawClient.open(inFront.port)
    const sent = Array.from({ length: 10 }, (_, i) => `${i}${i}`)
    client.send(sent.map((body) => post('Content-Length: 2\r\n', body)).join(''))
    for (let i = 0; i < sent.length; i++) expect((await client.answer()).status).toBe(200)
    expect(order).toEqual(sent)
    expect(most).toBe(1)
    client.close()
    await inFront.listener.close()
    await slow.close()
  })

  test('garbage behind a forwarded call does not disturb its answer', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(`${post('Content-Length: 3\r\n', 'abc')}\x00\x01garbage\r\n\r\n`)
    const answer = await client.answer()
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body).body).toBe('abc')
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    await client.ended()
  })

  test('an upgrade is not made: the call goes on as a plain one', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(
      get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
    )
    expect((await client.answer()).status).toBe(200)
    const names = backend.seen[0]?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
    expect(names).not.toContain('upgrade')
    expect(names).not.toContain('http2-settings')
    client.close()
  })

  test('a field that Connection takes from the call is not shown to the policy either', async () => {
    let shown: readonly (string | undefined)[] = []
    const inFront = await startTestGateway(backend.url, {
      classify: (head) => {
        shown = [head.header('x-kind'), head.header('x-other'), head.header('fencing-session')]
        return null
      },
    })
    const client = await RawClient.open(inFront.port)
    const named = 'Connection: keep-alive, X-KIND, Fencing-Session, Fencing-Token\r\n'
    // Ours was meant for this hop: who sends it is held to it.
    client.send(get(`X-Kind: read\r\nX-Other: 1\r\nFencing-Session: s\r\n${named}`))
    expect((await client.answer()).status).toBe(200)
    expect(Object.keys(backend.seen[0]?.headers ?? {})).not.toContain('x-kind')
    expect(shown).toEqual([undefined, '1', 's'])
    client.close()
    await inFront.listener.close()
  })

  test('a client that sends on and on behind a parked call is not read on and on', async () => {
    const inFront = await startTestGateway(backend.url, { waitMs: 10_000 })
    const parked = Promise.withResolvers<'admit'>()
    inFront.gate.decide = () => parked.promise
    const flood = await RawClient.open(inFront.port)
    const count = 3_000
    flood.send(post('Content-Length: 3\r\n', 'abc') + get(`X-A: ${'a'.repeat(15_000)}\r\n`).repeat(count))
    await expect.poll(() => inFront.gate.asked.length).toBe(1)
    const other = await RawClient.open(inFront.port)
    for (let i = 0; i < 200; i++) {
      other.send(get(''))
      expect((await other.answer()).status).toBe(200)
    }
    expect(flood.socket.writableLength).toBeGreaterThan(0)
    parked.resolve('admit')
    for (let i = 0; i <= count; i++) expect((await flood.answer()).status).toBe(200)
    for (const client of [flood, other]) client.close()
    await inFront.listener.close()
  })

  test('a client that sends hundreds of calls at once does not have them all before another has one', async () => {
    const order: string[] = []
    const classify = ({ target }: { readonly target: string }) => {
      order.push(target)
      return null
    }
    const inFront = await startTestGateway(backend.url, { classify })
    const [flood, other] = [await RawClient.open(inFront.port), await RawClient.open(inFront.port)]
    const ofOther = get('').replace('/x', '/denied/other')
    // Once each, so that both connections are past their first steps.
    for (const client of [flood, other]) {
      client.send(get('').replace('/x', '/denied'))
      expect((await client.answer()).status).toBe(403)
    }
    order.length = 0
    const count = 400
    flood.send(get('').replace('/x', '/denied').repeat(count))
    other.send(ofOther)
    expect((await other.answer()).status).toBe(403)
    expect(order.indexOf('/denied/other')).toBeLessThan(count / 4)
    for (let i = 0; i < count; i++) expect((await flood.answer()).status).toBe(403)
    for (const client of [flood, other]) client.close()
    await inFront.listener.close()
  })

  test.each([
    ['was taken whole', 65_536],
    ['was on its way', 0],
  ])(
    'trailers of ours are refused, and the connection closed, where the body %s',
    async (_how, bodyBytes) => {
      const inFront = await startTestGateway(backend.url, { bodyBytes })
      for (const name of ['Fencing-Token', 'FENCING-SESSION']) {
        const client = await RawClient.open(inFront.port)
        client.send(chunked(`3\r\nabc\r\n0\r\nX-Sum: 1\r\n${name}: 99\r\n\r\n`))
        const answer = await client.answer()
        expect([answer.status, answer.headers['fencing-verdict'], answer.headers['connection']]).toEqual([
          400,
          'bad-request',
          'close',
        ])
        await client.ended()
      }
      expect(backend.seen).toEqual([])
      // Of a body that was on its way nothing may have gone out yet.
      const either = [expect.stringMatching(/^ended$|^unknown: Fencing-Token and Fencing-Session may not be/)]
      const logs = inFront.gate.entries.map(({ log }) => log)
      expect(logs).toEqual(bodyBytes === 0 ? [either, either] : [])
      await inFront.listener.close()
    },
  )

  test('trailers of a request end at the gateway', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(
      post(
        'Transfer-Encoding: chunked\r\nTrailer: X-Token, X-Sum\r\n',
        '3\r\nabc\r\n0\r\nX-Token: 99\r\nX-Sum: 1\r\n\r\n',
      ),
    )
    expect((await client.answer()).status).toBe(200)
    expect(backend.seen[0]?.body).toBe('abc')
    expect(backend.seen[0]?.trailers).toEqual([])
    expect(gateway.gate.asked[0]?.tokens.map((token) => token.token)).toEqual([1])
    client.close()
  })
})
