// The HTTP session fencer against an API of ours: what it believes, what it refuses, and what becomes of it when the API, or
// somebody between, misbehaves.

import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import driver from '../../../fencers/http-session.ts'
import { FenceInfoFault, type Fencer } from '../../../gateway/spi/fencer.ts'
import { BLINDING, type RestCall } from '../../support/rest-server.ts'
import { type SessionApi, startSessionApi } from '../../support/session-api.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = Readonly<Record<string, unknown>>
const PASSWORD = 'the-fencers-password'
const context = { clock: realClock, note: () => undefined }
const apis: SessionApi[] = []
const fencers: Fencer<Info>[] = []

afterEach(async () => {
  await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
  await Promise.all(apis.splice(0).map((api) => api.server.close()))
})

async function start(
  change: Readonly<Record<string, unknown>> = {},
  settings: { readonly tls?: boolean; readonly password?: string } = {},
) {
  const api = await startSessionApi({ password: PASSWORD, tls: settings.tls === true })
  apis.push(api)
  const options = { ...api.fencerOptions(settings.password ?? PASSWORD), ...change }
  const fencer = driver.create(driver.options.parse(options), context)
  fencers.push(fencer)
  return { api, fencer, id: api.open('nova') }
}

const isDelete = (call: RestCall) => call.method === 'DELETE'
const isList = (call: RestCall) => call.method === 'GET'

