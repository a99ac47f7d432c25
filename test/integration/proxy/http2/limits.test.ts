// What one client of HTTP/2 may ask for: too much of anything ends at its own stream, or at its own connection.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import type { ProxyLimits } from '../../../../gateway/proxy/limits.ts'
import { selfSigned } from '../../../support/certificates.ts'
import { startEchoBackend, startHttpBackend } from '../../../support/echo-backend.ts'
import { Http2Client } from '../../../support/http2-client.ts'
import { type Field, FLAG, FRAME, frameOf, literals, number32, RawHttp2 } from '../../../support/raw-http2.ts'
import { closeLater, gatewayTo, kept } from '../kept.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')
const REFUSED_STREAM = 7
const CANCEL = 8

const READ: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/x'],
  [':authority', 'a'],
]
const CHANGE: readonly Field[] = [[':method', 'POST'], ...READ.slice(1), ['fencing-token', '7']]

/** `held`: the backend answers when it is told to. */
async function start(limits: Partial<ProxyLimits> = {}, isHeld = false) {
  const held: (() => void)[] = []
  const backend = kept(
    await startEchoBackend((_request, response) => {
      if (isHeld) held.push(() => response.end('late'))
      else response.end('now')
    }),
  )
  const gateway = await gatewayTo(backend.url, {}, { tls: { cert, key }, limits })
  const raw = async () => kept(await RawHttp2.open(gateway.port, cert))
  const client = async () => kept(await Http2Client.open(gateway.port, cert))
  return { backend, gateway, held, raw, client }
}

