// A member, or something in front of it, whose answers nobody can read, or nobody takes.

import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asLeaseId, type Revision } from '../../../gateway/core/names.ts'
import { type Store, StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { ProtobufReader, ProtobufWriter } from '../../../gateway/store/etcd/protobuf.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'

/** One answer of gRPC's: not compressed, its length, itself. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** A field that ends in the middle. */
const GARBAGE = Buffer.from([0x0a, 0x7f, 0x01])

/** The head of one that is larger than any that is taken. */
const TOO_LARGE = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff])

let server: Http2Server
let store: Store
/** Of the reads: how many keys they asked for. */
let limits: number[]
/** What a read of so many keys comes to. */
let rangeAnswerOf: (limit: number) => Buffer
/** What other calls come to, but for a question after the member's state. */
let otherAnswer: Buffer

function limitIn(request: Buffer): number {
  const reader = new ProtobufReader(request.subarray(5))
  for (let field = reader.field(); field !== 0; field = reader.field())
    if (field === 3) return reader.number()
    else reader.passOver()
  return 0
}

beforeEach(async () => {
  limits = []
  rangeAnswerOf = () => framed(GARBAGE)
  otherAnswer = GARBAGE
  server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined)
    const isStatus = headers[':path'] === '/etcdserverpb.Maintenance/Status'
    const isWatch = headers[':path'] === '/etcdserverpb.Watch/Watch'
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      isWatch ? {} : { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    if (isWatch) stream.write(framed(GARBAGE))
    else if (isStatus) stream.end(framed(Buffer.alloc(0)))
    else if (headers[':path'] !== '/etcdserverpb.KV/Range') stream.end(framed(otherAnswer))
    else
      stream.once('data', (request: Buffer) => {
        limits.push(limitIn(request))
        stream.end(rangeAnswerOf(limits.at(-1) ?? 0))
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  store = openEtcdStore({ endpoints: [`http://127.0.0.1:${address.port}`], clock: systemClock })
})

afterEach(async () => {
  await store.close()
  await new Promise<void>((resolve) => server.close(() => resolve()))
})

describe('an answer that cannot be read', () => {
  it('is none to whoever has asked: what was asked for may have happened', async () => {
    const write = { compare: [], writes: [{ put: '/a', value: '' }] }
    await expect(store.read('/')).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.currentRevision()).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.transact(write)).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.transactEach([write])).rejects.toBeInstanceOf(StoreUnavailable)
  })

  it('ends the watch on which it comes', async () => {
    const failure = await new Promise((resolve) =>
      store.watch('/', 0 as Revision, { revision: resolve, progress: resolve, failed: resolve }),
    )
    expect(failure).toMatchObject({ kind: 'lost', message: expect.stringContaining('cannot be read') })
  })
})

describe('an answer that says nothing', () => {
  it('does not say that the store is empty, that a comparison failed, or that a lease is gone', async () => {
    rangeAnswerOf = () => framed(Buffer.alloc(0))
    otherAnswer = Buffer.alloc(0)
    const write = { compare: [], writes: [{ put: '/a', value: '' }] }
    await expect(store.read('/')).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.transact(write)).rejects.toBeInstanceOf(StoreUnavailable)
    const lease = asLeaseId('a1')
    if (lease === null) throw new Error('no lease')
    await expect(store.keepAlive(lease)).rejects.toBeInstanceOf(StoreUnavailable)
  })
})

it('a member is asked for fewer keys at once where so many are more than one answer may hold', async () => {
  const header = new ProtobufWriter().number(3, 7)
  const pair = new ProtobufWriter().text(1, '/a').number(2, 3).number(3, 4)
  const fitting = framed(new ProtobufWriter().message(1, header).message(2, pair).finish())
  rangeAnswerOf = (limit) => (limit > 50 ? TOO_LARGE : fitting)
  expect(await store.read('/')).toMatchObject({ revision: 7, items: [{ key: '/a', createRevision: 3 }] })
  expect(limits).toEqual([5_000, 500, 50])

  rangeAnswerOf = () => TOO_LARGE
  await expect(store.read('/')).rejects.toBeInstanceOf(StoreUnavailable)
  expect(limits.at(-1)).toBe(1)
})
