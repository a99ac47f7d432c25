// The same call sent again while its first copy is under way reaches the backend once, and both clients learn what became
// of it.

import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import type { Refusal } from '../../../gateway/core/verdict.ts'
import { type EchoBackend, startEchoBackend, startRawBackend } from '../../support/echo-backend.ts'
import { eventually, type TestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { closeLater, gatewayTo, kept } from './kept.ts'

async function send(gateway: TestGateway, text: string): Promise<RawClient> {
  const client = await RawClient.open(gateway.port)
  closeLater(() => {
    client.close()
    return Promise.resolve()
  })
  client.send(text)
  return client
}

interface Parts {
  readonly method?: string
  readonly target?: string
  readonly id?: string
  readonly token?: string
  readonly sender?: string
  readonly body?: string
}

function call({
  method = 'POST',
  target = '/x',
  id = 'K1',
  token = '7',
  sender = 'me',
  body = 'abc',
}: Parts = {}) {
  return (
    `${method} ${target} HTTP/1.1\r\nHost: a\r\nFencing-Token: ${token}\r\nAuthorization: ${sender}\r\n` +
    `${id === '' ? '' : `Idempotency-Key: ${id}\r\n`}Content-Length: ${body.length}\r\n\r\n${body}`
  )
}

/** A backend that answers when it is told to. */
async function slowBackend(): Promise<EchoBackend & { readonly waiting: ServerResponse[] }> {
  const waiting: ServerResponse[] = []
  const backend = kept(await startEchoBackend((_request, response) => waiting.push(response)))
  return Object.assign(backend, { waiting })
}

function joined(gateway: TestGateway): number {
  return gateway.events.filter(({ type }) => type === 'call.joined').length
}

function log(gateway: TestGateway): readonly string[] {
  return gateway.gate.entries.flatMap((entry) => entry.log)
}

describe('a call that is sent again while it is under way', () => {
  test('is sent once, and all of its clients get the same answer', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    const first = await send(gateway, call())
    await eventually(() => backend.waiting.length === 1)
    const others = [await send(gateway, call()), await send(gateway, call())]
    await eventually(() => joined(gateway) === 2)
    expect(gateway.listener.inFlight).toBe(3)
    backend.waiting[0]?.writeHead(202, { 'X-Own': 'yes', 'Content-Length': '5' })
    backend.waiting[0]?.write('he')
    backend.waiting[0]?.end('llo')
    for (const client of [first, ...others]) {
      const answer = await client.answer()
      expect([answer.status, answer.body, answer.headers['x-own']]).toEqual([202, 'hello', 'yes'])
    }
    expect(backend.seen).toHaveLength(1)
    expect(gateway.gate.asked).toHaveLength(1)
    expect(log(gateway)).toEqual(['ended'])
    expect(gateway.listener.inFlight).toBe(0)
  })

  test.each<[string, Parts]>([
    ['without a name', { id: '' }],
    ['of another name', { id: 'K2' }],
    ['with another body', { body: 'abd' }],
    ['under another token', { token: '8' }],
    ['to another target', { target: '/y' }],
    ['with another method', { method: 'PUT' }],
    ['from another sender', { sender: 'you' }],
  ])('is another call %s', async (_how, parts) => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    await send(gateway, call(parts.id === '' ? parts : {}))
    await eventually(() => backend.waiting.length === 1)
    const second = await send(gateway, call(parts))
    await eventually(() => backend.waiting.length === 2)
    for (const response of backend.waiting) response.end('done')
    expect((await second.answer()).status).toBe(200)
    expect(joined(gateway)).toBe(0)
  })

  test('is a new call once the first copy has ended', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url)
    for (let copy = 1; copy <= 3; copy++) {
      expect((await (await send(gateway, call())).answer()).status).toBe(200)
      expect(backend.seen).toHaveLength(copy)
    }
  })

  test('is not sent when the first copy’s answer is lost, and both are told that nobody knows', async () => {
    let drop: () => void = () => undefined
    let calls = 0
    const backend = kept(
      await startRawBackend((socket, received) => {
        if (!received.endsWith('abc')) return
        calls++
        drop = () => socket.destroy()
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const first = await send(gateway, call())
    await eventually(() => calls === 1)
    const second = await send(gateway, call())
    await eventually(() => joined(gateway) === 1)
    drop()
    for (const client of [first, second]) {
      const answer = await client.answer()
      expect([answer.status, answer.headers['fencing-verdict']]).toEqual([502, 'backend-down'])
      expect(answer.body).toContain('may or may not have happened')
    }
    expect(calls).toBe(1)
    expect(log(gateway)).toHaveLength(1)
  })

  test('is sent once, too, where the first client has hung up: the second gets the answer', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    const first = await send(gateway, call())
    await eventually(() => backend.waiting.length === 1)
    first.close()
    await first.ended()
    const second = await send(gateway, call())
    await eventually(() => joined(gateway) === 1)
    backend.waiting[0]?.end('done')
    expect((await second.answer()).body).toBe('done')
    expect(backend.seen).toHaveLength(1)
    expect(log(gateway)).toEqual(['ended'])
  })

  test('begins anew, once, where the first client hung up before anything was sent', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url, { waitMs: 5_000 })
    const answers: ((answer: Refusal | 'admit') => void)[] = []
    gateway.gate.decide = () => new Promise((resolve) => answers.push(resolve))
    const first = await send(gateway, call())
    await eventually(() => answers.length === 1)
    const others = [await send(gateway, call()), await send(gateway, call())]
    await eventually(() => joined(gateway) === 2)
    first.close()
    await eventually(() => answers.length === 2)
    answers[0]?.({ code: 'handover', detail: 'gone' })
    answers[1]?.('admit')
    await eventually(() => backend.waiting.length === 1)
    backend.waiting[0]?.end('done')
    for (const client of others) expect((await client.answer()).body).toBe('done')
    expect([backend.seen.length, gateway.gate.asked.length]).toEqual([1, 2])
  })

  test('is refused with the first copy, without waiting on its own', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url, { waitMs: 5_000 })
    let answer: (answer: Refusal) => void = () => undefined
    gateway.gate.decide = () => new Promise((resolve) => (answer = resolve))
    const first = await send(gateway, call())
    await eventually(() => gateway.gate.asked.length === 1)
    const second = await send(gateway, call())
    await eventually(() => joined(gateway) === 1)
    answer({ code: 'handover', detail: 'not open yet' })
    for (const client of [first, second])
      expect((await client.answer()).headers['fencing-verdict']).toBe('handover')
    expect([backend.seen.length, gateway.gate.asked.length]).toEqual([0, 1])
  })

  test('waits with fifteen others at most', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    await send(gateway, call())
    await eventually(() => backend.waiting.length === 1)
    const copies: RawClient[] = []
    for (let copy = 0; copy < 16; copy++) copies.push(await send(gateway, call()))
    await eventually(() => joined(gateway) === 16)
    const refused = await (await send(gateway, call())).answer()
    expect([refused.status, refused.headers['fencing-verdict']]).toEqual([503, 'backend-down'])
    copies[0]?.close()
    await eventually(() => gateway.listener.inFlight === 16)
    const late = await send(gateway, call())
    await eventually(() => joined(gateway) === 17)
    backend.waiting[0]?.end('done')
    for (const client of [...copies.slice(1), late]) expect((await client.answer()).body).toBe('done')
    expect(backend.seen).toHaveLength(1)
  })

  test('is told the status where the answer is too large to be kept, which the first client gets whole', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    const first = await send(gateway, call())
    await eventually(() => backend.waiting.length === 1)
    const second = await send(gateway, call())
    await eventually(() => joined(gateway) === 1)
    backend.waiting[0]?.writeHead(201, { 'Content-Length': '300000' })
    backend.waiting[0]?.end('x'.repeat(300_000))
    expect((await first.answer()).body).toHaveLength(300_000)
    const answer = await second.answer()
    expect(answer.status).toBe(502)
    expect(answer.body).toContain('answered with status 201')
  })

  test('is told that it may have happened where the gateway stops in the meantime', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    await send(gateway, call())
    await eventually(() => backend.waiting.length === 1)
    const second = await send(gateway, call())
    await eventually(() => joined(gateway) === 1)
    void gateway.listener.close()
    const answer = await second.answer()
    expect(answer.status).toBe(502)
    expect(answer.body).toContain('may or may not have happened')
    expect(backend.seen).toHaveLength(1)
  })
})