describe('a client of HTTP/2', () => {
  test('has no more calls at a time than were agreed on: the others are refused unread', async () => {
    const { backend, gateway, held, raw } = await start({ streamsMax: 5 }, true)
    const client = await raw()
    for (let i = 0; i < 8; i++) client.head(2 * i + 1, READ)
    for (let i = 5; i < 8; i++)
      expect(await client.outcome(2 * i + 1)).toMatchObject({ kind: 'reset', code: REFUSED_STREAM })
    await expect.poll(() => held.length).toBe(5)
    expect(gateway.listener.inFlight).toBe(5)
    for (const answer of held) answer()
    expect(await client.outcome(1)).toMatchObject({ kind: 'answered', status: 200 })
    client.head(101, READ)
    await expect.poll(() => held.length).toBe(6)
    held[5]?.()
    expect(await client.outcome(101)).toMatchObject({ kind: 'answered', status: 200 })
    expect(backend.seen).toHaveLength(6)
  })

  test('counts once as a connection, and each of its calls as a call in flight', async () => {
    const { gateway, held, raw } = await start({ inFlightMax: 2, connectionsMax: 1 }, true)
    const client = await raw()
    for (const stream of [1, 3, 5]) client.head(stream, READ)
    expect(await client.outcome(5)).toMatchObject({ kind: 'answered', status: 503 })
    expect(gateway.listener.state).toMatchObject({ connections: 1, inFlight: 2, shed: { calls: 1 } })
    await expect.poll(() => held.length).toBe(2)
    for (const answer of held) answer()
    expect(await client.outcome(3)).toMatchObject({ kind: 'answered', status: 200 })
  })

  test('has no more calls at a time over all its connections than it may have connections', async () => {
    const { gateway, held, raw } = await start({ connectionsPerAddressMax: 4 }, true)
    const [one, other] = [await raw(), await raw()]
    for (const stream of [1, 3, 5]) one.head(stream, READ)
    await expect.poll(() => held.length).toBe(3)
    other.head(1, READ)
    await expect.poll(() => held.length).toBe(4)
    for (const client of [one, other]) {
      client.head(7, READ)
      expect(await client.outcome(7)).toMatchObject({ kind: 'reset', code: REFUSED_STREAM })
    }
    expect(gateway.listener.state).toMatchObject({ connections: 2, inFlight: 4, shed: { address: 2 } })
    for (const answer of held.splice(0)) answer()
    for (const stream of [1, 3, 5]) expect(await one.outcome(stream)).toMatchObject({ status: 200 })
    // Nothing is left of them.
    for (const stream of [9, 11, 13]) one.head(stream, READ)
    await expect.poll(() => held.length).toBe(3)
    one.close()
    await expect.poll(() => gateway.listener.state.connections).toBe(1)
    for (const stream of [9, 11, 13, 15]) other.head(stream, READ)
    await expect.poll(() => held.length).toBe(7)
  })

  test.each([
    [
      'begins calls and takes them back',
      (client: RawHttp2, i: number) => {
        client.head(2 * i + 1, CHANGE, i % 2 === 0)
        client.reset(2 * i + 1)
      },
    ],
    ['pings', (client: RawHttp2) => client.frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ['changes its settings', (client: RawHttp2) => client.frame(FRAME.settings, 0, 0)],
    [
      'sends empty pieces',
      (client: RawHttp2, i: number) => {
        if (i === 0) client.head(1, CHANGE, false)
        else client.data(1, '', false)
      },
    ],
    [
      'sends its body a byte at a time',
      (client: RawHttp2, i: number) => {
        if (i === 0) client.head(1, CHANGE, false)
        else client.data(1, 'a', false)
      },
    ],
    [
      'gives back a window of nothing',
      (client: RawHttp2, i: number) => {
        client.head(2 * i + 1, CHANGE, false)
        client.frame(FRAME.windowUpdate, 0, 2 * i + 1, number32(0))
      },
    ],
    [
      'sends more behind the end of a call',
      (client: RawHttp2, i: number) => {
        client.head(2 * i + 1, READ)
        client.data(2 * i + 1, 'a')
      },
    ],
    [
      'goes on with a head',
      (client: RawHttp2, i: number) => {
        if (i === 0) client.frame(FRAME.headers, 0, 1, literals(CHANGE))
        else client.frame(FRAME.continuation, 0, 1, literals([['x-a', 'b']]))
      },
    ],
    [
      'sends frames of calls that were refused',
      (client: RawHttp2, i: number) => client.head(2 * i + 1, [['x', 'y']]),
    ],
  ] as const)('that %s without end is cut off, and others are not', async (_what, act) => {
    const { backend, gateway, raw, client } = await start()
    const [flood, other] = [await raw(), await client()]
    for (let i = 0; i < 20_000 && !flood.closed; i++) {
      act(flood, i)
      if (i % 100 === 99) await new Promise<void>((resolve) => setImmediate(resolve))
    }
    await flood.until(() => false)
    expect(flood.closed).toBe(true)
    expect((await other.call({})).status).toBe(200)
    await expect.poll(() => gateway.listener.state).toMatchObject({ connections: 1, inFlight: 0 })
    // Most were gone before their turn came.
    expect(backend.seen.length).toBeLessThan(250)
    for (const { log } of gateway.gate.entries) expect(log).toHaveLength(1)
    // What was gone before its turn was no call.
    expect(
      [...gateway.listener.calls].filter(
        ({ effect, verdict }) => effect === 'none' && verdict === 'admitted',
      ),
    ).toEqual([])
  })

  test('that takes calls back as it begins them, all in one read, has a few of them begun', async () => {
    const { gateway, raw, client } = await start({ streamsMax: 20 })
    let begun = 0
    const count = () => void begun++
    subscribe('http2.server.stream.created', count)
    closeLater(() => unsubscribe('http2.server.stream.created', count))
    const flood = await raw()
    const calls = Array.from({ length: 2_000 }, (_, i) => [
      frameOf(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 2 * i + 1, literals(READ)),
      frameOf(FRAME.reset, 0, 2 * i + 1, number32(CANCEL)),
    ])
    flood.send(Buffer.concat(calls.flat()))
    await flood.until(() => false)
    expect(flood.closed).toBe(true)
    expect(begun).toBeGreaterThan(20)
    // Twice as many as it may have, those that began in this turn, and the one too many.
    expect(begun).toBeLessThanOrEqual(2 * 20 + 4 + 2)
    expect((await (await client()).call({})).status).toBe(200)
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('may not have a larger head than others, however it was packed', async () => {
    const { backend, raw } = await start({ headerBytesMax: 16_384, headerFieldsMax: 50 })
    const many = await raw()
    many.head(1, [...READ, ...Array.from({ length: 60 }, (): Field => ['x-a', 'b'])])
    expect(await many.outcome(1)).toMatchObject({ kind: 'answered', status: 413 })
    const large = await raw()
    large.head(1, [...READ, ['x-a', 'b'.repeat(16_000)], ['x-b', 'c'.repeat(16_000)]].slice(0, 5) as Field[])
    expect(await large.outcome(1)).toMatchObject({ kind: 'answered', status: 200 })
    // Put into the table once, and named often.
    const packed = await raw()
    const entry = literals([['x-a', 'b'.repeat(3_000)]])
    entry[0] = 0x40
    packed.frame(
      FRAME.headers,
      FLAG.endHeaders | FLAG.endStream,
      1,
      Buffer.concat([literals(READ), entry, Buffer.alloc(40, 0xbe)]),
    )
    const outcome = await packed.outcome(1)
    expect(outcome.kind === 'answered' ? outcome.status : outcome.kind).toSatisfy((end) =>
      [431, 'reset'].includes(end),
    )
    expect(backend.seen).toHaveLength(1)
  })

  test.each([
    ['says nothing', () => undefined],
    ['does not end its head', (client: RawHttp2) => client.frame(FRAME.headers, 0, 1, literals(READ))],
    ['only pings', (client: RawHttp2) => client.frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
  ])('that %s is not waited for', async (_what, act) => {
    const { backend, gateway, raw } = await start({ headMs: 100, lingerMs: 50 })
    const client = await raw()
    act(client)
    await client.until(() => false)
    await expect.poll(() => gateway.listener.state.connections).toBe(0)
    expect(backend.seen).toEqual([])
  })

  test('that has nothing more to ask is told so, and its connection ends in order', async () => {
    const { gateway, raw } = await start({ clientIdleMs: 100 })
    const client = await raw()
    client.head(1, READ)
    expect(await client.outcome(1)).toMatchObject({ kind: 'answered', status: 200 })
    await client.until(() => client.frames.some(({ type }) => type === FRAME.goaway))
    const goaway = client.frames.find(({ type }) => type === FRAME.goaway)
    expect([goaway?.payload.readUInt32BE(0), goaway?.payload.readUInt32BE(4)]).toEqual([1, 0])
    await client.until(() => false)
    await expect.poll(() => gateway.listener.state.connections).toBe(0)
  })

  test('whose body stands still is not waited for, and what was sent of it is unknown', async () => {
    const { gateway, raw } = await start({ bodyIdleMs: 100 })
    const client = await raw()
    client.head(1, [...CHANGE, ['content-length', '3']], false)
    expect(await client.outcome(1)).toMatchObject({ kind: 'answered', status: 400 })
    expect(gateway.gate.entries).toEqual([])
    client.head(3, CHANGE, false)
    client.data(3, 'abc', false)
    await expect.poll(() => gateway.gate.entries[0]?.log).toEqual(['unknown: request cut off by the client'])
    expect(await client.outcome(3)).toMatchObject({ kind: 'answered', status: 502 })
    expect(gateway.listener.state.connections).toBe(1)
  })

  test('that takes nothing of one answer loses that one, and the call has ended all the same', async () => {
    const backend = kept(
      await startHttpBackend((request, response) => {
        request
          .resume()
          .on('end', () => response.end(request.url === '/long' ? Buffer.alloc(2_000_000, 'a') : 'now'))
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { tls: { cert, key }, limits: { clientStallMs: 300 } })
    const client = kept(await RawHttp2.open(gateway.port, cert))
    // Streams begin with a window of 1,000 bytes.
    client.frame(FRAME.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), number32(1_000)]))
    client.head(1, [...CHANGE.map(([name, value]): Field => [name, name === ':path' ? '/long' : value])])
    client.head(3, READ)
    expect(await client.outcome(3)).toMatchObject({ kind: 'answered', status: 200, body: 'now' })
    expect(await client.outcome(1)).toEqual({ kind: 'reset', code: CANCEL, status: 200 })
    await expect.poll(() => gateway.gate.entries[0]?.log).toEqual(['ended'])
    client.head(5, READ)
    expect(await client.outcome(5)).toMatchObject({ kind: 'answered', status: 200 })
  })
})

describe('a client of HTTP/2 that takes nothing', () => {
  async function large(limits: Partial<ProxyLimits>) {
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume().on('end', () => response.end(Buffer.alloc(300_000, 'a')))
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { tls: { cert, key }, limits })
    return { gateway, client: kept(await RawHttp2.open(gateway.port, cert)) }
  }

  test('of its whole connection loses that, whatever waits there', async () => {
    const { gateway, client } = await large({ clientStallMs: 200 })
    client.frame(FRAME.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), number32(0x7fff_ffff)]))
    client.frame(FRAME.windowUpdate, 0, 0, number32(0x7fff_0000))
    client.socket.pause()
    for (let i = 0; i < 90; i++)
      client.head(2 * i + 1, i % 3 === 0 ? [[':method', 'HEAD'], ...READ.slice(1)] : CHANGE)
    await expect.poll(() => gateway.gate.entries.length).toBe(60)
    await expect
      .poll(() => gateway.listener.state, { timeout: 10_000 })
      .toMatchObject({
        connections: 0,
        inFlight: 0,
      })
    for (const { log } of gateway.gate.entries) expect(log).toEqual(['ended'])
  })

  test('at first, and then does, has its answer', async () => {
    const { client } = await large({ clientStallMs: 2_000, headMs: 200 })
    client.frame(FRAME.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), number32(1_000)]))
    client.head(1, CHANGE)
    await client.until(() => client.frames.some(({ type }) => type === FRAME.data))
    // The gateway looks four times in each of these.
    await new Promise<void>((resolve) => setTimeout(resolve, 400))
    client.frame(FRAME.windowUpdate, 0, 0, number32(1_000_000))
    client.frame(FRAME.windowUpdate, 0, 1, number32(1_000_000))
    const outcome = await client.outcome(1)
    expect(outcome).toMatchObject({ kind: 'answered', status: 200 })
    expect(outcome.kind === 'answered' && outcome.body.length).toBe(300_000)
  })
})

