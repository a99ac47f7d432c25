// Heads and bodies of HTTP/2 that would mean something else in HTTP/1.1 never reach a backend, and what does reach it is
// what was checked.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { selfSigned } from '../../../support/certificates.ts'
import { type EchoBackend, startEchoBackend } from '../../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../../support/echo-backend-gateway.ts'
import fc from '../../../support/fast-check.ts'
import { type Field, FRAME, RawHttp2 } from '../../../support/raw-http2.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')
const PROTOCOL_ERROR = 1

interface Checked {
  readonly method: string
  readonly target: string
  readonly header: (name: string) => string | undefined
}

let backend: EchoBackend
let gateway: TestGateway
const checked: Checked[] = []

beforeAll(async () => {
  backend = await startEchoBackend()
  const classify = ({ method, target, header }: Checked) => {
    checked.push({ method, target, header })
    return null
  }
  gateway = await startTestGateway(backend.url, { classify }, { tls: { cert, key } })
})

afterAll(async () => {
  await gateway.listener.close()
  await backend.close()
})

interface Head {
  readonly ':method'?: string | null
  readonly ':scheme'?: string | null
  readonly ':path'?: string | null
  readonly ':authority'?: string | null
}

/** A change of `/x` with other pseudo-fields, or without those that are null, and further fields behind them. */
function head(pseudo: Head, ...fields: readonly Field[]): Field[] {
  const all = { ':method': 'POST', ':scheme': 'https', ':path': '/x', ':authority': 'a', ...pseudo }
  const kept = Object.entries(all).flatMap(([name, value]): Field[] =>
    value === null ? [] : [[name, value]],
  )
  return [...kept, ['fencing-token', '1'], ...fields]
}

const plain = head({})

const REFUSED: readonly (readonly [string, readonly Field[]])[] = [
  ['no method', head({ ':method': null })],
  ['no scheme', head({ ':scheme': null })],
  ['no path', head({ ':path': null })],
  ['an empty path', head({ ':path': '' })],
  ['neither authority nor Host', head({ ':authority': null })],
  ['an empty authority', head({ ':authority': '' })],
  ['two methods', [[':method', 'GET'], ...plain]],
  ['two paths', [[':path', '/y'], ...plain]],
  ['two equal paths', [[':path', '/x'], ...plain]],
  ['two authorities', [[':authority', 'b'], ...plain]],
  ['an unknown pseudo-field', [[':x', 'y'], ...plain]],
  ['the pseudo-field of an answer', [[':status', '200'], ...plain]],
  ['a pseudo-field behind a field', [...head({ ':path': null }), [':path', '/x']]],
  ['a Host that is not the authority', head({}, ['host', 'b'])],
  ['a Host and an authority that differ by a port', head({}, ['host', 'a:1'])],
  ['two Hosts', head({ ':authority': null }, ['host', 'a'], ['host', 'a'])],
  ['a user in the authority', head({ ':authority': 'u@a' })],
  ['a path in the authority', head({ ':authority': 'a/b' })],
  ['two names in the authority', head({ ':authority': 'a, b' })],
  ['a line in the authority', head({ ':authority': 'a\r\nx: y' })],
  ['a line in Host', head({ ':authority': null }, ['host', 'a\r\nx: y'])],
  ['another scheme', head({ ':scheme': 'http' })],
  ['a scheme of its own', head({ ':scheme': 'https://b/' })],
  ['an absolute target', head({ ':path': 'https://b/x' })],
  ['a target without a slash', head({ ':path': 'x' })],
  ['an asterisk', head({ ':method': 'OPTIONS', ':path': '*' })],
  ['a fragment', head({ ':path': '/x#y' })],
  ['a space in the target', head({ ':path': '/x HTTP/1.1' })],
  ['a line in the target', head({ ':path': '/x HTTP/1.1\r\nX: y' })],
  ['a control character in the target', head({ ':path': '/a\x01b' })],
  ['a byte above ASCII in the target', head({ ':path': '/a\xe9' })],
  ['a line in the method', head({ ':method': 'GET /y HTTP/1.1\r\nX: y\r\n\r\nPOST' })],
  ['a lower-case method', head({ ':method': 'post' })],
  ['an unknown method', head({ ':method': 'STEAL' })],
  ['an empty method', head({ ':method': '' })],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'b:443'],
    ],
  ],
  ['CONNECT with a target', head({ ':method': 'CONNECT' })],
  ['CONNECT of another protocol', [[':protocol', 'websocket'], ...head({ ':method': 'CONNECT' })]],
  ['a protocol without CONNECT', [[':protocol', 'websocket'], ...plain]],
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
    (name) =>
      [`the field ${name}`, head({}, [name, name === 'transfer-encoding' ? 'chunked' : 'x'])] as const,
  ),
  ['the field http2-settings', head({}, ['http2-settings', 'AAMAAABk'])],
  ['TE of a coding', head({}, ['te', 'gzip'])],
  ['TE of more than trailers', head({}, ['te', 'trailers, gzip'])],
  ['a name in upper case', head({}, ['X-A', 'b'])],
  ['our field in upper case', head({}, ['Fencing-Token', '2'])],
  ['a blank before a value', head({}, ['x-a', ' b'])],
  ['a blank behind a value', head({}, ['x-a', 'b '])],
  ['a tab behind a token', [...plain.slice(0, 4), ['fencing-token', '1\t']]],
  ['two tokens', head({}, ['fencing-token', '1'])],
  ['two lengths', head({}, ['content-length', '3'], ['content-length', '3'])],
  ['a list of lengths', head({}, ['content-length', '3, 3'])],
  ['a sign before the length', head({}, ['content-length', '+3'])],
  ['a length in hexadecimal', head({}, ['content-length', '0x3'])],
  ['a nul in the length', head({}, ['content-length', '3\0'])],
  ['an empty length', head({}, ['content-length', ''])],
  ['a length past 2^64', head({}, ['content-length', '99999999999999999999999'])],
  ['a length below that of the body', head({}, ['content-length', '2'])],
  ['a length above that of the body', head({}, ['content-length', '4'])],
  ['a length of nothing before a body', head({}, ['content-length', '0'])],
  ['an unknown expectation', head({}, ['expect', 'banana'])],
]

