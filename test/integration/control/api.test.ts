import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { start } from './start.ts'

describe('sessions', () => {
  test('are opened, renewed, shown, listed and closed', async () => {
    const { call } = await start()
    const opened = await call('POST', '/v1/sessions', {
      ttl: 2.5,
      holder: { id: 'nova-1', host: 'a' },
      fenceInfo: { pid: 7 },
      plan: 'p',
    })
    expect(opened.status).toBe(201)
    expect(opened.body).toEqual({ session: '11', ttl: 2.5, expiresAt: '2026-01-02T03:04:07.500Z' })
    expect(opened.headers.get('location')).toBe('/v1/sessions/11')
    const renewed = await call('POST', '/v1/sessions/11/keepalive')
    expect(renewed).toMatchObject({ status: 200, body: { ttl: 2.5, expiresAt: '2026-01-02T03:04:07.500Z' } })
    expect((await call('GET', '/v1/sessions/11')).body).toMatchObject({
      holder: { id: 'nova-1', host: 'a' },
      fenceInfo: { pid: 7 },
      plan: 'p',
    })
    expect((await call('GET', '/v1/sessions')).body.items).toHaveLength(1)
    expect((await call('DELETE', '/v1/sessions/11')).status).toBe(204)
    expect((await call('DELETE', '/v1/sessions/11')).status).toBe(204)
    expect((await call('DELETE', '/v1/sessions/never-one')).status).toBe(204)
  })

  test('a renewal with an empty JSON body is a renewal', async () => {
    const { call, open } = await start()
    const session = await open()
    const headers = { 'content-type': 'application/json' }
    expect((await call('POST', `/v1/sessions/${session}/keepalive`, undefined, headers)).status).toBe(200)
  })

  test('a session that is gone answers 404, so that its holder stops', async () => {
    const { call } = await start()
    for (const id of ['abc', 'NOT-HEX', '0'])
      expect(await call('POST', `/v1/sessions/${id}/keepalive`)).toMatchObject({
        status: 404,
        type: expect.stringContaining('application/problem+json'),
        body: { type: 'urn:fencegate:error:session-unknown', status: 404 },
      })
  })

  test.each([0, -1, 0.01, 61, '5', null])('a ttl of %s is refused', async (ttl) => {
    const { call } = await start()
    expect((await call('POST', '/v1/sessions', { ttl, holder: { id: 'h' } })).status).toBe(400)
  })
})

