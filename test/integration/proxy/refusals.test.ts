// What a client hears from the gateway itself, and what shadow mode lets through.

import { afterEach, describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend } from '../../support/echo-backend.ts'
import { eventually, startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { testOfHttp1 } from './kept.ts'

let backend: EchoBackend | null = null
let gateway: TestGateway | null = null
let client: RawClient | null = null

afterEach(async () => {
  client?.close()
  await gateway?.listener.close()
  await backend?.close()
})

async function start(
  ...args: [Parameters<typeof startTestGateway>[1]?, Parameters<typeof startTestGateway>[2]?]
) {
  backend = await startEchoBackend()
  gateway = await startTestGateway(backend.url, ...args)
  client = await RawClient.open(gateway.port)
  return { backend, gateway, client }
}

const change = (target: string, token: string | null) =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${token === null ? '' : `Fencing-Token: ${token}\r\n`}Content-Length: 3\r\n\r\nabc`

const HANDOVER = {
  code: 'handover',
  detail: 'the drain waits for 2 calls',
  lock: 'cinder/volume/5aa1',
  token: '812',
  owner: { token: '790', holder: 'node <b>', since: '2026-01-02T03:04:05Z' },
} as const

describe('a refusal', () => {
  test('names lock, token, owner and time, tells when to retry, and keeps the connection', async () => {
    const { backend, gateway, client } = await start()
    gateway.gate.decide = () => HANDOVER
    for (let i = 0; i < 2; i++) {
      client.send(change('/x', '812'))
      const answer = await client.answer()
      expect(answer.status).toBe(503)
      expect(answer.headers).toMatchObject({
        'fencing-verdict': 'handover',
        'retry-after': '1',
        'content-type': 'application/problem+json',
      })
      expect(JSON.parse(answer.body)).toMatchObject({
        status: 503,
        verdict: 'handover',
        lock: 'cinder/volume/5aa1',
        token: '812',
        owner: { token: '790', holder: 'node <b>' },
        since: '2026-01-02T03:04:05Z',
      })
    }
    expect(backend.seen).toEqual([])
    expect(gateway.events).toContainEqual(
      expect.objectContaining({ type: 'call.refused', backend: 'test', verdict: 'handover', token: '812' }),
    )
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('keeps the connection of a call without a body too, whichever way the call takes', async () => {
    const { client } = await start()
    for (let i = 0; i < 2; i++) {
      client.send('GET /denied HTTP/1.1\r\nHost: a\r\n\r\n')
      const answer = await client.answer()
      expect(answer.status).toBe(403)
      expect(answer.headers['connection'] ?? 'keep-alive').toBe('keep-alive')
    }
  })

  test('is an error object towards OpenStack clients', async () => {
    const { gateway, client } = await start({ dialect: 'openstack' })
    gateway.gate.decide = () => HANDOVER
    client.send(change('/x', '812'))
    const answer = await client.answer()
    expect(answer.status).toBe(503)
    const body = JSON.parse(answer.body)
    expect(Object.keys(body)).toEqual(['error', 'error_message'])
    expect(body.error.code).toBe(503)
    expect(body.error_message).toBe(body.error.message)
    expect(body.error.message).toMatch(/cinder\/volume\/5aa1.*812.*node <b>.*790.*2026-01-02/)
  })

  test('is a NoPermission fault towards vSphere clients, on a kept connection', async () => {
    const { gateway, client } = await start({ dialect: 'soap' })
    gateway.gate.decide = () => HANDOVER
    client.send(change('/sdk', '812'))
    const answer = await client.answer()
    expect(answer.status).toBe(500)
    expect(answer.headers['content-type']).toContain('text/xml')
    expect(answer.headers['fencing-verdict']).toBe('handover')
    expect(answer.body).toContain('xsi:type="NoPermission"')
    expect(answer.body).toContain('node &lt;b&gt;')
    expect(answer.body).not.toContain('NotAuthenticated')
    client.send(change('/sdk', '812'))
    expect((await client.answer()).status).toBe(500)
  })

  test.each([
    ['/denied', '7', 403, 'denied'],
    ['/x', 'abc', 400, 'bad-token'],
    ['/x', '9007199254740992', 400, 'bad-token'],
  ])('of %s with token %s is %i %s', async (target, token, status, verdict) => {
    const { backend, gateway, client } = await start()
    client.send(change(target, token))
    const answer = await client.answer()
    expect([answer.status, answer.headers['fencing-verdict']]).toEqual([status, verdict])
    expect(gateway.gate.asked).toEqual([])
    expect(backend.connections).toBe(0)
  })

  testOfHttp1(
    'reaches a client that sends on before it reads, and only then the connection is closed',
    async () => {
      const { gateway, client } = await start()
      gateway.gate.decide = () => HANDOVER
      client.socket.pause()
      const part = 'a'.repeat(300_000)
      client.send(`POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 1\r\nContent-Length: 3000000\r\n\r\n${part}`)
      await eventually(() => gateway.events.length === 1)
      for (let i = 0; i < 2; i++) {
        await new Promise<void>((resolve) => client.socket.write(part, () => resolve()))
        await new Promise<void>((resolve) => setTimeout(resolve, 20))
      }
      expect(client.closed).toBe(false)
      client.socket.resume()
      const answer = await client.answer()
      expect([answer.status, answer.headers['connection']]).toEqual([503, 'close'])
      await client.ended()
    },
  )

  test('meets what comes above the limit of calls in flight', async () => {
    const { gateway, client } = await start({}, { limits: { inFlightMax: 0 } })
    client.send(change('/x', '1'))
    const answer = await client.answer()
    expect([answer.status, answer.headers['fencing-verdict']]).toEqual([503, 'backend-down'])
    expect(gateway.gate.asked).toEqual([])
  })

  test('is what the gate gets to hear nothing of where the call is a read or a session call', async () => {
    const { backend, gateway, client } = await start()
    client.send('GET /x HTTP/1.1\r\nHost: a\r\nFencing-Token: nonsense\r\n\r\n')
    expect((await client.answer()).status).toBe(200)
    client.send(change('/session', null))
    expect((await client.answer()).status).toBe(200)
    expect(gateway.gate.asked).toEqual([])
    expect(backend.seen.flatMap((request) => request.rawHeaders)).not.toContain('Fencing-Token')
  })
})

describe('shadow mode', () => {
  const shadow = { enforce: false } as const

  test.each([
    ['a refused token', change('/x', '812'), 'handover'],
    ['a denied call', change('/denied', null), 'denied'],
    ['a malformed token', change('/x', 'abc'), 'bad-token'],
  ])('reports %s and lets it through without our fields', async (_name, request, verdict) => {
    const { backend, gateway, client } = await start({ waitMs: 9_000 }, shadow)
    gateway.gate.decide = () => HANDOVER
    client.send(request)
    expect((await client.answer()).status).toBe(200)
    expect(gateway.events).toEqual([expect.objectContaining({ type: 'call.shadowed', verdict })])
    expect(gateway.gate.asked.every((asked) => asked.waitMs === 0)).toBe(true)
    expect(backend.seen[0]?.body).toBe('abc')
    expect(backend.seen[0]?.headers['fencing-token']).toBeUndefined()
  })

  test('keeps the ledger for what would be admitted', async () => {
    const { gateway, client } = await start({}, shadow)
    client.send(change('/x', '812'))
    expect((await client.answer()).status).toBe(200)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    expect(gateway.events).toEqual([])
  })

  test('lets a body through whole that is too large for the check', async () => {
    const { backend, gateway, client } = await start({ bodyBytes: 6 }, shadow)
    client.send(
      'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n4\r\nefgh\r\n2\r\nij\r\n0\r\n\r\n',
    )
    expect((await client.answer()).status).toBe(200)
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789')
    expect((await client.answer()).status).toBe(200)
    expect(backend.seen.map((request) => request.body)).toEqual(['abcdefghij', '0123456789'])
    expect(gateway.events.map((event) => event.verdict)).toEqual(['too-large', 'too-large'])
  })

  test('lets a call through that the last check would stop, and takes it out of the ledger', async () => {
    const { gateway, client } = await start({}, shadow)
    gateway.gate.onEntry = (entry) => {
      entry.refusal = { code: 'stale-token', detail: 'late' }
    }
    client.send(change('/x', '812'))
    expect((await client.answer()).status).toBe(200)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    expect(gateway.events).toEqual([
      expect.objectContaining({ type: 'call.shadowed', verdict: 'stale-token' }),
    ])
  })

  testOfHttp1('still refuses malformed framing', async () => {
    const { backend, client } = await start({}, shadow)
    client.send('GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await client.answer()).status).toBe(400)
    expect(backend.seen).toEqual([])
  })
})
