import { describe, expect, test } from 'vitest'
import { TransactionTooLarge } from '../../../gateway/spi/store.ts'
import { start } from './start.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const opening = (fenceInfo: string): string => `{"ttl":1,"holder":{"id":"h"},"fenceInfo":{"x":${fenceInfo}}}`

describe('a request', () => {
  test.each<[string, string, string, string | Uint8Array | undefined, Record<string, string>, string]>([
    ['without a body', 'POST', '/v1/sessions', undefined, {}, 'body: is missing; send a JSON object'],
    ['that is no object', 'POST', '/v1/sessions', '[]', JSON_TYPE, 'body: expected an object'],
    ['that lacks a member', 'POST', '/v1/sessions', '{"ttl":1}', JSON_TYPE, 'body/holder: is missing'],
    [
      'with a member of another kind',
      'POST',
      '/v1/sessions',
      '{"ttl":"1","holder":{"id":"h"}}',
      JSON_TYPE,
      'body/ttl: expected a number',
    ],
    [
      'with an unknown member',
      'POST',
      '/v1/sessions',
      '{"ttl":1,"holder":{"id":"h"},"tll":2}',
      JSON_TYPE,
      'body: unknown key "tll"',
    ],
    [
      'with too small a number',
      'POST',
      '/v1/sessions',
      '{"ttl":0,"holder":{"id":"h"}}',
      JSON_TYPE,
      'body/ttl: must be more than 0',
    ],
    [
      'with an empty id',
      'POST',
      '/v1/sessions',
      '{"ttl":1,"holder":{"id":""}}',
      JSON_TYPE,
      'body/holder/id: must not be empty',
    ],
    [
      'with an unknown mode',
      'POST',
      '/v1/locks/x',
      '{"session":"1","mode":"x"}',
      JSON_TYPE,
      'body/mode: expected one of exclusive, shared',
    ],
    ['for no page', 'GET', '/v1/locks?limit=x', undefined, {}, 'query/limit: expected a number'],
    [
      'with a token that is none',
      'DELETE',
      '/v1/locks/x?session=1&token=x',
      undefined,
      {},
      'query/token: expected a decimal number',
    ],
    [
      'that is nested without end',
      'POST',
      '/v1/sessions',
      opening(nested(200_000)),
      JSON_TYPE,
      'nested deeper than 64',
    ],
    [
      'that is nested a little too deep',
      'POST',
      '/v1/sessions',
      opening(nested(63)),
      JSON_TYPE,
      'nested deeper than 64',
    ],
    [
      'in Latin-1',
      'POST',
      '/v1/sessions',
      Buffer.from('{"ttl":1,"holder":{"id":"é"}}', 'latin1'),
      JSON_TYPE,
      'not UTF-8',
    ],
    [
      'that is compressed',
      'POST',
      '/v1/sessions',
      'x',
      { ...JSON_TYPE, 'content-encoding': 'gzip' },
      'Content-Encoding',
    ],
    ['with a key __proto__', 'POST', '/v1/sessions', '{"__proto__":{}}', JSON_TYPE, '__proto__'],
  ])(
    '%s is refused, and the answer says what to send',
    async (_what, method, path, body, headers, detail) => {
      const { url, plane } = await start()
      const answer = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) })
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({
        type: 'urn:fencegate:error:bad-request',
        detail: expect.stringContaining(detail),
      })
      expect(plane.sessionsById.size).toBe(0)
    },
  )

  test('that is nested as deep as is taken does no harm', async () => {
    const { call } = await start()
    expect((await call('POST', '/v1/sessions', opening(nested(62)), JSON_TYPE)).status).toBe(201)
    expect((await call('GET', '/v1/sessions')).status).toBe(200)
  })

  test('for something too large for the store is the caller’s fault, and is not to be sent again', async () => {
    const { call, plane } = await start()
    plane.failure = new TransactionTooLarge('a transaction has at most 7 bytes')
    const answer = await call('POST', '/v1/sessions', { ttl: 1, holder: { id: 'h' } })
    expect(answer).toMatchObject({ status: 413, body: { type: 'urn:fencegate:error:too-large' } })
  })
})

describe('lists that a gateway has as a whole', () => {
  const fencer = (name: string) => ({
    fencer: name,
    driver: 'process',
    state: 'unknown' as const,
    reason: null,
    monitoredAt: null,
    since: null,
    lastResortOf: [],
  })

  test('come in pages as all others, in their own order', async () => {
    const { call } = await start({ fencers: () => ['kill', 'ask', 'power'].map(fencer) })
    const seen: string[] = []
    for (let path = '/v1/fencers?limit=2'; path !== ''; ) {
      const { status, body } = await call('GET', path)
      expect([status, body.items.length <= 2]).toEqual([200, true])
      seen.push(...body.items.map((item: { readonly fencer: string }) => item.fencer))
      path = body.next === undefined ? '' : `/v1/fencers?limit=2&after=${body.next}`
    }
    expect(seen).toEqual(['kill', 'ask', 'power'])
    expect((await call('GET', '/v1/fencers?after=none')).body).toEqual({ items: [] })
    for (const list of ['fencers', 'backends'])
      expect((await call('GET', `/v1/${list}?limit=0`)).status).toBe(400)
  })
})

describe('a method', () => {
  test.each(['/livez', '/readyz', '/metrics', '/openapi.json', '/v1/locks', '/v1/locks/x'])(
    'HEAD of %s answers as GET does, without the body',
    async (path) => {
      const { call } = await start()
      const [head, get] = [await call('HEAD', path), await call('GET', path)]
      expect(head).toMatchObject({ status: get.status, type: get.type })
      expect(head.headers.get('content-length')).not.toBe('0')
    },
  )

  test.each([
    ['PUT', '/v1/sessions', ['GET', 'HEAD', 'POST']],
    ['OPTIONS', '/v1/locks/x%2Fy', ['DELETE', 'GET', 'HEAD', 'POST']],
    ['HEAD', '/v1/events', ['GET']],
    ['POST', '/livez', ['GET', 'HEAD']],
  ])('%s that %s does not take is 405, with those that it takes', async (method, path, allow) => {
    const { call } = await start()
    const answer = await call(method, path)
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')?.split(', ').sort()).toEqual(allow)
  })
})
