// gRPC over a connection of our own, against a server of HTTP/2 that answers as it is told.

import {
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { LookupFunction } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { callHandle } from '../../../gateway/store/etcd/grpc-call.ts'
import { GrpcConnection } from '../../../gateway/store/etcd/grpc-connection.ts'
import { framed, GrpcMessages } from '../../../gateway/store/etcd/grpc-messages.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { selfSigned } from '../../support/certificates.ts'
import fc from '../../support/fast-check.ts'

const HEADERS = { ':status': 200, 'content-type': 'application/grpc' } as const

describe('messages on a stream', () => {
  it('come out as they went in, in whatever pieces they arrive', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (messages, sizes) => {
          const bytes = Buffer.concat(messages.map((message) => framed(Buffer.from(message))))
          const reader = new GrpcMessages()
          const got: Buffer[] = []
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1
            reader.push(bytes.subarray(at, at + size))
            at += size
            for (let next = reader.next(); next !== null; next = reader.next()) got.push(next)
          }
          expect(got.map((each) => [...each])).toEqual(messages.map((each) => [...each]))
        },
      ),
    )
  })

  it('are refused where they are compressed, or larger than any of etcd', () => {
    for (const head of [
      [1, 0, 0, 0, 0],
      [0, 0xff, 0xff, 0xff, 0xff],
    ]) {
      const reader = new GrpcMessages()
      reader.push(Buffer.from(head))
      expect(() => reader.next()).toThrow(/a message (that is compressed|of 4294967295 bytes)/)
    }
  })
})