describe('locks', () => {
  const name = encodeURIComponent('cinder/volume/5aa1 ü%')

  test('are acquired, shown, and released, whatever is in their names', async () => {
    const { call, open } = await start()
    const session = await open()
    const granted = await call('POST', `/v1/locks/${name}`, { session })
    expect(granted.status).toBe(201)
    expect(granted.body).toEqual({
      lock: 'cinder/volume/5aa1 ü%',
      mode: 'exclusive',
      token: '18',
      acquiredAt: '2026-01-02T03:04:05.000Z',
    })
    const again = await call('POST', `/v1/locks/${name}`, { session })
    expect(again).toMatchObject({ status: 200, body: granted.body })
    expect((await call('GET', `/v1/locks/${name}`)).body).toMatchObject({
      phase: 'open',
      owners: [{ token: '18' }],
    })
    expect((await call('DELETE', `/v1/locks/${name}?session=${session}`)).status).toBe(204)
    expect((await call('DELETE', `/v1/locks/${name}?session=${session}`)).status).toBe(204)
    expect((await call('DELETE', `/v1/locks/${name}?session=garbage`)).status).toBe(204)
    expect((await call('GET', `/v1/locks/${name}`)).body).toMatchObject({ phase: 'free', owners: [] })
  })

  test('a lock that is held answers 409 with its owner and the length of the queue', async () => {
    const { call, open } = await start()
    const [first, second] = [await open('a'), await open('b')]
    await call('POST', '/v1/locks/x', { session: first })
    for (const wait of [0, 0.05])
      expect(await call('POST', '/v1/locks/x', { session: second, wait })).toMatchObject({
        status: 409,
        body: {
          type: 'urn:fencegate:error:lock-held',
          owner: { session: first, holder: { id: 'a' } },
          waiters: 0,
        },
      })
  })

  test('are released by token where one is named: what was granted since stays', async () => {
    const { call, open } = await start()
    const session = await open()
    const { token } = (await call('POST', '/v1/locks/x', { session })).body
    const release = (named: string) => call('DELETE', `/v1/locks/x?session=${session}&token=${named}`)
    expect((await release('1')).status).toBe(204)
    expect((await call('GET', '/v1/locks/x')).body.owners).toMatchObject([{ token }])
    expect((await release('no number')).status).toBe(400)
    expect((await release(token)).status).toBe(204)
    expect((await call('GET', '/v1/locks/x')).body.phase).toBe('free')
  })

  test('a waiter is answered when the lock is released', async () => {
    const { call, open, plane } = await start()
    const [first, second] = [await open('a'), await open('b')]
    await call('POST', '/v1/locks/x', { session: first })
    const waiting = call('POST', '/v1/locks/x', { session: second, wait: 30 })
    while ((plane.queues.get('x')?.length ?? 0) === 0) await new Promise((resolve) => setImmediate(resolve))
    expect((await call('GET', '/v1/locks/x')).body.waiters).toMatchObject([{ session: second, waited: 1.5 }])
    await call('DELETE', `/v1/locks/x?session=${first}`)
    expect((await waiting).status).toBe(201)
  })

  test('the mode of a grant is changed by who names its token, and refused with the reason', async () => {
    const { call, open } = await start()
    const session = await open()
    const { token } = (await call('POST', '/v1/locks/x', { session })).body
    const change = { session, token, mode: 'shared' }
    expect(await call('PUT', '/v1/locks/x/mode', change)).toMatchObject({
      status: 200,
      body: { lock: 'x', mode: 'shared', token },
    })
    expect(await call('PUT', '/v1/locks/x/mode', { ...change, token: '1' })).toMatchObject({
      status: 409,
      body: { type: 'urn:fencegate:error:token-mismatch' },
    })
    const second = await open('b')
    const waiting = call('POST', '/v1/locks/x', { session: second, wait: 30 })
    await expect.poll(async () => (await call('GET', '/v1/locks/x')).body.waiters.length).toBe(1)
    expect(await call('PUT', '/v1/locks/x/mode', { ...change, mode: 'exclusive', wait: 1 })).toMatchObject({
      status: 409,
      body: { type: 'urn:fencegate:error:mode-held' },
    })
    expect((await call('PUT', '/v1/locks/x/mode', { ...change, mode: 'none' })).status).toBe(400)
    await call('DELETE', `/v1/locks/x?session=${session}`)
    await waiting
  })

  test('lists page with limit and after, and filter by prefix', async () => {
    const { call, open } = await start()
    const session = await open()
    for (const lock of ['a/1', 'a/2', 'a/3', 'b/1'])
      await call('POST', `/v1/locks/${encodeURIComponent(lock)}`, { session })
    const page = await call('GET', '/v1/locks?prefix=a/&limit=2')
    expect(page.body.items.map((item: { lock: string }) => item.lock)).toEqual(['a/1', 'a/2'])
    expect(page.body.next).toBe('a/2')
    const rest = await call('GET', `/v1/locks?prefix=a/&limit=2&after=${encodeURIComponent(page.body.next)}`)
    expect(rest.body.items.map((item: { lock: string }) => item.lock)).toEqual(['a/3'])
    expect(rest.body).not.toHaveProperty('next')
  })

  test.each([
    ['an empty part', 'a%2F%2Fb'],
    ['a control character', 'a%00b'],
    ['a slash at its end', 'a%2F'],
    ['more than 1024 bytes', 'ä'.repeat(513)],
  ])('a name with %s is refused with the reason', async (_what, bad) => {
    const { call, open } = await start()
    const session = await open()
    for (const answer of [
      await call('POST', `/v1/locks/${bad}`, { session }),
      await call('GET', `/v1/locks/${bad}`),
      await call('DELETE', `/v1/locks/${bad}?session=${session}`),
    ])
      expect(answer).toMatchObject({
        status: 400,
        body: { type: 'urn:fencegate:error:bad-request', detail: expect.stringContaining('a lock name') },
      })
  })

  test('a name of exactly 1024 bytes is a name', async () => {
    const { call, open } = await start()
    const session = await open()
    expect((await call('POST', `/v1/locks/${encodeURIComponent('ä'.repeat(512))}`, { session })).status).toBe(
      201,
    )
  })

  test('an unknown session answers 404', async () => {
    const { call } = await start()
    for (const session of ['abc', 'nope'])
      expect(await call('POST', '/v1/locks/x', { session })).toMatchObject({
        status: 404,
        body: { type: 'urn:fencegate:error:session-unknown' },
      })
  })
})

