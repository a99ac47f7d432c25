// What the ledger is told of a call, for every way in which a call can come to its end; and that nothing is sent twice.

import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { startEchoBackend, startHttpBackend, startRawBackend } from '../../support/echo-backend.ts'
import { eventually, type TestGateway, WAY } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { clientOf, closeLater, gatewayTo, kept, testOfHttp1 } from './kept.ts'

const CHANGE = 'POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 3\r\n\r\nabc'
const STALE = { code: 'stale-token', detail: 'sealed a moment ago', lock: 'lock', token: '7' } as const

function log(gateway: TestGateway): readonly string[] {
  return gateway.gate.entries.flatMap((entry) => entry.log)
}

describe('a call that was admitted', () => {
  test('has ended when its whole answer is back, not before', async () => {
    let finish: () => void = () => undefined
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume()
        response.writeHead(200, { 'Content-Length': '4' })
        response.write('ab')
        finish = () => response.end('cd')
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await client.until((text) => text.endsWith('ab'))
    expect(log(gateway)).toEqual([])
    expect(gateway.listener.inFlight).toBe(1)
    finish()
    expect((await client.answer()).body).toBe('abcd')
    expect(log(gateway)).toEqual(['ended'])
    expect(gateway.listener.inFlight).toBe(0)
  })

  test.each([401, 404, 409, 500, 503])(
    'has ended with status %i too, which goes through untouched',
    async (status) => {
      const backend = kept(
        await startEchoBackend((_request, response) => {
          response.writeHead(status, { 'Content-Length': '3' })
          response.end('own')
        }),
      )
      const gateway = await gatewayTo(backend.url)
      const client = await clientOf(gateway)
      client.send(CHANGE)
      const answer = await client.answer()
      expect([answer.status, answer.body, answer.headers['fencing-verdict']]).toEqual([
        status,
        'own',
        undefined,
      ])
      expect(log(gateway)).toEqual(['ended'])
    },
  )

  test('is not dropped when its client hangs up: the answer is read to its end', async () => {
    let finish: () => void = () => undefined
    let aborted = false
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume()
        response.on('close', () => {
          aborted = !response.writableFinished
        })
        finish = () => response.end('x'.repeat(300_000))
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await eventually(() => gateway.gate.entries.length === 1 && backend.connections === 1)
    client.close()
    await new Promise<void>((resolve) => setTimeout(resolve, 30))
    expect(log(gateway)).toEqual([])
    finish()
    await eventually(() => log(gateway).length > 0)
    expect(log(gateway)).toEqual(['ended'])
    expect(aborted).toBe(false)
  })

  test('is unknown when its request is cut off by the client, and its connection is broken', async () => {
    let broken = false
    const backend = kept(
      await startHttpBackend((request) => {
        request.resume()
        request.on('error', () => {
          broken = true
        })
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(
      `POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 900000\r\n\r\n${'a'.repeat(100_000)}`,
    )
    await eventually(() => backend.connections === 1)
    client.close()
    await eventually(() => broken)
    expect(log(gateway)).toEqual(['unknown: request cut off by the client'])
  })

  test('sends no more of its body once the gateway may be taken for gone, and is unknown', async () => {
    let received = 0
    let broken = false
    const backend = kept(
      await startHttpBackend((request) => {
        request.on('data', (chunk: Buffer) => {
          received += chunk.length
        })
        request.on('error', () => {
          broken = true
        })
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(
      `POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 100004\r\n\r\n${'a'.repeat(100_000)}`,
    )
    await eventually(() => received === 100_000)
    for (const entry of gateway.gate.entries) entry.leaseStands = false
    client.send('last')
    const answer = await client.answer()
    await eventually(() => broken)
    expect(received).toBe(100_000)
    expect([answer.status, answer.headers['fencing-verdict']]).toEqual([502, 'backend-down'])
    expect(answer.body).toContain('may or may not have happened')
    expect(log(gateway)).toEqual([
      'unknown: the gateway could not renew its lease while the request was on its way',
    ])
  })

  test('that is only looked at, in shadow mode, goes on whatever became of the lease', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, {}, { enforce: false })
    gateway.gate.onEntry = (entry) => {
      entry.leaseStands = false
    }
    const client = await clientOf(gateway)
    client.send(
      `POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 100000\r\n\r\n${'a'.repeat(100_000)}`,
    )
    expect((await client.answer()).status).toBe(200)
    expect(log(gateway)).toEqual(['ended'])
  })

  test('never reaches the backend when a small request is cut off', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 30\r\n\r\nabc')
    client.close()
    await client.ended()
    await eventually(() => gateway.listener.inFlight === 0)
    expect(gateway.gate.asked).toEqual([])
    expect(backend.connections).toBe(0)
  })

  test('has ended, provably unsent, when the backend cannot be reached', async () => {
    const gone = await startEchoBackend()
    await gone.close()
    const gateway = await gatewayTo(gone.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    const answer = await client.answer()
    expect(answer.status).toBe(503)
    expect(answer.headers['fencing-verdict']).toBe('backend-down')
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.body).toContain('nothing of the call was sent')
    expect(log(gateway)).toEqual(['ended'])
  })

  test('has ended, provably unsent, when the backend speaks no TLS', async () => {
    const backend = kept(await startRawBackend((socket) => socket.end('plain\r\n')))
    const gateway = await gatewayTo(backend.url.replace('http:', 'https:'))
    const client = await clientOf(gateway)
    client.send(CHANGE)
    expect((await client.answer()).status).toBe(503)
    expect(log(gateway)).toEqual(['ended'])
  })

  test.each([
    ['says nothing', ''],
    ['stops in the head', 'HTTP/1.1 200 OK\r\nContent-'],
    ['answers nonsense', 'SSH-2.0-x\r\n'],
  ])('is unknown, and sent once, when the backend %s and closes', async (_name, text) => {
    const backend = kept(
      await startRawBackend((socket, received) => {
        if (received.endsWith('abc')) socket.end(text)
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    const answer = await client.answer()
    expect(answer.status).toBe(502)
    expect(answer.headers['fencing-verdict']).toBe('backend-down')
    expect(log(gateway)).toHaveLength(1)
    expect(log(gateway)[0]).toMatch(/^unknown: /)
    expect(backend.sockets).toHaveLength(1)
  })

  test('is unknown, and the client sees a broken answer, when the backend stops in the body', async () => {
    const backend = kept(
      await startRawBackend((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await expect(client.answer()).rejects.toThrow('closed after')
    expect(log(gateway)[0]).toMatch(/^unknown: /)
    expect(backend.sockets).toHaveLength(1)
  })

  test('is unknown, and sent once, when a kept connection turns out to be closed', async () => {
    let requests = 0
    const backend = kept(
      await startRawBackend((socket, received) => {
        requests++
        if (received.split('POST').length === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        else socket.destroy()
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    expect((await client.answer()).status).toBe(200)
    client.send(CHANGE)
    expect((await client.answer()).status).toBe(502)
    expect(requests).toBe(2)
    expect(log(gateway)).toEqual(['ended', expect.stringMatching(/^unknown: /)])
  })

  test('is unknown after the time limit for the head of the answer, and is answered 504', async () => {
    const backend = kept(await startRawBackend(() => undefined))
    const gateway = await gatewayTo(backend.url, {}, { limits: { answerHeadMs: 150 } })
    const client = await clientOf(gateway)
    client.send(CHANGE)
    expect((await client.answer()).status).toBe(504)
    expect(log(gateway)[0]).toMatch(/UND_ERR_HEADERS_TIMEOUT|ANSWER_TIMEOUT/)
  })

  test('is unknown after an answer that stands still', async () => {
    const backend = kept(
      await startRawBackend((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')),
    )
    const gateway = await gatewayTo(backend.url, {}, { limits: { answerIdleMs: 150 } })
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await client.ended()
    expect(log(gateway)[0]).toMatch(/UND_ERR_BODY_TIMEOUT|ANSWER_TIMEOUT/)
  })

  test('is unknown when the drain limit is over, and its connection is broken', async () => {
    const backend = kept(await startRawBackend(() => undefined))
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await eventually(() => backend.sockets.length === 1 && (backend.sockets[0]?.bytesRead ?? 0) > 0)
    gateway.gate.entries[0]?.abandon()
    expect((await client.answer()).status).toBe(502)
    expect(log(gateway)).toEqual(['unknown: abandoned at the end of the drain limit'])
    await eventually(() => backend.sockets[0]?.destroyed === true)
  })

  test('is unknown when the listener closes before its answer, and ended when it closes after', async () => {
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume()
        if (request.url === '/x') return
        setTimeout(() => response.end('slow'), 60)
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const stuck = await clientOf(gateway)
    const slow = await clientOf(gateway)
    stuck.send(CHANGE)
    slow.send(CHANGE.replace('/x', '/slow'))
    await eventually(() => gateway.gate.entries.length === 2)
    const closing = gateway.listener.close()
    const answer = await slow.answer()
    expect(answer.body).toBe('slow')
    // In HTTP/2 the connection was told before (http2/limits.test.ts).
    if (WAY !== 'http2') expect(answer.headers['connection']).toBe('close')
    await closing
    expect(gateway.gate.entries.map((entry) => entry.log)).toEqual([
      ['unknown: the gateway is shutting down'],
      ['ended'],
    ])
    await expect(RawClient.open(gateway.port)).rejects.toThrow('ECONNREFUSED')
  })

  testOfHttp1('first serves on, and sends each client away with its answer', async () => {
    const backend = kept(await startHttpBackend((_request, response) => response.end('fine')))
    const gateway = await gatewayTo(backend.url)
    const early = await clientOf(gateway)
    gateway.listener.leave()
    for (const client of [early, await clientOf(gateway)]) {
      client.send(CHANGE)
      const answer = await client.answer()
      expect([answer.status, answer.body, answer.headers['connection']]).toEqual([200, 'fine', 'close'])
    }
  })

  testOfHttp1(
    'then answers what still comes on an open connection, also an idle one, and forwards none of it',
    async () => {
      const backend = kept(await startHttpBackend((_request, response) => response.end('fine')))
      const gateway = await gatewayTo(backend.url)
      const idle = await clientOf(gateway)
      idle.send(CHANGE)
      expect((await idle.answer()).headers['connection']).not.toBe('close')
      const asked = gateway.gate.asked.length
      const closing = gateway.listener.close()
      idle.send(CHANGE)
      const answer = await idle.answer()
      expect(answer.status).toBe(503)
      expect(answer.headers).toMatchObject({
        'fencing-verdict': 'view-not-current',
        'retry-after': '1',
        connection: 'close',
      })
      expect(gateway.gate.asked.length).toBe(asked)
      await closing
    },
  )

  testOfHttp1('refuses nothing in shadow mode, while a connection is still open', async () => {
    const backend = kept(await startHttpBackend((_request, response) => response.end('fine')))
    const gateway = await gatewayTo(backend.url, {}, { enforce: false })
    const idle = await clientOf(gateway)
    idle.send(CHANGE)
    await idle.answer()
    const closing = gateway.listener.close()
    idle.send(CHANGE)
    const answer = await idle.answer()
    expect([answer.status, answer.headers['connection']]).toEqual([200, 'close'])
    await closing
  })
})

describe('the last check', () => {
  test('comes after the wait for a connection, and what it stops is not sent and has ended', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url)
    gateway.gate.onEntry = (entry) => {
      entry.refusal = STALE
    }
    const client = await clientOf(gateway)
    client.send(CHANGE)
    const answer = await client.answer()
    expect([answer.status, answer.headers['fencing-verdict']]).toEqual([412, 'stale-token'])
    expect(log(gateway)).toEqual(['ended'])
    expect(backend.seen).toEqual([])
  })

  test('sees a seal that came while the call waited for a connection that others use', async () => {
    const release: (() => void)[] = []
    const backend = kept(
      await startEchoBackend((_request, response) => {
        release.push(() => response.end('ok'))
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { limits: { upstreamConnectionsMax: 1 } })
    const [first, second] = [await clientOf(gateway), await clientOf(gateway)]
    first.send(CHANGE)
    await eventually(() => release.length === 1)
    second.send(CHANGE)
    await eventually(() => gateway.gate.entries.length === 2)
    const waiting = gateway.gate.entries[1]
    if (waiting !== undefined) waiting.refusal = STALE
    release[0]?.()
    expect((await first.answer()).status).toBe(200)
    expect((await second.answer()).status).toBe(412)
    expect(waiting?.log).toEqual(['ended'])
    expect(backend.seen).toHaveLength(1)
  })

  test('a call whose client hangs up while it waits for a connection is not sent and has ended at once', async () => {
    const release: (() => void)[] = []
    const backend = kept(
      await startEchoBackend((_request, response) => {
        release.push(() => response.end('ok'))
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { limits: { upstreamConnectionsMax: 1 } })
    const [first, second] = [await clientOf(gateway), await clientOf(gateway)]
    first.send(CHANGE)
    await eventually(() => release.length === 1)
    second.send(CHANGE)
    await eventually(() => gateway.gate.entries.length === 2)
    second.close()
    await eventually(() => gateway.gate.entries[1]?.log.length === 1)
    release[0]?.()
    expect((await first.answer()).status).toBe(200)
    expect(gateway.gate.entries[1]?.log).toEqual(['ended'])
    first.send(CHANGE)
    await eventually(() => release.length === 2)
    release[1]?.()
    expect((await first.answer()).status).toBe(200)
    expect(backend.seen).toHaveLength(2)
  })
})

describe('a parked call', () => {
  test('goes on when the gate lets it, with its body', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { waitMs: 5_000 })
    let admit: (verdict: 'admit') => void = () => undefined
    gateway.gate.decide = () => new Promise((resolve) => (admit = resolve))
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await eventually(() => gateway.gate.asked.length === 1)
    expect(backend.connections).toBe(0)
    admit('admit')
    expect(JSON.parse((await client.answer()).body).body).toBe('abc')
    expect(gateway.gate.entries[0]?.rechecks).toBe(1)
  })

  test('counts with its head and body, and a body that is to be streamed is not read while it waits', async () => {
    const gateway = await gatewayTo('http://127.0.0.1:9', { waitMs: 60_000 })
    gateway.gate.decide = () => new Promise(() => undefined)
    const small = await clientOf(gateway)
    small.send(CHANGE)
    await eventually(() => gateway.gate.asked.length === 1)
    const head = gateway.gate.heldBytes - 'abc'.length
    expect(head).toBeGreaterThan('hosta'.length)
    expect(head).toBeLessThan(100)
    const size = 256 * 1024 * 1024
    const socket = connect({ port: gateway.port, host: '127.0.0.1' })
    closeLater(() => {
      socket.destroy()
      return Promise.resolve()
    })
    socket.write(`POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: ${size}\r\n\r\n`)
    socket.write(Buffer.alloc(64 * 1024 * 1024))
    await eventually(() => gateway.gate.asked.length === 2)
    expect(gateway.gate.heldBytes).toBeGreaterThanOrEqual(64 * 1024)
    // What the sockets of this machine take is some megabytes; a gateway that reads takes it all.
    const before = process.memoryUsage().arrayBuffers
    await new Promise<void>((resolve) => setTimeout(resolve, 200))
    expect(socket.writableLength).toBeGreaterThan(32 * 1024 * 1024)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024)
  })

  test('leaves the queue when its client hangs up, and if it is admitted all the same it is not sent', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { waitMs: 5_000 })
    let admit: (verdict: 'admit') => void = () => undefined
    gateway.gate.decide = () => new Promise((resolve) => (admit = resolve))
    const client = await clientOf(gateway)
    client.send(CHANGE)
    await eventually(() => gateway.gate.asked.length === 1)
    client.close()
    await eventually(() => gateway.gate.gone?.aborted === true)
    admit('admit')
    await eventually(() => log(gateway).length > 0)
    expect(log(gateway)).toEqual(['ended'])
    expect(backend.connections).toBe(0)
    expect(gateway.listener.inFlight).toBe(0)
  })
})

describe('a client that does not read', () => {
  /** Never reads what it is sent. */
  async function deafClient(gateway: TestGateway, onClose: () => void) {
    const socket = connect({ port: gateway.port, host: '127.0.0.1' })
    socket.on('error', onClose)
    socket.on('close', onClose)
    socket.pause()
    closeLater(() => {
      socket.destroy()
      return Promise.resolve()
    })
    await new Promise<void>((resolve) => socket.once('connect', resolve))
    socket.write(CHANGE)
    return socket
  }

  test('holds up its answer while the lock is held, and loses it when the lock is sealed', async () => {
    let written = 0
    const size = 32 * 1024 * 1024
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume()
        const piece = Buffer.alloc(65_536)
        response.writeHead(200, { 'Content-Length': String(size) })
        const send = () => {
          while (written < size) {
            written += piece.length
            if (!response.write(piece)) {
              response.once('drain', send)
              return
            }
          }
          response.end()
        }
        send()
      }),
    )
    const gateway = await gatewayTo(backend.url, {}, { limits: { sealedStallMs: 50 } })
    await deafClient(gateway, () => undefined)
    let last = -1
    await eventually(() => {
      const still = written > 0 && written === last
      last = written
      return still && written < size
    })
    await new Promise<void>((resolve) => setTimeout(resolve, 150))
    expect(written).toBeLessThan(size)
    expect(log(gateway)).toEqual([])
    gateway.gate.entries[0]?.seal()
    await eventually(() => log(gateway).length > 0)
    expect(log(gateway)).toEqual(['ended'])
    expect(written).toBe(size)
  })

  test('a body that stands still is given up, and what was sent of it is unknown', async () => {
    const backend = kept(await startHttpBackend((request) => request.resume().on('error', () => undefined)))
    const gateway = await gatewayTo(backend.url, {}, { limits: { bodyIdleMs: 100 } })
    const client = await clientOf(gateway)
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 900000\r\n\r\nabc')
    expect((await client.answer()).status).toBe(502)
    expect(log(gateway)).toEqual(['unknown: request cut off by the client'])
    const slow = await clientOf(gateway)
    slow.send('POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 7\r\nContent-Length: 9\r\n\r\nabc')
    expect((await slow.answer()).status).toBe(400)
    expect(gateway.gate.entries).toHaveLength(1)
  })
})