describe('the HTTP session fencer', () => {
  test('logs the session out, sees it gone, and leaves the others alone', async () => {
    const { api, fencer, id } = await start()
    const other = api.open('nova')
    const info = { sessionId: id }
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    expect(await fencer.verify(info, anAttemptNow())).toMatchObject({
      state: 'fenced',
      evidence: { request: 'GET /sessions' },
    })
    expect([api.isOpen(id), api.isOpen(other)]).toEqual([false, true])
  })

  test.each(BLINDING.filter((kind) => kind !== 'lie'))(
    'a look that is answered by "%s" shows nobody gone',
    async (kind) => {
      const { api, fencer, id } = await start()
      await fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })
      api.end(id)
      api.server.fault(kind, isList)
      expect((await fencer.verify({ sessionId: id }, anAttemptNow())).state).toBe('unknown')
      expect(api.server.calls.map((call) => call.path)).not.toContain('/elsewhere')
    },
  )

  test.each(['proxy-404', 'redirect', 'error', 'drop', 'huge'] as const)(
    'an action that is answered by "%s" is followed by a look, which decides',
    async (kind) => {
      const { api, fencer, id } = await start()
      api.server.fault(kind, isDelete)
      const acted = await fencer.fence({ sessionId: id }, anAttemptNow()).then(
        () => 'done',
        () => 'failed',
      )
      // A 404 is what a session that is gone is answered with; whose it was, only the look can tell.
      expect(acted).toBe(kind === 'proxy-404' ? 'done' : 'failed')
      const seen = await fencer.verify({ sessionId: id }, anAttemptNow())
      expect(seen.state).toBe(kind === 'drop' ? 'fenced' : 'not-fenced')
    },
  )

  test('a success that is reported and not true is seen through', async () => {
    const { api, fencer, id } = await start()
    api.server.fault('lie', isDelete)
    await fencer.fence({ sessionId: id }, anAttemptNow())
    expect((await fencer.verify({ sessionId: id }, anAttemptNow())).state).toBe('not-fenced')
  })

  test('an API that hangs, or is not there, ends with the attempt', async () => {
    const { api, fencer, id } = await start()
    api.server.fault('hang')
    await expect(fencer.fence({ sessionId: id }, anAttemptNow({ lengthMs: 100 }))).rejects.toThrow()
    const seen = await fencer.verify({ sessionId: id }, anAttemptNow({ lengthMs: 100 }))
    expect(seen.state).toBe('unknown')
    const nobody = await start()
    await nobody.api.server.close()
    await expect(nobody.fencer.fence({ sessionId: id }, anAttemptNow())).rejects.toThrow()
    expect((await nobody.fencer.verify({ sessionId: id }, anAttemptNow())).state).toBe('unknown')
  })

  test('wrong credentials are a failure that does not name them, for monitor, too', async () => {
    const { api, fencer, id } = await start({}, { password: 'wrong-but-secret' })
    const said: unknown[] = []
    await fencer.fence({ sessionId: id }, anAttemptNow()).catch((error: unknown) => said.push(String(error)))
    said.push(await fencer.verify({ sessionId: id }, anAttemptNow()))
    await fencer
      .monitor({ ...context, signal: AbortSignal.timeout(5_000) })
      .catch((error: unknown) => said.push(String(error)))
    expect(said).toHaveLength(3)
    expect(said[1]).toMatchObject({ state: 'unknown' })
    expect(JSON.stringify(said)).toContain('401')
    expect(JSON.stringify(said)).not.toContain('wrong-but-secret')
    expect(api.isOpen(id)).toBe(true)
  })

  test('logs in again where its own session has ended, and never logs that one out', async () => {
    const { api, fencer, id } = await start()
    await fencer.verify({ sessionId: id }, anAttemptNow())
    const [own = ''] = [...api.sessions].find(([, user]) => user === 'fencer') ?? []
    await expect(fencer.fence({ sessionId: own }, anAttemptNow())).rejects.toThrow("fencer's own")
    expect(api.isOpen(own)).toBe(true)
    api.end(own)
    await fencer.fence({ sessionId: id }, anAttemptNow())
    expect((await fencer.verify({ sessionId: id }, anAttemptNow())).state).toBe('fenced')
    await fencer.close?.()
    expect([...api.sessions.values()]).not.toContain('fencer')
  })

  test('ten attempts at once log in once', async () => {
    const { api, fencer, id } = await start()
    await Promise.all(Array.from({ length: 10 }, () => fencer.verify({ sessionId: id }, anAttemptNow())))
    expect(api.server.calls.filter((call) => call.method === 'POST')).toHaveLength(1)
  })

  test('what the holder wrote is a value where it stands, never a path, a query or a header', async () => {
    const { api, fencer } = await start({
      fence: {
        method: 'DELETE',
        path: '/sessions/{{fenceInfo.sessionId}}?of={{fenceInfo.user}}',
        headers: { 'X-Auth-Token': '{{login.token}}', 'X-User': '{{fenceInfo.user}}' },
        body: { user: '{{fenceInfo.user}}', number: '{{fenceInfo.number}}', both: 'n{{fenceInfo.number}}' },
        gone: [404],
      },
    })
    const user = 'a"/../b?c=d&e#f {{login.token}}'
    await fencer.fence({ sessionId: 'x/../../y?z', user, number: 7 }, anAttemptNow())
    const call = api.server.calls.findLast(isDelete)
    expect(call?.path).toBe('/sessions/x%2F..%2F..%2Fy%3Fz')
    expect(call?.query.get('of')).toBe(user)
    expect(call?.headers['x-user']).toBe(user)
    expect(call?.json).toEqual({ user, number: 7, both: 'n7' })
    for (const sessionId of ['', '..', '.', undefined, { a: 1 }]) {
      await expect(fencer.fence({ sessionId, user, number: 7 }, anAttemptNow())).rejects.toThrow()
    }
    const split = 'a\r\nX-Evil: 1'
    await expect(fencer.fence({ sessionId: 's', user: split, number: 7 }, anAttemptNow())).rejects.toThrow()
    expect(api.server.calls.filter(isDelete)).toHaveLength(1)
  })

  test('a fenceInfo that would not fill one of the requests is refused before anybody needs it', async () => {
    const { api, fencer } = await start({
      fence: {
        method: 'DELETE',
        path: '/sessions/{{fenceInfo.sessionId}}',
        headers: { 'X-Auth-Token': '{{login.token}}', 'X-User': '{{fenceInfo.user}}' },
        body: { fence: '{{fence.id}}', number: '{{fenceInfo.number}}' },
      },
    })
    const whole = { sessionId: 's', user: 'nova', number: 7 }
    expect(() => fencer.check?.(whole)).not.toThrow()
    for (const [name, value] of [
      ['sessionId', '..'],
      ['sessionId', ''],
      ['user', undefined],
      ['user', 'a\r\nX-Evil: 1'],
      ['number', { a: 1 }],
    ] as const) {
      const check = () => fencer.check?.({ ...whole, [name]: value })
      expect(check).toThrow(FenceInfoFault)
      expect(check).toThrow(`fenceInfo.${name}`)
    }
    expect(api.server.calls).toEqual([])
  })

  test('a fenceInfo that would not fill what the answer is judged by is refused, too', async () => {
    const { fencer } = await start({
      verify: {
        path: '/sessions?of={{fenceInfo.sessionId}}',
        alive: [{ status: [200], json: { '/user': '{{fenceInfo.user}}' } }],
        gone: [{ status: [404], present: ['/error'] }],
      },
    })
    expect(() => fencer.check?.({ sessionId: 's', user: 'nova' })).not.toThrow()
    expect(() => fencer.check?.({ sessionId: 's' })).toThrow('there is no fenceInfo.user')
  })

  test('accepts the certificate with the pinned fingerprint whatever its name, and sends nothing to another', async () => {
    const { api, id } = await start({}, { tls: true })
    const { fingerprint } = api.server
    const withTls = (tls: object) => {
      const options = { ...api.fencerOptions(PASSWORD), tls }
      const fencer = driver.create(driver.options.parse(options), context)
      fencers.push(fencer)
      return fencer
    }
    const wrong = (fingerprint ?? '').replace(/^../, (first) => (first === '00' ? '01' : '00'))
    for (const tls of [{}, { fingerprint: wrong }, { ca: api.server.ca }])
      await expect(withTls(tls).fence({ sessionId: id }, anAttemptNow())).rejects.toThrow()
    expect(api.server.calls).toEqual([])
    const pinned = withTls({ fingerprint })
    await pinned.fence({ sessionId: id }, anAttemptNow())
    expect((await pinned.verify({ sessionId: id }, anAttemptNow())).state).toBe('fenced')
  })

  test('a list with further pages shows nobody gone', async () => {
    const { api, fencer, id } = await start()
    const more = await start({
      verify: {
        path: '/sessions',
        headers: { 'X-Auth-Token': '{{login.token}}' },
        list: {
          at: '/items',
          item: { '/id': '{{fenceInfo.sessionId}}' },
          witness: { '/id': '{{login.id}}' },
          // The first entry stands in for the mark of a further page.
          more: '/items/0/id',
        },
      },
    })
    more.api.end(more.id)
    api.end(id)
    expect((await fencer.verify({ sessionId: id }, anAttemptNow())).state).toBe('fenced')
    expect((await more.fencer.verify({ sessionId: more.id }, anAttemptNow())).state).toBe('unknown')
  })

  const list = { at: '/items', item: { '/id': '{{fenceInfo.a}}' } }
  const faulty: readonly (readonly [string, 'fence' | 'verify', object])[] = [
    [
      'a status as proof',
      'verify',
      { list: undefined, alive: [{ status: [200] }], gone: [{ status: [404] }] },
    ],
    ['a list that nothing vouches for', 'verify', { list }],
    ['an unknown variable', 'fence', { path: '/sessions/{{fenceInfo.a}}/{{login.nothing}}' }],
    ['a request that names nobody', 'fence', { path: '/sessions' }],
    ['braces that are no variable', 'fence', { path: '/sessions/{{fenceInfo.a}}/{{ }}' }],
  ]
  test.each(faulty)('refuses a configuration with %s', async (_what, part, change) => {
    const { api } = await start()
    const options = api.fencerOptions(PASSWORD)
    expect(driver.options.safeParse(options).success).toBe(true)
    const changed = { ...z.looseObject({}).parse(options[part]), ...change }
    expect(driver.options.safeParse({ ...options, [part]: changed }).success).toBe(false)
  })

  test('the target never shows a token', () => {
    const info = driver.fenceInfo.parse({ token: 'gAAAA-a-bearer-token' })
    expect(driver.target(info)).not.toContain('gAAAA')
    expect(driver.target({ ...info, target: 'nova/3' })).toBe('nova/3')
  })
})