/** Which no field may have: the parser leaves such a field out, for the check and for the backend. */
const LEFT_OUT: readonly (readonly [string, Field])[] = [
  ['a line in a value', ['x-a', 'b\r\nx-b: c']],
  ['a request in a value', ['x-a', 'b\r\n\r\nGET /y HTTP/1.1\r\nx: y']],
  ['a line feed in a value', ['x-a', 'b\nx-b: c']],
  ['a carriage return in a value', ['x-a', 'b\rx-b: c']],
  ['a nul in a value', ['x-a', 'b\0c']],
  ['a line in a name', ['x-a: b\r\nx-b', 'c']],
  ['a colon in a name', ['x-a:', 'c']],
  ['a space in a name', ['x-a ', 'c']],
  ['a name like our own and a nul', ['fencing-token\0', '2']],
  ['no name', ['', 'c']],
]

async function send(fields: readonly Field[], ...rest: ((client: RawHttp2) => void)[]) {
  const client = await RawHttp2.open(gateway.port, cert)
  const before = backend.seen.length
  checked.length = 0
  client.head(1, fields, false)
  if (rest.length === 0) client.data(1, 'abc')
  for (const act of rest) act(client)
  const outcome = await client.outcome(1)
  client.close()
  await expect.poll(() => gateway.listener.inFlight).toBe(0)
  return { outcome, seen: backend.seen.slice(before) }
}

