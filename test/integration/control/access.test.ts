import { request } from 'node:http'
import { describe, expect, test } from 'vitest'
import { start } from './start.ts'

const credentials = [
  { token: 'holder-of-a-1234567', role: 'holder', holder: 'a' },
  { token: 'any-holder-12345678', role: 'holder', holder: null },
  { token: 'viewer-123456789012', role: 'viewer', holder: null },
  { token: 'operator-1234567890', role: 'operator', holder: null },
] as const

const as = (index: number) => ({ authorization: `Bearer ${credentials[index]?.token}` })
const [A, ANY, VIEWER, OPERATOR] = [as(0), as(1), as(2), as(3)]

describe('with credentials', () => {
  test('nobody gets in without one, and the answer says which', async () => {
    const { call } = await start({ credentials })
    const wrong = [
      {},
      { authorization: 'Bearer nonsense' },
      { authorization: 'Basic eA==' },
      { authorization: 'Bearer' },
    ]
    for (const headers of wrong) {
      const answer = await call('GET', '/v1/locks', undefined, headers)
      expect(answer).toMatchObject({ status: 401, body: { type: 'urn:fencegate:error:unauthorized' } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
  })

  test('health and the API’s description stay open', async () => {
    const { call } = await start({ credentials })
    for (const path of ['/livez', '/readyz', '/openapi.json'])
      expect((await call('GET', path)).status).toBe(200)
    expect((await call('GET', '/metrics')).status).toBe(401)
    expect((await call('GET', '/metrics', undefined, VIEWER)).status).toBe(200)
  })

  test('each role may do its own and nothing else', async () => {
    const { call } = await start({ credentials })
    const opening = { ttl: 10, holder: { id: 'b' } }
    const word = { by: 'x', reason: 'y' }
    const table = [
      ['POST', '/v1/sessions', opening, { any: 201, viewer: 403, operator: 201 }],
      ['POST', '/v1/locks/x', { session: '999' }, { any: 404, viewer: 403, operator: 404 }],
      ['DELETE', '/v1/locks/x?session=999', undefined, { any: 204, viewer: 403, operator: 204 }],
      ['GET', '/v1/locks', undefined, { any: 200, viewer: 200, operator: 200 }],
      ['GET', '/v1/fences', undefined, { any: 403, viewer: 200, operator: 200 }],
      ['POST', '/v1/locks/x/vouch', word, { any: 403, viewer: 403, operator: 409 }],
      ['POST', '/v1/fences/9/confirm', word, { any: 403, viewer: 403, operator: 404 }],
      ['POST', '/v1/fences/9/retry', undefined, { any: 403, viewer: 403, operator: 404 }],
      ['POST', '/v1/sessions/9/fence', word, { any: 403, viewer: 403, operator: 404 }],
    ] as const
    for (const [method, path, body, expected] of table) {
      const got = {
        any: (await call(method, path, body, ANY)).status,
        viewer: (await call(method, path, body, VIEWER)).status,
        operator: (await call(method, path, body, OPERATOR)).status,
      }
      expect({ method, path, ...got }).toEqual({ method, path, ...expected })
    }
  })

  test('credentials of one holder reach no session of another', async () => {
    const { call, plane } = await start({ credentials })
    const open = async (id: string, headers: { authorization: string }) =>
      call('POST', '/v1/sessions', { ttl: 10, holder: { id } }, headers)
    expect((await open('b', A)).status).toBe(403)
    const mine = (await open('a', A)).body.session
    const other = (await open('b', ANY)).body.session
    await call('POST', '/v1/locks/x', { session: other }, ANY)
    expect((await call('POST', '/v1/locks/y', { session: other }, A)).status).toBe(403)
    expect((await call('DELETE', `/v1/locks/x?session=${other}`, undefined, A)).status).toBe(403)
    expect((await call('DELETE', `/v1/sessions/${other}`, undefined, A)).status).toBe(403)
    expect((await call('POST', `/v1/sessions/${other}/keepalive`, undefined, A)).status).toBe(403)
    expect((await call('GET', `/v1/sessions/${other}`, undefined, A)).status).toBe(403)
    expect(plane.owners.get('x')?.session).toBe(other)
    expect((await call('GET', '/v1/sessions', undefined, A)).body.items).toMatchObject([{ session: mine }])
    expect((await call('POST', `/v1/sessions/${mine}/keepalive`, undefined, A)).status).toBe(200)
    expect((await call('POST', '/v1/locks/y', { session: mine }, A)).status).toBe(201)
  })

  test('no credential is ever logged', async () => {
    const { call, lines } = await start({ credentials })
    await call('POST', '/v1/sessions/9/fence', { by: 'x', reason: 'y' }, OPERATOR)
    for (const { token } of credentials) expect(lines.join('')).not.toContain(token)
  })
})

describe('without credentials', () => {
  test('the log says that the API is open', async () => {
    const { lines } = await start()
    expect(lines.join('')).toContain('the control API is open')
  })

  test('pages of a browser do not get in, by name or by form', async () => {
    const { call, port } = await start()
    expect(
      (await call('POST', '/v1/fences/9/retry', undefined, { origin: 'https://evil.example' })).status,
    ).toBe(403)
    const own = { origin: `http://127.0.0.1:${port}` }
    expect((await call('POST', '/v1/fences/9/retry', undefined, own)).status).toBe(404)
    const rebound = await new Promise<number | undefined>((resolve, reject) => {
      request(
        { port, host: '127.0.0.1', path: '/v1/locks', headers: { host: `evil.example:${port}` } },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        },
      )
        .on('error', reject)
        .end()
    })
    expect(rebound).toBe(403)
  })
})