describe('a connection', () => {
  let server: Http2Server
  let connection: GrpcConnection
  let url: string
  let answer: (stream: ServerHttp2Stream) => void
  const sessions = new Set<ServerHttp2Session>()
  let accepted = 0

  beforeEach(async () => {
    server = createServer()
    accepted = 0
    server.on('session', (session) => {
      accepted++
      sessions.add(session)
      session.on('close', () => sessions.delete(session))
    })
    server.on('stream', (stream) => {
      stream.resume()
      stream.on('error', () => undefined)
      answer(stream)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    url = `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`
    connection = new GrpcConnection({ url, tls: () => ({}), pingMs: 10_000, clock: systemClock })
  })
  afterEach(async () => {
    connection.close()
    for (const session of sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
  })

  const ask = (handle = callHandle(null)) => handle.ask(connection, '/a.B/C', Buffer.from('question'))

  const answerWith =
    (pieces: readonly Buffer[], trailers: Readonly<Record<string, string>>) =>
    (stream: ServerHttp2Stream) => {
      stream.on('wantTrailers', () => stream.sendTrailers(trailers))
      stream.respond(HEADERS, { waitForTrailers: true })
      for (const piece of pieces) stream.write(piece)
      stream.end()
    }

  it('gives the answer, however it was cut, and makes one connection for all calls', async () => {
    const frame = framed(Buffer.from('answer'))
    answer = answerWith([frame.subarray(0, 3), frame.subarray(3, 7), frame.subarray(7)], {
      'grpc-status': '0',
    })
    for (let i = 0; i < 3; i++) expect((await ask()).toString()).toBe('answer')
    expect(accepted).toBe(1)
  })

  it('carries more calls at once than the hundred that Node thinks a peer can take', async () => {
    const waiting: ServerHttp2Stream[] = []
    answer = (stream) => waiting.push(stream)
    const asked = Array.from({ length: 250 }, () => ask())
    await expect.poll(() => waiting.length).toBe(asked.length)
    for (const stream of waiting) answerWith([framed(Buffer.from('x'))], { 'grpc-status': '0' })(stream)
    expect(await Promise.all(asked)).toHaveLength(asked.length)
  })

  it('says in the server’s words why it was refused, with an answer begun or without one', async () => {
    const said = { 'grpc-status': '14', 'grpc-message': 'etcdserver: no leader %28yet%29' }
    for (const refusal of [
      answerWith([], said),
      answerWith([framed(Buffer.from('x'))], said),
      (stream: ServerHttp2Stream) => stream.respond({ ...HEADERS, ...said }, { endStream: true }),
    ]) {
      answer = refusal
      await expect(ask()).rejects.toThrow('etcdserver: no leader (yet)')
    }
  })

  it('takes nothing for an answer that lacks its status, its message or its end', async () => {
    for (const [how, words] of [
      [answerWith([], { 'grpc-status': '0' }), /not answered/],
      [answerWith([framed(Buffer.from('answer'))], {}), /has ended/],
      [(stream: ServerHttp2Stream) => stream.respond({ ':status': 502 }, { endStream: true }), /HTTP 502/],
      [(stream: ServerHttp2Stream) => stream.close(2), /INTERNAL_ERROR/],
      [
        (stream: ServerHttp2Stream) => {
          stream.respond(HEADERS)
          stream.write(framed(Buffer.from('answer')))
          setImmediate(() => stream.session?.destroy())
        },
        /ended|reset|closed|hang up/i,
      ],
    ] as const) {
      answer = how
      await expect(ask()).rejects.toThrow(words)
    }
  })

  it('that was left for a new one lets calls under way come to their own end', async () => {
    let first: ServerHttp2Stream | null = null
    answer = (stream) => {
      first = stream
    }
    const slow = ask()
    await expect.poll(() => first).not.toBeNull()
    connection.renew()
    answer = answerWith([framed(Buffer.from('new'))], { 'grpc-status': '0' })
    expect((await ask()).toString()).toBe('new')
    expect(sessions.size).toBe(2)
    if (first !== null) answerWith([framed(Buffer.from('old'))], { 'grpc-status': '0' })(first)
    expect((await slow).toString()).toBe('old')
    await expect.poll(() => sessions.size).toBe(1)
  })

  it('that is being made sends nothing of a call that was taken back', async () => {
    const pair = selfSigned('/CN=localhost')
    const secure = createSecureServer({ ...pair })
    const paths: unknown[] = []
    const answerIt = answerWith([framed(Buffer.from('x'))], { 'grpc-status': '0' })
    secure.on('stream', (stream, headers) => {
      paths.push(headers[':path'])
      stream.resume()
      answerIt(stream)
    })
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
    const address = secure.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const found = Promise.withResolvers<void>()
    const lookup: LookupFunction = (_host, _options, done) =>
      void found.promise.then(() => done(null, [{ address: '127.0.0.1', family: 4 }]))
    const made = new GrpcConnection({
      url: `https://localhost:${port}`,
      tls: () => ({ lookup, rejectUnauthorized: false }),
      pingMs: 10_000,
      clock: systemClock,
    })
    const early = callHandle(null)
    early.ask(made, '/a.B/Early', Buffer.from('a change')).catch(() => undefined)
    early.cancel()
    const late = callHandle(null).ask(made, '/a.B/Late', Buffer.alloc(0))
    found.resolve()
    expect(String(await late)).toBe('x')
    expect(paths).toEqual(['/a.B/Late'])
    made.close()
    await new Promise((resolve) => secure.close(resolve))
  })

  it('that is given up at any moment of its making ends nothing but itself', async () => {
    answer = () => undefined
    for (let turns = 0; turns < 30; turns++) {
      const given = new GrpcConnection({ url, tls: () => ({}), pingMs: 10_000, clock: systemClock })
      const call = given.open('/a.B/C', {}, { message: () => undefined, over: () => undefined })
      for (let turn = 0; turn < turns % 10; turn++) await new Promise(setImmediate)
      call.cancel()
      given.close()
    }
    await expect.poll(() => sessions.size).toBe(0)
  })

  it('that has carried all the calls that it can is made anew, and lets the last of them come to its end', async () => {
    const limited = new GrpcConnection({
      url,
      tls: () => ({}),
      pingMs: 10_000,
      clock: systemClock,
      callsMax: 2,
    })
    answer = answerWith([framed(Buffer.from('x'))], { 'grpc-status': '0' })
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => callHandle(null).ask(limited, '/a.B/C', Buffer.alloc(0))),
    )
    expect(answers.map(String)).toEqual(['x', 'x', 'x', 'x', 'x'])
    expect(accepted).toBe(3)
    limited.close()
    await expect.poll(() => sessions.size).toBe(0)
  })

  it('that the server has closed is made anew for the next call', async () => {
    answer = answerWith([framed(Buffer.from('x'))], { 'grpc-status': '0' })
    await ask()
    for (const session of sessions) session.goaway()
    await expect.poll(() => ask().then(() => accepted)).toBe(2)
  })

  it('that cannot be made fails at once, and is not tried again and again', async () => {
    let nowMs = 0
    const clock = { ...systemClock, monotonicMs: () => nowMs }
    const nowhere = new GrpcConnection({ url: 'http://127.0.0.1:1', tls: () => ({}), pingMs: 10_000, clock })
    const failure = () =>
      callHandle(null)
        .ask(nowhere, '/a.B/C', Buffer.alloc(0))
        .then(String, (error: unknown) => error)
    const first = await failure()
    expect(first).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') })
    const again = await failure()
    expect(await failure()).toBe(again)
    nowMs = 150
    expect(await failure()).not.toBe(again)
    nowhere.close()
    expect(await failure()).toMatchObject({ message: 'the connection is closed' })
  })

  it('hears nothing more of a call that was taken back', async () => {
    const opened: ServerHttp2Stream[] = []
    answer = (stream) => opened.push(stream)
    const heard: unknown[] = []
    const listener = { message: () => heard.push('message'), over: () => heard.push('over') }
    const call = connection.open('/a.B/C', {}, listener)
    await expect.poll(() => opened.length).toBe(1)
    call.cancel()
    await expect.poll(() => opened[0]?.closed).toBe(true)
    expect(heard).toEqual([])
  })
})