describe('a call over HTTP/2 whose client goes', () => {
  test('has ended when the backend has answered, though nobody hears it', async () => {
    for (const go of [(client: RawHttp2) => client.reset(1), (client: RawHttp2) => client.close()]) {
      const { gateway, held, raw } = await start({}, true)
      const client = await raw()
      client.head(1, CHANGE)
      await expect.poll(() => held.length).toBe(1)
      go(client)
      client.head(3, READ)
      if (!client.closed) await expect.poll(() => held.length).toBeGreaterThan(0)
      expect(gateway.gate.entries[0]?.log).toEqual([])
      held[0]?.()
      await expect.poll(() => gateway.gate.entries[0]?.log).toEqual(['ended'])
    }
  })

  test('is given up at the backend where it only reads', async () => {
    let gone = false
    const backend = kept(
      await startHttpBackend((_request, response) => {
        response.on('close', () => {
          gone = true
        })
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { tls: { cert, key } })
    const client = kept(await RawHttp2.open(gateway.port, cert))
    client.head(1, READ)
    await expect.poll(() => backend.connections).toBe(1)
    client.reset(1)
    await expect.poll(() => gone).toBe(true)
    expect(gateway.listener.inFlight).toBe(0)
  })

  test('leaves the queue of a handover where it was parked', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { waitMs: 60_000 }, { tls: { cert, key } })
    gateway.gate.decide = () => new Promise(() => undefined)
    const client = kept(await RawHttp2.open(gateway.port, cert))
    client.head(1, CHANGE)
    await expect.poll(() => gateway.gate.asked.length).toBe(1)
    const { gone } = gateway.gate
    client.reset(1)
    await expect.poll(() => gone?.aborted).toBe(true)
    expect(gone?.aborted).toBe(true)
  })
})

