// Nothing of a body goes out once the gateway may be taken for gone: neither what comes in then, nor what lay here before.

import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { LeaseOver } from '../../../gateway/proxy/call-faults.ts'
import { ForwardedBody } from '../../../gateway/proxy/forwarded-body.ts'

function start() {
  const request = new IncomingMessage(new Socket())
  const state = { stands: true }
  const body = new ForwardedBody(request, [], {
    onProgress: () => undefined,
    bytesMax: 0,
    mayGoOn: () => state.stands,
  })
  const out: string[] = []
  const errors: Error[] = []
  body.on('error', (error) => errors.push(error))
  return {
    request,
    state,
    body,
    out,
    errors,
    consume: () => body.on('data', (piece) => out.push(`${piece}`)),
  }
}

const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

test('a piece that comes after the end of the lease does not go out', async () => {
  const { request, state, out, errors, consume } = start()
  consume()
  request.push('first')
  await tick()
  state.stands = false
  request.push('second')
  await tick()
  expect(out).toEqual(['first'])
  expect(errors[0]).toBeInstanceOf(LeaseOver)
})

test('a piece that came before the end of the lease and is asked for after it does not go out', async () => {
  const { request, state, out, errors, consume } = start()
  request.push('first')
  await tick()
  state.stands = false
  consume()
  await tick()
  expect(out).toEqual([])
  expect(errors[0]).toBeInstanceOf(LeaseOver)
})

test('the end of the lease is nothing to a body that is through', async () => {
  const { request, state, out, errors, body, consume } = start()
  consume()
  request.push('all')
  request.push(null)
  await new Promise<void>((resolve) => body.once('end', () => resolve()))
  state.stands = false
  expect([out, errors, body.complete]).toEqual([['all'], [], true])
})
