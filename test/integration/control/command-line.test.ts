// The commands against a real control listener.

import { expect, test } from 'vitest'
import { fetchWith } from '../../../gateway/cli/index.ts'
import type { FencerHealth } from '../../../gateway/spi/fencer-health.ts'
import { run as runWith } from '../../unit/cli/run-with.ts'
import { start } from './start.ts'

async function running(options: Parameters<typeof start>[0] = {}) {
  const gateway = await start(options)
  const run = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
    runWith(args, { fetchWith, environment: { FENCEGATE_CONTROL: gateway.url, USER: 'ann', ...environment } })
  return { ...gateway, run }
}

test('locks, sessions and fences are shown to people and to programs', async () => {
  const { run, call, open } = await running()
  const session = await open('nova-1')
  await call('POST', '/v1/locks/cinder%2Fvolume%2F1', { session })
  expect((await run(['locks'])).out).toBe(
    'LOCK             PHASE  OWNER   TOKEN  SINCE                     WAITERS  IN FLIGHT\n' +
      'cinder/volume/1  open   nova-1  18     2026-01-02T03:04:05.000Z  0        0\n',
  )
  expect((await run(['locks', 'cinder/volume/1'])).out).toContain(
    'owner   nova-1 (exclusive, token 18) since 2026',
  )
  expect(JSON.parse((await run(['locks', '--json', '--prefix', 'cinder/'])).out).items).toHaveLength(1)
  expect(JSON.parse((await run(['locks', '--json', '--prefix', 'nova/'])).out).items).toHaveLength(0)
  expect((await run(['sessions'])).out).toContain('nova-1')

  expect(await run(['fence', session, '--reason', 'hangs'])).toMatchObject({ code: 0 })
  expect((await run(['fences'])).out).toMatch(/blocked +h +1 .*kill failed/)
  const shown = (await run(['fences', session])).out
  expect(shown).toContain('attempt 1 of kill on level 1: failed')
  expect(shown).toMatch(/^cause {3}operator by ann: hangs$/m)
  expect(shown).toContain(`fencegate confirm ${session} --by YOU --reason WHY`)
  expect((await run(['retry', session])).out).toBe(`fence ${session} is due\n`)
  expect((await run(['confirm', session, '--reason', 'power is off'])).out).toBe(
    `fence ${session} is closed\n`,
  )
  expect((await run(['fences', session])).out).toMatch(/^closed {2}2026-\S+ by ann: power is off$/m)
  expect((await run(['fences'])).out).toContain('by ann: power is off')
  expect((await call('GET', `/v1/fences/${session}`)).body).toMatchObject({
    closedBy: 'ann',
    closedReason: 'power is off',
  })
})

test('fences are listed by their state', async () => {
  const { run, call, open } = await running()
  const blocked = await open('nova-1')
  const closed = await open('nova-2')
  for (const session of [blocked, closed]) await run(['fence', session, '--reason', 'hangs'])
  await run(['confirm', closed, '--reason', 'off'])
  const ids = async (state: string) =>
    (await call('GET', `/v1/fences?state=${state}`)).body.items.map(({ id }: { id: string }) => id)
  expect(await ids('open')).toEqual([blocked])
  expect(await ids('blocked')).toEqual([blocked])
  expect(await ids('closed')).toEqual([closed])
  expect(await ids('held')).toEqual([])
  expect((await call('GET', '/v1/fences?state=dead')).status).toBe(400)
  const shown = (await run(['fences', '--state', 'open'])).out
  expect(shown).toContain(blocked)
  expect(shown).not.toContain(closed)
})

test('what the gateway found of its fencers is shown, and an unhealthy one makes no gateway unready', async () => {
  const healthy = {
    fencer: 'kill',
    driver: 'process',
    state: 'healthy' as const,
    reason: null,
    monitoredAt: '2026-01-02T03:04:05.000Z',
    since: '2026-01-02T03:04:05.000Z',
    lastResortOf: [],
  }
  const fencers: FencerHealth[] = [healthy]
  const { run, call } = await running({ fencers: () => fencers })
  expect(await run(['fencers', 'status'])).toMatchObject({ code: 0 })
  expect((await call('GET', '/readyz')).body).toEqual({ ready: true, reason: null })
  fencers.push({
    ...healthy,
    fencer: 'power',
    state: 'unhealthy',
    reason: 'login refused',
    lastResortOf: ['nova'],
  })
  expect((await call('GET', '/v1/fencers')).body.items).toEqual(fencers)
  const shown = await run(['fencers', 'status'])
  expect(shown.code).toBe(1)
  expect(shown.out).toMatch(/power +process +unhealthy .*nova +login refused/)
  expect(await call('GET', '/readyz')).toMatchObject({
    status: 200,
    body: { ready: true, unhealthyFencers: ['power'] },
  })
})

test('an operator sees of which calls nobody knows, and vouches for them', async () => {
  const { run, plane, call, open } = await running()
  const lock = 'cinder/volume/1'
  await call('POST', `/v1/locks/${encodeURIComponent(lock)}`, { session: await open('nova-1') })
  const word = ['vouch', lock, '--reason', 'the array is quiet']
  expect((await run(word)).err).toBe(
    `fencegate vouch: Nothing here needs an operator’s word: nothing holds up ${lock}\n`,
  )
  plane.unknown = [
    { token: '18', gateway: 'gateway-1', incarnation: 'a1', calls: 2 },
    { token: '18', gateway: 'gateway-2', incarnation: 'b2', calls: null },
  ]
  const shown = (await run(['locks', lock])).out
  expect(shown).toContain('unknown 2 calls under token 18 at gateway-1 (a1)\n')
  expect(shown).toContain(`fencegate vouch ${lock} --by YOU --reason WHY`)
  expect((await run(word)).out).toBe(
    'vouched for 2 calls under token 18 at gateway-1 (a1)\n' +
      'vouched for what was open under token 18 at gateway-2 (b2)\n',
  )
  expect((await run([...word, '--gateway', 'b2'])).out).toBe(
    'vouched for what was open under token 18 at gateway-2 (b2)\n',
  )
})

test('a list of many pages is read to its end', async () => {
  const { run, plane, open } = await running()
  for (let i = 0; i < 2100; i++)
    await plane.openSession({ ttlMs: 1000, holder: { id: `h${i}` }, fenceInfo: {}, plan: null })
  await open('last')
  expect(JSON.parse((await run(['sessions', '--json'])).out).items).toHaveLength(2101)
})

test('the token is taken from the option or the environment, and its lack is explained', async () => {
  const token = 'operator-1234567890'
  const { run } = await running({ credentials: [{ token, role: 'operator', holder: null }] })
  const refused = await run(['locks'])
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.err).toContain('(give one with --token, or --cert and --key)')
  expect((await run(['locks', '--token', token])).code).toBe(0)
  expect((await run(['locks'], { FENCEGATE_TOKEN: token })).code).toBe(0)
})

test('what the gateway refuses is said in its words', async () => {
  const { run } = await running()
  const { code, err } = await run(['confirm', 'abc', '--reason', 'x'])
  expect(err).toBe('fencegate confirm: There is no such fence: there is no fence abc\n')
  expect(code).toBe(1)
  expect((await run(['fence', 'abc', '--reason', 'x'], { USER: '' })).err).toContain(
    'Give your name with --by NAME',
  )
})