describe('a request of HTTP/2', () => {
  test('that is well-formed reaches the backend: the others below are not refused for another reason', async () => {
    const { outcome, seen } = await send(plain)
    expect(outcome).toMatchObject({ kind: 'answered', status: 200 })
    expect(seen).toHaveLength(1)
  })

  test.each(REFUSED)('with %s is refused', async (name, fields) => {
    const { outcome, seen } = await send(fields)
    if (outcome.kind === 'answered') expect(outcome.status).toBe(400)
    // The library's fault where more comes than the length says: it ends the connection.
    else if (outcome.kind === 'goaway') expect(outcome.code).toBeGreaterThan(0)
    else if (outcome.kind === 'closed') expect(name).toMatch(/length/)
    else expect(outcome).toEqual({ kind: 'reset', code: PROTOCOL_ERROR, status: null })
    expect(seen).toEqual([])
    expect(gateway.gate.entries.flatMap(({ log }) => log.filter((said) => said !== 'ended'))).toEqual([])
  })

  test.each(LEFT_OUT)(
    'with %s goes on without that field, and was checked without it',
    async (_name, field) => {
      const { outcome, seen } = await send(head({}, field, ['x-z', 'stays']))
      expect(outcome).toMatchObject({ kind: 'answered', status: 200 })
      expect(seen).toHaveLength(1)
      const names = Object.keys(seen[0]?.headers ?? {}).sort()
      expect(names).toEqual(['connection', 'content-length', 'host', 'via', 'x-z'])
      expect(checked[0]?.header('x-a')).toBeUndefined()
      expect(gateway.gate.asked.at(-1)?.tokens.map(({ token }) => token)).toEqual([1])
    },
  )

  test.each([
    'fencing-token',
    'fencing-session',
    'authorization',
    'cookie',
    'x-auth-token',
    'idempotency-key',
    'content-type',
    'expect',
    'host',
  ])('with a %s that is left out is to everybody the one that never had it', async (name) => {
    const others = plain.filter(([other]) => other !== name)
    // A token that is left out leaves none behind: nobody is asked about another.
    gateway.gate.decide = ({ tokens }) =>
      tokens.length > 0 ? 'admit' : { code: 'missing-token', detail: 'there is no token' }
    const facts = async (fields: readonly Field[]) => {
      const asked = gateway.gate.asked.length
      const { outcome, seen } = await send(fields)
      return {
        outcome: outcome.kind === 'answered' ? outcome.status : outcome,
        asked: gateway.gate.asked.slice(asked),
        seen: seen.map(({ rawHeaders, body }) => ({ rawHeaders, body })),
        shown: checked.map(({ header }) => header(name)),
      }
    }
    const without = await facts(others)
    expect(without.outcome).toBe(name === 'fencing-token' ? 428 : 200)
    for (const value of ['1\0', '1\n', '1\r', '\x7f1', '1\x01', 'a\r\nfencing-token: 1'])
      expect(await facts([...others, [name, value]])).toEqual(without)
    gateway.gate.decide = () => 'admit'
  })

  test('whose trailers have pseudo-fields never is a whole one', async () => {
    const { outcome, seen } = await send(
      plain,
      (client) => client.data(1, 'abc', false),
      (client) => client.head(1, [[':path', '/y']]),
    )
    expect(outcome).toMatchObject({ kind: 'reset', code: PROTOCOL_ERROR })
    expect(seen).toEqual([])
  })

  test('with a token as a trailer is refused, and the backend never has the whole of it', async () => {
    const { outcome, seen } = await send(
      plain,
      (client) => client.data(1, 'abc', false),
      (client) => client.head(1, [['fencing-token', '9']]),
    )
    expect(outcome).toMatchObject({ kind: 'answered', status: 400 })
    expect(seen).toEqual([])
    expect(gateway.gate.entries.at(-1)?.log).toEqual([expect.stringMatching(/^ended$|may not be trailers$/)])
  })

  test('has no trailers behind the gateway, and none that were checked', async () => {
    const { outcome, seen } = await send(
      plain,
      (client) => client.data(1, 'abc', false),
      (client) =>
        client.head(1, [
          ['x-token', '9'],
          ['x-sum', '1'],
        ]),
    )
    expect(outcome).toMatchObject({ kind: 'answered', status: 200 })
    expect(seen[0]).toMatchObject({ body: 'abc', trailers: [] })
    expect(gateway.gate.asked.at(-1)?.tokens.map(({ token }) => token)).toEqual([1])
  })

  test.each([
    ['nothing is wrong', 0],
    ['it is taken back', 8],
    ['it was refused', 7],
  ])('that is cut off, as if %s, never is a whole one', async (_why, code) => {
    for (const method of ['POST', 'HEAD', 'GET', 'DELETE'])
      for (const body of ['abc', '']) {
        const { seen } = await send(
          head({ ':method': method }),
          (client) => (body === '' ? undefined : client.data(1, body, false)),
          (client) => client.reset(1, code),
          (client) => client.frame(FRAME.goaway, 0, 0, Buffer.alloc(8)),
          (client) => client.socket.end(),
        )
        expect(seen).toEqual([])
      }
    for (const { log } of gateway.gate.entries)
      expect(log).toEqual([expect.stringMatching(/^(unknown|ended)/)])
  })
})

describe('whatever fields a request of HTTP/2 has', () => {
  const name = fc.constantFrom(
    ...[':method', ':path', ':scheme', ':authority', ':protocol', 'host', 'cookie', 'content-length', 'te'],
    ...[
      'transfer-encoding',
      'connection',
      'fencing-token',
      'fencing-session',
      'expect',
      'trailer',
      'via',
      'x-a',
    ],
    ...[
      'X-A',
      'x-b',
      'x\r\ny',
      'x:y',
      '',
      'set-cookie',
      'content-type',
      'upgrade',
      '\0',
      'proxy-authorization',
    ],
  )
  const value = fc.oneof(
    fc.constantFrom(
      '',
      '0',
      '3',
      '1',
      'a',
      'GET',
      'POST',
      '/y',
      '/x?b=c',
      '*',
      'https',
      'trailers',
      'chunked',
    ),
    fc.constantFrom(
      'a\r\nb: c',
      ' a',
      'a ',
      'a\0',
      'x-a',
      '100-continue',
      'a=1; b=2',
      '\xff\xe9',
      '/x y',
      '/\\..',
    ),
    fc.string({ unit: 'binary-ascii', maxLength: 8 }),
  )
  const fields = fc.tuple(
    fc.subarray<Field>(
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':path', '/x'],
        [':authority', 'a'],
      ],
      {
        minLength: 3,
      },
    ),
    fc.array(fc.tuple(name, value), { maxLength: 5 }),
    fc.constantFrom('abc', ''),
  )

  test('what the backend gets is what was checked', async () => {
    let reached = 0
    await fc.assert(
      fc.asyncProperty(fields, async ([pseudo, others, body]) => {
        const { seen } = await send([...pseudo, ['fencing-token', '1'], ...others], (client) =>
          client.data(1, body),
        )
        expect(seen.length).toBeLessThanOrEqual(1)
        const [call] = seen
        if (call === undefined) return
        reached++
        expect(checked).toHaveLength(1)
        expect([call.method, call.target, call.body]).toEqual([checked[0]?.method, checked[0]?.target, body])
        for (const [field, got] of Object.entries(call.headers)) {
          if (['via', 'connection', 'content-length', 'transfer-encoding'].includes(field)) continue
          const told = Array.isArray(got) ? got.join(', ') : got
          expect([field, checked[0]?.header(field)]).toEqual([field, told])
        }
      }),
      { numRuns: 400 },
    )
    expect(reached).toBeGreaterThan(20)
  }, 120_000)
})
