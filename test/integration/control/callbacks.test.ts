// The route on which a fencer's service calls back: open to whoever can sign, and to nobody else.

import { expect, test } from 'vitest'
import type { ControlOptions } from '../../../gateway/control/index.ts'
import { GatewayError } from '../../../gateway/core/errors.ts'
import { start } from './start.ts'

type Delivery = Parameters<NonNullable<ControlOptions['takeCallback']>>[0]
const BODY = '{"fence":"a1",  "ticket":"1.00","state":"fenced"}'

test('gives what came to the driver byte for byte, and asks for no credentials', async () => {
  const seen: Delivery[] = []
  const { call } = await start({
    credentials: [{ token: 'a token of an operator', role: 'operator', holder: null }],
    takeCallback(delivery) {
      seen.push(delivery)
      return Promise.resolve('taken')
    },
  })
  const path = '/v1/fences/a1/callback/my%20service'
  const answer = await call('POST', path, BODY, { 'Fencegate-Signature': 'v1=00' })
  expect([answer.status, answer.body]).toEqual([200, { result: 'taken' }])
  expect(seen).toMatchObject([{ fencer: 'my service', fenceId: 'a1', text: BODY }])
  expect(seen[0]?.header('fencegate-signature')).toBe('v1=00')
  expect(seen[0]?.header('fencegate-timestamp')).toBeUndefined()
  expect((await call('POST', '/v1/fences/a1/confirm', { by: 'x', reason: 'y' })).status).toBe(401)
})

test('says what is wrong without saying what there is', async () => {
  const { call } = await start({
    takeCallback: () => Promise.reject(new GatewayError('unauthorized', 'not signed by that service')),
  })
  const refused = await call('POST', '/v1/fences/a1/callback/service', BODY)
  expect([refused.status, refused.body.type]).toEqual([401, 'urn:fencegate:error:unauthorized'])
  expect((await call('POST', '/v1/fences/a1/callback/service', '{"fence":"a1"}')).status).toBe(400)
  expect((await call('POST', '/v1/fences/a1/callback/service', '[')).status).toBe(400)
  const huge = JSON.stringify({
    fence: 'a1',
    ticket: '1.00',
    state: 'fenced',
    evidence: 'x'.repeat(20_000),
  })
  expect((await call('POST', '/v1/fences/a1/callback/service', huge)).status).toBe(413)
  const { call: without } = await start()
  expect((await without('POST', '/v1/fences/a1/callback/service', BODY)).status).toBe(401)
})