describe('fences', () => {
  test('are ordered, listed, shown, retried and confirmed', async () => {
    const { call, open, lines } = await start()
    const session = await open()
    const word = { by: 'ann', reason: 'pulled its power cord' }
    const ordered = await call('POST', `/v1/sessions/${session}/fence`, word)
    expect(ordered).toMatchObject({ status: 202, body: { fence: session } })
    expect((await call('GET', '/v1/fences')).body.items).toMatchObject([
      { id: session, state: 'blocked', blocked: 'kill failed' },
    ])
    expect((await call('POST', `/v1/fences/${session}/retry`)).body).toMatchObject({ state: 'due', level: 0 })
    expect((await call('POST', `/v1/fences/${session}/confirm`, word)).body).toMatchObject({
      state: 'closed',
      outcome: 'confirmed',
      closedBy: 'ann',
      closedReason: 'pulled its power cord',
    })
    expect((await call('GET', `/v1/fences/${session}`)).body.attempts).toMatchObject([{ outcome: 'failed' }])
    expect(lines.join('')).toContain('an operator confirmed a fence')
  })

  test('a confirmation names who vouches, and why', async () => {
    const { call } = await start()
    for (const body of [{}, { by: 'ann' }, { by: ' ', reason: 'x' }])
      expect((await call('POST', '/v1/fences/1/confirm', body)).status).toBe(400)
    expect((await call('POST', '/v1/fences/1/confirm', { by: 'a', reason: 'b' })).body.type).toBe(
      'urn:fencegate:error:fence-unknown',
    )
    expect((await call('GET', '/v1/fences/1')).status).toBe(404)
  })
})

describe('a check', () => {
  test('says what would become of a call, and why', async () => {
    const { call } = await start()
    const ask = async (rest: object) =>
      (await call('POST', '/v1/check', { backend: 'small', path: '/x', ...rest })).body
    expect(await ask({ method: 'GET' })).toMatchObject({ effect: 'read', verdict: 'admitted', locks: [] })
    expect(await ask({ method: 'DELETE' })).toMatchObject({ effect: 'deny', verdict: 'denied' })
    expect(await ask({ method: 'post', body: 'abc' })).toMatchObject({
      effect: 'mutate',
      rule: 'rule-mutate',
      verdict: 'missing-token',
      locks: [{ name: 'v/abc', mode: 'exclusive', verdict: 'missing-token' }],
      why: expect.stringContaining('take the lock'),
    })
    expect(await ask({ method: 'POST', body: 'abc', headers: { 'Fencing-Token': '5' } })).toMatchObject({
      verdict: 'admitted',
      locks: [{ token: '5' }],
    })
    expect(await ask({ method: 'POST', headers: { 'fencing-token': 'x' } })).toMatchObject({
      verdict: 'bad-token',
    })
    expect(await ask({ method: 'POST', body: { much: 'more than sixteen bytes' } })).toMatchObject({
      verdict: 'too-large',
    })
  })

  test('an unknown backend answers 404', async () => {
    const { call } = await start()
    expect((await call('POST', '/v1/check', { backend: 'none', method: 'GET', path: '/' })).status).toBe(404)
  })
})

