// The example for Keystone in deploy/examples/sessions.yaml, against a real one: a token that is revoked is gone there, and no
// other token, nor the holder's account, is touched.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import driver from '../../../fencers/http-session.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { type ForeignClient, keystoneAvailable, startKeystone } from '../../support/foreign-clients.ts'
import { send } from '../../support/holder.ts'
import { anAttemptNow, realClock } from './support.ts'

const START_MS_MAX = 120_000
const context = { clock: realClock, note: () => undefined }

type TokenFencer = Fencer<Readonly<Record<string, unknown>>>

describe.skipIf(!keystoneAvailable())('a token of a real Keystone', () => {
  const data = mkdtempSync(join(tmpdir(), 'fencegate-keystone-'))
  let keystone: ForeignClient
  let url = ''
  let fencer: TokenFencer

  beforeAll(async () => {
    keystone = startKeystone(data, ['fencer', 'nova-1'])
    url = `http://127.0.0.1:${await keystone.next(START_MS_MAX)}`
    fencer = make('secret')
  }, START_MS_MAX)
  afterAll(async () => {
    await keystone?.kill()
    rmSync(data, { recursive: true, force: true })
  })

  function make(password: string): TokenFencer {
    const text = readFileSync(join(import.meta.dirname, '../../../deploy/examples/sessions.yaml'), 'utf8')
    const { keystone: example } = z
      .object({ fencers: z.object({ keystone: z.record(z.string(), z.unknown()) }) })
      .parse(parse(text)).fencers
    const { driver: _id, tls: _tls, ...written } = example
    return driver.create(driver.options.parse({ ...written, url, secrets: { password } }), context)
  }

  async function login(): Promise<string> {
    const domain = { id: 'default' }
    const user = { name: 'nova-1', domain, password: 'secret' }
    const identity = { methods: ['password'], password: { user } }
    const scope = { project: { name: 'admin', domain } }
    const { status, headers } = await send(`${url}/v3/auth/tokens`, { body: { auth: { identity, scope } } })
    expect(status).toBe(201)
    return headers['x-subject-token'] ?? ''
  }

  /** What Keystone says to a call under the token. */
  const call = async (token: string) =>
    (await send(`${url}/v3/users`, { headers: { 'x-auth-token': token } })).status

  test('is revoked, once and again, and seen to be; the next one works', async () => {
    const token = await login()
    // Of the same account, and perhaps of the same second.
    const other = await login()
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(15_000) })
    expect(await fencer.verify({ token }, anAttemptNow())).toMatchObject({ state: 'not-fenced' })
    expect(await call(token)).toBe(200)
    for (const number of [1, 2]) {
      await fencer.fence({ token }, anAttemptNow({ number }))
      expect(await fencer.verify({ token }, anAttemptNow({ number }))).toMatchObject({ state: 'fenced' })
    }
    expect(await call(token)).toBe(401)
    expect(await call(other)).toBe(200)
    expect(await fencer.verify({ token: other }, anAttemptNow())).toMatchObject({ state: 'not-fenced' })
    expect(await call(await login())).toBe(200)
  }, 60_000)

  test('is not known to be revoked by a fencer that Keystone does not let in', async () => {
    const token = await login()
    const barred = make('wrong')
    await expect(barred.monitor({ ...context, signal: AbortSignal.timeout(15_000) })).rejects.toThrow('401')
    await expect(barred.fence({ token }, anAttemptNow())).rejects.toThrow('401')
    expect(await barred.verify({ token }, anAttemptNow())).toMatchObject({ state: 'unknown' })
    expect(await call(token)).toBe(200)
  }, 60_000)
})