describe('nothing is joined', () => {
  test('of calls that change nothing', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    await send(gateway, call({ method: 'GET', body: '' }))
    await eventually(() => backend.waiting.length === 1)
    await send(gateway, call({ method: 'GET', body: '' }))
    await eventually(() => backend.waiting.length === 2)
  })

  test('of bodies that are streamed, which nobody can compare', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url)
    const large = 'x'.repeat(100_000)
    await send(gateway, call({ body: large }))
    await eventually(() => backend.waiting.length === 1)
    await send(gateway, call({ body: large }))
    await eventually(() => backend.waiting.length === 2)
  })

  test('in shadow mode, nor where the configuration names no field', async () => {
    const backend = await slowBackend()
    for (const options of [{ enforce: false }, { callIds: [] }]) {
      backend.waiting.length = 0
      const gateway = await gatewayTo(backend.url, {}, options)
      await send(gateway, call())
      await eventually(() => backend.waiting.length === 1)
      await send(gateway, call())
      await eventually(() => backend.waiting.length === 2)
    }
  })

  test('of the field of another configuration', async () => {
    const backend = await slowBackend()
    const gateway = await gatewayTo(backend.url, {}, { callIds: ['x-call'] })
    const named = call().replace('Idempotency-Key', 'X-Call')
    await send(gateway, named)
    await eventually(() => backend.waiting.length === 1)
    await send(gateway, named)
    await eventually(() => joined(gateway) === 1)
    await send(gateway, call())
    await eventually(() => backend.waiting.length === 2)
  })
})
