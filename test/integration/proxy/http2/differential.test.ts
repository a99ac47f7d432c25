// Requests of HTTP/2 as the gateway, nginx and HAProxy make requests of HTTP/1.1 of them: what several of them let through
// is the same request behind each, and nothing gets through the gateway that both of the others refuse.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../../house/availability.ts'
import { selfSigned } from '../../../support/certificates.ts'
import { type EchoBackend, type SeenRequest, startEchoBackend } from '../../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../../support/echo-backend-gateway.ts'
import fc from '../../../support/fast-check.ts'
import { type Field, RawHttp2 } from '../../../support/raw-http2.ts'
import { type FrontServers, startFrontServers } from './front-servers.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')
const SAMPLES = 100
const SILENT_MS = 5_000

interface Sent {
  readonly fields: readonly Field[]
  readonly body: string
  /** Null where the body ends the request. */
  readonly trailers: readonly Field[] | null
}

interface Front {
  readonly port: number
  readonly behind: EchoBackend
}

const METHOD: Field = [':method', 'POST']
const PATH: Field = [':path', '/x?a=%41&b']
const SCHEME: Field = [':scheme', 'https']
const AUTHORITY: Field = [':authority', 'a']
const PSEUDO = [METHOD, SCHEME, PATH, AUTHORITY]
const whole = (...fields: readonly Field[]): Sent => ({
  fields: [...PSEUDO, ...fields],
  body: 'abc',
  trailers: null,
})
const instead = (field: Field, body = 'abc'): Sent => ({
  fields: PSEUDO.map((own) => (own[0] === field[0] ? field : own)),
  body,
  trailers: null,
})

const CORPUS: readonly Sent[] = [
  whole(),
  { ...whole(), fields: [AUTHORITY, PATH, SCHEME, METHOD] },
  { ...whole(), fields: [METHOD, SCHEME, PATH, ['x-a', 'b'], AUTHORITY] },
  { ...whole(), fields: [METHOD, SCHEME, PATH, ['host', 'a']] },
  { ...whole(), fields: [METHOD, SCHEME, PATH] },
  whole(METHOD),
  whole(PATH),
  whole(AUTHORITY),
  whole(['host', 'a']),
  whole(['host', 'b']),
  whole(['content-length', '3']),
  whole(['content-length', '2']),
  whole(['content-length', '4']),
  whole(['content-length', '03']),
  whole(['content-length', '3'], ['content-length', '3']),
  whole(['content-length', '3, 3']),
  whole(['transfer-encoding', 'chunked']),
  whole(['connection', 'x-a'], ['x-a', 'b']),
  whole(['te', 'trailers']),
  whole(['te', 'gzip']),
  whole(['upgrade', 'websocket']),
  whole(['X-A', 'b']),
  whole(['x-a', 'b\r\nx-b: c']),
  whole(['x-a', 'b\0']),
  whole(['x-a', ' b ']),
  whole(['x-a', '']),
  whole(['x-a', 'b\xe9']),
  whole(['x-a:', 'b']),
  whole(['cookie', 'a=1'], ['x-a', 'b'], ['cookie', 'b=2'], ['cookie', 'c=3']),
  whole(['cookie', 'a=1; b=2'], ['cookie', '']),
  { ...whole(), trailers: [['x-a', 'b']] },
  { ...whole(), trailers: [[':path', '/y']] },
  { ...whole(), trailers: [['content-length', '3']] },
  { ...whole(['content-length', '3']), body: '' },
  { ...whole(), body: '' },
  ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'post', 'CONNECT', 'P T', ''].map((method) =>
    instead([':method', method], ''),
  ),
  ...[
    '/',
    '',
    '*',
    'x',
    '//b/x',
    '/a//b',
    '/a/../b',
    '/a\\b',
    '/a#b',
    '/%00',
    '/a b',
    'https://b/x',
    '/?',
    '/\x7f',
  ].map((target) => instead([':path', target])),
  ...['A', 'a:443', 'a:', 'u@a', 'a/b', 'a b', '[::1]', ''].map((authority) =>
    instead([':authority', authority]),
  ),
  ...['http', 'HTTPS', '', 'ftp'].map((scheme) => instead([':scheme', scheme])),
]

