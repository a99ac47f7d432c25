// Callers who send no token: what is asked of the gate for them, and how the answer to their login waits for the book.

import { afterEach, describe, expect, test } from 'vitest'
import type { CallerWay } from '../../../gateway/core/caller.ts'
import { asLeaseId, type SessionId } from '../../../gateway/core/names.ts'
import type { Refusal } from '../../../gateway/core/verdict.ts'
import type { CallerBook, CallerClaims, CallerFinding, OpenedLogin } from '../../../gateway/spi/callers.ts'
import type { CallHead, Classification, LoginAnswer } from '../../../gateway/spi/policy.ts'
import { type Answerer, type EchoBackend, startEchoBackend } from '../../support/echo-backend.ts'
import { eventually, startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'

let backend: EchoBackend | null = null
let gateway: TestGateway | null = null
let client: RawClient | null = null

afterEach(async () => {
  client?.close()
  await gateway?.listener.close()
  await backend?.close()
})

const SESSION = asLeaseId('abc') as SessionId

class FakeBook implements CallerBook {
  readonly learnt: (OpenedLogin & { session: SessionId })[] = []
  readonly asked: CallerClaims[] = []
  readonly forgotten: CallerClaims[] = []
  finding: CallerFinding = { kind: 'known', session: SESSION }
  refusal: Refusal | null = null
  written: Promise<void> = Promise.resolve()

  find(caller: CallerClaims): CallerFinding {
    this.asked.push(caller)
    return this.finding
  }
  findCurrent(caller: CallerClaims): Promise<CallerFinding> {
    return Promise.resolve(this.find(caller))
  }
  async learn(session: SessionId, _realm: string, opened: OpenedLogin): Promise<Refusal | null> {
    this.learnt.push({ session, ...opened })
    await this.written
    return this.refusal
  }
  forget(caller: CallerClaims): Promise<void> {
    this.forgotten.push(caller)
    return Promise.resolve()
  }
}

const ANSWER: LoginAnswer = {
  appliesTo: (status) => status === 201,
  bodyBytesMax: 65_536,
  read: (fields, body) =>
    body.toString().includes('unreadable')
      ? { kind: 'unreadable', reason: 'it says so' }
      : {
          kind: 'opened',
          opened: { sessions: fields.all('x-session'), collect: { keys: body.toString() }, note: {} },
        },
}

function classify(head: CallHead): Classification | null {
  const base = { kind: 'call', waitMs: 0, locks: [], job: null, target: head.target } as const
  const cookie = head.header('cookie')
  const claims = cookie === undefined ? [] : [{ by: 'session', value: cookie } as const]
  if (head.target === '/login')
    return {
      ...base,
      effect: 'session',
      rule: 'login',
      claims,
      login: { name: 'nova', strict: false, answer: ANSWER },
    }
  if (head.target === '/logout') return { ...base, effect: 'session', rule: 'logout', claims, logout: true }
  return null
}

const ALL: readonly CallerWay[] = ['header', 'listener', 'login', 'session', 'address', 'certificate']

async function start(
  answer?: Answerer,
  ways: readonly CallerWay[] = ALL,
  enforce = true,
): Promise<{ backend: EchoBackend; gateway: TestGateway; client: RawClient; book: FakeBook }> {
  const book = new FakeBook()
  backend = await startEchoBackend(answer)
  gateway = await startTestGateway(
    backend.url,
    { classify },
    { enforce, callers: { book, realm: 'vc', ways: new Set(ways), implicit: true, listener: 'nova-1' } },
  )
  client = await RawClient.open(gateway.port)
  return { backend, gateway, client, book }
}

const post = (target: string, fields = '') =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${fields}Content-Length: 3\r\n\r\nabc`

const opened: Answerer = (_request, response) => {
  response.writeHead(201, { 'x-session': 's-1', 'content-type': 'text/plain' })
  response.end('key-1')
}
/** In chunks, piece by piece. */
const openedSlowly: Answerer = (_request, response) => {
  response.writeHead(201, { 'x-session': 's-1' })
  response.write('key')
  setImmediate(() => response.end('-1'))
}

describe('a call that changes something', () => {
  test('is brought to the gate with all that it and its connection bear', async () => {
    const { gateway, client } = await start()
    client.send(post('/change', 'Fencing-Session: abc\r\nCookie: c=1\r\n'))
    await client.answer()
    expect(gateway.gate.asked[0]?.caller).toEqual({
      realm: 'vc',
      implicit: true,
      claims: [
        { by: 'header', value: 'abc' },
        { by: 'listener', value: 'nova-1' },
        { by: 'address', value: '127.0.0.1' },
      ],
    })
  })

  test('bears nothing in ways that the backend was not told to know its callers by', async () => {
    const { gateway, client } = await start(undefined, ['session'])
    client.send(post('/change', 'Fencing-Session: abc\r\n'))
    await client.answer()
    expect(gateway.gate.asked[0]?.caller?.claims).toEqual([])
  })
})

describe('the answer to a login of a known holder', () => {
  test.each([
    ['at once', opened],
    ['in chunks', openedSlowly],
  ])('that comes %s waits until the session that it opened is written down', async (_, answer) => {
    const { client, book } = await start(answer)
    const written = Promise.withResolvers<void>()
    book.written = written.promise
    client.send(post('/login', 'Accept-Encoding: gzip\r\n'))
    await eventually(() => book.learnt.length === 1)
    expect(book.learnt).toEqual([
      { session: SESSION, sessions: ['s-1'], collect: { keys: 'key-1' }, note: {} },
    ])
    expect(book.asked[0]).toMatchObject({ opening: true })
    expect(book.asked[0]?.claims).toContainEqual({ by: 'login', value: 'nova' })
    expect(client.received).toBe('')
    written.resolve()
    const told = await client.answer()
    expect([told.status, told.headers['x-session'], told.body]).toEqual([201, 's-1', 'key-1'])
    client.send(post('/change'))
    expect((await client.answer()).status).toBe(201)
    // It has to be read here.
    expect(backend?.seen[0]?.headers['accept-encoding']).toBeUndefined()
  })

  test.each([
    ['cannot be written down', 's', { code: 'view-not-current', detail: 'no store' } as const, 503],
    ['cannot be read', 'unreadable', null, 502],
  ])('that %s is not passed on', async (_, body, refusal, status) => {
    const { client, book } = await start((_request, response) => {
      response.writeHead(201, { 'x-session': 'secret-1' })
      response.end(body)
    })
    book.refusal = refusal
    client.send(post('/login'))
    const told = await client.answer()
    expect(told.status).toBe(status)
    expect(client.received).not.toContain('secret-1')
  })

  test('is passed on in shadow mode, whatever the book says', async () => {
    const { client, book, gateway } = await start(opened, ALL, false)
    book.refusal = { code: 'view-not-current', detail: 'no store' }
    client.send(post('/login'))
    expect((await client.answer()).status).toBe(201)
    expect(gateway.events.map(({ type }) => type)).toContain('call.shadowed')
  })

  test('names the session on which it was sent, where it opens no other', async () => {
    const { client, book } = await start((_request, response) => response.writeHead(201).end('k'))
    client.send(post('/login', 'Cookie: old\r\n'))
    await client.answer()
    expect(book.learnt[0]?.sessions).toEqual(['old'])
  })

  test('that was refused by the backend teaches nothing', async () => {
    const { client, book } = await start((_request, response) => response.writeHead(401).end('no'))
    client.send(post('/login'))
    expect((await client.answer()).status).toBe(401)
    expect(book.learnt).toEqual([])
  })

  test('leaves nothing behind where its client has gone meanwhile', async () => {
    const { client, book, gateway } = await start(opened)
    const written = Promise.withResolvers<void>()
    book.written = written.promise
    client.send(post('/login'))
    await eventually(() => book.learnt.length === 1)
    client.close()
    await eventually(() => client.closed)
    written.resolve()
    await eventually(() => gateway.listener.inFlight === 0)
  })
})

describe('a login', () => {
  test('of a stranger goes through, and teaches nothing', async () => {
    const { client, book } = await start(opened)
    book.finding = { kind: 'unknown' }
    client.send(post('/login'))
    expect((await client.answer()).status).toBe(201)
    expect(book.learnt).toEqual([])
  })

  test('that two holders could have sent never reaches the backend', async () => {
    const { backend, client, book } = await start(opened)
    book.finding = { kind: 'conflict', refusal: { code: 'caller-conflict', detail: 'two' } }
    client.send(post('/login'))
    expect((await client.answer()).headers['fencing-verdict']).toBe('caller-conflict')
    expect(backend.seen).toEqual([])
  })
})

describe('a logout', () => {
  test.each([
    [200, 1],
    [500, 0],
  ])('that is answered %i is forgotten %i times', async (status, times) => {
    const { client, book } = await start((_request, response) => response.writeHead(status).end())
    client.send(post('/logout', 'Cookie: c\r\n'))
    await client.answer()
    expect(book.forgotten.length).toBe(times)
    if (times > 0) expect(book.forgotten[0]?.claims).toContainEqual({ by: 'session', value: 'c' })
  })
})