describe('a gateway that goes', () => {
  test('tells clients of HTTP/2 at once, ends what is under way, and begins nothing more', async () => {
    const { backend, gateway, held, raw } = await start({ closeMs: 5_000 }, true)
    const client = await raw()
    client.head(1, CHANGE)
    await expect.poll(() => held.length).toBe(1)
    gateway.listener.leave()
    await client.until(() => client.frames.some(({ type }) => type === FRAME.goaway))
    const goaway = client.frames.find(({ type }) => type === FRAME.goaway)
    // The last stream that is seen to its end, and no fault.
    expect([goaway?.payload.readUInt32BE(0), goaway?.payload.readUInt32BE(4)]).toEqual([1, 0])
    client.head(3, CHANGE)
    const closed = gateway.listener.close()
    held[0]?.()
    expect(await client.outcome(1)).toEqual({ kind: 'answered', status: 200, body: 'late' })
    await closed
    await client.until(() => false)
    expect(backend.seen).toHaveLength(1)
    expect(gateway.gate.entries.map(({ log }) => log)).toEqual([['ended']])
  })

  test('breaks off what does not end, and it is unknown', async () => {
    const { gateway, held, raw } = await start({ closeMs: 100, lingerMs: 50 }, true)
    const client = await raw()
    client.head(1, CHANGE)
    await expect.poll(() => held.length).toBe(1)
    await gateway.listener.close()
    expect(gateway.gate.entries[0]?.log).toEqual(['unknown: the gateway is shutting down'])
    expect(await client.outcome(1)).toMatchObject({ kind: 'answered', status: 502 })
  })
})