describe('problems', () => {
  test.each([
    ['JSON that is none', 'POST', '/v1/sessions', '{', {}, 400, 'bad-request', 'not JSON'],
    ['a poisoned prototype', 'POST', '/v1/sessions', '{"__proto__":{}}', {}, 400, 'bad-request', ''],
    [
      'another content type',
      'POST',
      '/v1/sessions',
      'x=1',
      { 'content-type': 'text/plain' },
      400,
      'bad-request',
      'application/json',
    ],
    ['a missing body', 'POST', '/v1/sessions', undefined, {}, 400, 'bad-request', 'body'],
    [
      'an unknown key',
      'POST',
      '/v1/sessions',
      '{"ttl":1,"holder":{"id":"h"},"tll":2}',
      {},
      400,
      'bad-request',
      'tll',
    ],
    ['an unknown query parameter', 'GET', '/v1/locks?prefx=a', undefined, {}, 400, 'bad-request', 'prefx'],
    ['a limit of nothing', 'GET', '/v1/locks?limit=0', undefined, {}, 400, 'bad-request', 'limit'],
    ['an unknown route', 'GET', '/v1/lock', undefined, {}, 404, 'not-found', 'openapi.json'],
    ['a method that is not offered', 'PUT', '/v1/locks/x', undefined, {}, 405, 'method-not-allowed', 'POST'],
    [
      'slashes that are not encoded',
      'GET',
      '/v1/locks/cinder/volume/1',
      undefined,
      {},
      404,
      'not-found',
      '%2F',
    ],
    [
      'a broken percent-encoding',
      'GET',
      '/v1/locks/%zz',
      undefined,
      {},
      400,
      'bad-request',
      'percent-encoded',
    ],
    [
      'a body of two megabytes',
      'POST',
      '/v1/sessions',
      JSON.stringify('x'.repeat(2 << 20)),
      {},
      413,
      'too-large',
      '',
    ],
    [
      'header fields of 40 kilobytes',
      'GET',
      '/v1/locks',
      undefined,
      { 'x-long': 'x'.repeat(40_000) },
      413,
      'too-large',
      '',
    ],
  ])('%s has an answer that says so', async (_what, method, path, body, headers, status, code, detail) => {
    const { call } = await start()
    const answer = await call(method, path, body, { ...headers })
    expect(answer.type).toContain('application/problem+json')
    expect(answer.body).toMatchObject({
      status,
      type: `urn:fencegate:error:${code}`,
      detail: expect.stringContaining(detail),
    })
    expect(answer.status).toBe(status)
  })

  test('a store without an answer is 503, with Retry-After', async () => {
    const { call, plane } = await start()
    plane.failure = new StoreUnavailable('no quorum at 10.0.0.1')
    const answer = await call('POST', '/v1/sessions', { ttl: 1, holder: { id: 'h' } })
    expect(answer).toMatchObject({ status: 503, body: { type: 'urn:fencegate:error:store-unavailable' } })
    expect(answer.headers.get('retry-after')).toBe('1')
  })

  test('a failure of our own shows the caller an incident and nothing else', async () => {
    const { call, plane, lines } = await start()
    plane.failure = new Error('secret inside')
    const answer = await call('POST', '/v1/sessions', { ttl: 1, holder: { id: 'h' } })
    expect(answer.status).toBe(500)
    expect(JSON.stringify(answer.body)).not.toContain('secret inside')
    expect(lines.join('')).toContain(answer.body.incident)
    expect(lines.join('')).toContain('secret inside')
  })
})

describe('health', () => {
  test('live, ready, and not ready with the reason', async () => {
    const { call, plane } = await start()
    expect(await call('GET', '/livez')).toMatchObject({ status: 200, body: { live: true } })
    expect(await call('GET', '/readyz')).toMatchObject({ status: 200, body: { ready: true, reason: null } })
    plane.ready = false
    expect(await call('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { ready: false, reason: 'the view is not current' },
    })
  })

  test('metrics are in the exposition format', async () => {
    const { call, events } = await start()
    events.sink({ type: 'lock.granted', lock: 'x' })
    const answer = await call('GET', '/metrics')
    expect(answer.type).toContain('text/plain')
    expect(answer.body).toContain('fencegate_events_total{type="lock.granted"} 1')
  })
})