const plainField = fc.tuple(
  fc.constantFrom('x-a', 'x-b', 'cookie', 'content-type'),
  fc.constantFrom('', 'a', 'a=1', 'a=1; b=2', '3', 'a\tb', '\xe9', '"a"', 'a, b'),
)
const anyField = fc.oneof(
  { weight: 6, arbitrary: plainField },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom('x-a', 'cookie', 'content-length', 'host', 'te', 'X-A', 'x a', 'content-type', ':path'),
      fc.oneof(
        fc.constantFrom('3', '0', 'a', 'trailers', '/y', ' a', 'a\t'),
        fc.string({ unit: 'binary-ascii', maxLength: 6 }),
      ),
    ),
  },
)
const anySent: fc.Arbitrary<Sent> = fc.record({
  fields: fc
    .tuple(
      fc.oneof(
        { weight: 8, arbitrary: fc.shuffledSubarray(PSEUDO, { minLength: 4 }) },
        { weight: 1, arbitrary: fc.shuffledSubarray(PSEUDO, { minLength: 3 }) },
      ),
      fc.array(anyField, { maxLength: 4 }),
    )
    .map(([pseudo, others]) => [...pseudo, ...others]),
  body: fc.constantFrom('abc', ''),
  trailers: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.array(anyField, { minLength: 1, maxLength: 2 }) },
  ),
})

/** What the parser here leaves out and others refuse: malformed.test.ts says what comes of it. Trailers end at the gateway. */
function isLeftOut([name, value]: Field): boolean {
  return (
    !/^[!#-'*+.^-z|~\w-]+$/.test(name) || hasControls(value) || (name === 'host' && !/^[\w.:-]*$/.test(value))
  )
}

function hasControls(value: string): boolean {
  return value.split('').some((character) => (character < ' ' && character !== '\t') || character === '\x7f')
}

/** What a backend can tell of a request; null where it never had one. */
function facts(seen: SeenRequest | undefined) {
  if (seen === undefined) return null
  const { method, target, body, headers } = seen
  const told = ['x-a', 'x-b', 'content-type'].map((name) => headers[name])
  // HAProxy takes the port of the scheme away; of an empty crumb of a cookie others leave the separator.
  const host = headers['host']?.toString().replace(/:(?:443)?$/, '')
  const cookie = headers['cookie']?.toString().split(/; ?/).filter(Boolean)
  return { method, target, body, told, host, cookie, hasPath: ':path' in headers }
}

async function behind({ port, behind: backend }: Front, sent: Sent) {
  const before = backend.seen.length
  const client = await RawHttp2.open(port, cert)
  client.head(1, [...sent.fields, ['fencing-token', '1']], sent.body === '' && sent.trailers === null)
  if (sent.body !== '') client.data(1, sent.body, sent.trailers === null)
  if (sent.trailers !== null) client.head(1, sent.trailers)
  const silence = setTimeout(() => client.close(), SILENT_MS)
  await client.outcome(1)
  clearTimeout(silence)
  client.close()
  expect(backend.seen.length - before).toBeLessThanOrEqual(1)
  return facts(backend.seen[before])
}

describeWith(['nginx', 'haproxy'], 'a request of HTTP/2', () => {
  const backends: EchoBackend[] = []
  let gateway: TestGateway
  let servers: FrontServers
  let fronts: { readonly ours: Front; readonly nginx: Front; readonly haproxy: Front }
  beforeAll(async () => {
    const start = async () => {
      const backend = await startEchoBackend()
      backends.push(backend)
      return backend
    }
    const [own, second, third] = [await start(), await start(), await start()]
    gateway = await startTestGateway(own.url, {}, { tls: { cert, key } })
    servers = await startFrontServers({ cert, key, behindNginx: second.port, behindHaproxy: third.port })
    fronts = {
      ours: { port: gateway.port, behind: own },
      nginx: { port: servers.nginxPort, behind: second },
      haproxy: { port: servers.haproxyPort, behind: third },
    }
  }, 60_000)
  afterAll(async () => {
    await servers.close()
    await gateway.listener.close()
    for (const backend of backends) await backend.close()
  })

  test('that others let through as well is the same behind each, and what both refuse is refused here', async () => {
    let shared = 0
    const found: unknown[] = []
    for (const sent of [...CORPUS, ...fc.sample(anySent, SAMPLES)]) {
      const ours = await behind(fronts.ours, sent)
      if (ours === null) continue
      const [nginx, haproxy] = await Promise.all([behind(fronts.nginx, sent), behind(fronts.haproxy, sent)])
      if (nginx !== null || haproxy !== null) shared++
      else if (!sent.fields.some(isLeftOut) && sent.trailers === null) found.push({ sent, ours })
      for (const other of [nginx, haproxy])
        if (other !== null && JSON.stringify(other) !== JSON.stringify(ours))
          found.push({ sent, ours, nginx, haproxy })
    }
    expect(found).toEqual([])
    expect(shared).toBeGreaterThan(SAMPLES / 2)
  }, 120_000)
})
