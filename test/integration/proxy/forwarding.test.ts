// What passes through the gateway, passes through it untouched; what is the gateway's own stays here.

import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { describe, expect, test } from 'vitest'
import {
  type EchoBackend,
  startEchoBackend,
  startHttpBackend,
  startRawBackend,
} from '../../support/echo-backend.ts'
import { eventually } from '../../support/echo-backend-gateway.ts'
import { clientOf, gatewayTo, kept, testOfHttp1 } from './kept.ts'

const change = (head: string, body = '') =>
  `POST /x HTTP/1.1\r\nHost: a.example\r\nFencing-Token: 7\r\n${head}\r\n${body}`

function fields(backend: EchoBackend): string[][] {
  const raw = backend.seen[0]?.rawHeaders ?? []
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? ''])
}

describe('a request on its way to the backend', () => {
  testOfHttp1(
    'keeps its target, body, fields, their spelling, order and repetition, and its Host',
    async () => {
      const backend = kept(await startEchoBackend())
      const client = await clientOf(await gatewayTo(backend.url))
      client.send(
        `POST /v3/%7Ea/?q=%20&z HTTP/1.1\r\nX-B: 2\r\nhost: cinder.example:8776\r\nX-a: 1\r\nX-A: \r\nContent-Type: x/y\r\nAccept-Encoding: gzip\r\nFencing-Token: 7\r\nContent-Length: 3\r\n\r\na\xe9c`,
      )
      expect((await client.answer()).status).toBe(200)
      expect(backend.seen[0]?.target).toBe('/v3/%7Ea/?q=%20&z')
      expect(backend.seen[0]?.body).toBe('a\xe9c')
      const sent = fields(backend)
      expect(sent.filter(([name]) => /^x-|content-type|accept/i.test(name ?? ''))).toEqual([
        ['X-B', '2'],
        ['X-a', '1'],
        ['X-A', ''],
        ['Content-Type', 'x/y'],
        ['Accept-Encoding', 'gzip'],
      ])
      expect(backend.seen[0]?.headers['host']).toBe('cinder.example:8776')
      expect(backend.seen[0]?.headers['via']).toBe('1.1 fencegate')
      expect(sent.some(([name]) => /^x-forwarded/i.test(name ?? ''))).toBe(false)
    },
  )

  test('loses our own fields, the hop-by-hop ones and those that Connection names, but never Via or Host', async () => {
    const backend = kept(await startEchoBackend())
    const client = await clientOf(await gatewayTo(backend.url))
    client.send(
      change(
        'Fencing-Session: ab\r\nConnection: close, X-Hop, Via, Host, Fencing-Token\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nTE: gzip\r\nX-Stay: 1\r\nContent-Length: 0\r\n',
      ),
    )
    expect((await client.answer()).status).toBe(200)
    const names = fields(backend).map(([name]) => name?.toLowerCase())
    expect(new Set(names)).toEqual(new Set(['connection', 'content-length', 'host', 'via', 'x-stay']))
    expect(names).toHaveLength(5)
    expect(backend.seen[0]?.headers['connection']).toBe('keep-alive')
  })

  testOfHttp1(
    'says who the client is where it is told to, and nothing that the client says of himself',
    async () => {
      const backend = kept(await startEchoBackend())
      const gateway = await gatewayTo(backend.url, {}, { forwarded: { send: ['x-forwarded'], trust: [] } })
      const client = await clientOf(gateway)
      client.send(
        change(
          'X-Forwarded-For: 6.6.6.6\r\nX-FORWARDED-PROTO: https\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nContent-Length: 0\r\n',
        ),
      )
      expect((await client.answer()).status).toBe(200)
      expect(fields(backend).filter(([name]) => /forwarded|real/i.test(name ?? ''))).toEqual([
        ['Forwarded', 'for=6.6.6.6'],
        ['X-Forwarded-For', '127.0.0.1'],
        ['X-Forwarded-Proto', 'http'],
        ['X-Forwarded-Host', 'a.example'],
      ])
      expect(backend.seen[0]?.headers['host']).toBe('a.example')
    },
  )

  test('a body of unknown length is passed on as it comes', async () => {
    const got: string[] = []
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.on('data', (chunk: Buffer) => got.push(chunk.toString()))
        request.on('end', () => response.end('done'))
      }),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send(change('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n'))
    await eventually(() => got.join('') === 'abc')
    client.send('2\r\nde\r\n0\r\n\r\n')
    expect((await client.answer()).body).toBe('done')
    expect(got.join('')).toBe('abcde')
  })

  test('a backend that does not read holds up the client, not the memory of the gateway', async () => {
    const backend = kept(
      await startRawBackend((socket) => {
        socket.pause()
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    const size = 64 * 1024 * 1024
    client.send(change(`Content-Length: ${size}\r\n`))
    const piece = Buffer.alloc(256 * 1024)
    for (let sent = 0; sent < size; sent += piece.length) client.socket.write(piece)
    let last = -1
    await eventually(() => {
      const now = client.socket.bytesWritten - client.socket.writableLength
      const still = backend.sockets.length === 1 && now === last
      last = now
      return still
    })
    await new Promise<void>((resolve) => setTimeout(resolve, 200))
    expect(client.socket.writableLength).toBeGreaterThan(size / 2)
  })

  test('the client is told to continue only after the check has passed', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url)
    let admit: (verdict: 'admit') => void = () => undefined
    gateway.gate.decide = () => new Promise((resolve) => (admit = resolve))
    const client = await clientOf(gateway)
    client.send(change('Expect: 100-continue\r\nContent-Length: 3\r\n'))
    await eventually(() => gateway.gate.asked.length === 1)
    expect(client.received).toBe('')
    admit('admit')
    expect((await client.answer()).status).toBe(100)
    client.send('abc')
    expect(JSON.parse((await client.answer()).body).body).toBe('abc')
  })

  test('the client is told to continue where the check needs the body', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { bodyBytes: 10 })
    const client = await clientOf(gateway)
    client.send(change('Expect: 100-continue\r\nContent-Length: 3\r\n'))
    expect((await client.answer()).status).toBe(100)
    expect(gateway.gate.asked).toEqual([])
    client.send('abc')
    expect((await client.answer()).status).toBe(200)
    expect(gateway.policy.bodies).toEqual(['abc'])
  })

  test('the policy sees every value of a repeated field', async () => {
    const backend = kept(await startEchoBackend())
    const seen: (string | undefined)[] = []
    const gateway = await gatewayTo(backend.url, {
      classify: (head) => {
        seen.push(head.header('x-a'), head.header('content-type'), head.header('set-cookie'))
        return null
      },
    })
    const client = await clientOf(gateway)
    client.send(
      change(
        'X-A: 1\r\nContent-Type: a/b\r\nX-a: 2\r\nContent-Type: c/d\r\nSet-Cookie: e\r\nSet-Cookie: f\r\nContent-Length: 0\r\n',
      ),
    )
    expect((await client.answer()).status).toBe(200)
    expect(seen).toEqual(['1, 2', 'a/b, c/d', 'e, f'])
  })

  test('a refused call is not told to continue, and its body is not asked for', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { bodyBytes: 10 })
    const client = await clientOf(gateway)
    client.send(change('Expect: 100-continue\r\nContent-Length: 11\r\n'))
    const answer = await client.answer()
    expect(answer.status).toBe(413)
    expect(answer.headers['fencing-verdict']).toBe('too-large')
    await client.ended()
    expect(backend.seen).toEqual([])
  })

  test('the policy sees the whole body it asks for, and one that grows past that is refused', async () => {
    const backend = kept(await startEchoBackend())
    const gateway = await gatewayTo(backend.url, { bodyBytes: 10 })
    const client = await clientOf(gateway)
    client.send(change('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n'))
    expect((await client.answer()).status).toBe(200)
    expect(gateway.policy.bodies).toEqual(['helloworld'])
    client.send(change('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n6\r\nworlds\r\n0\r\n\r\n'))
    expect((await client.answer()).status).toBe(413)
    expect(backend.seen).toHaveLength(1)
  })
})

describe('an answer on its way to the client', () => {
  testOfHttp1(
    'keeps status, reason, fields and their order; hop-by-hop fields and a forged verdict end here',
    async () => {
      const backend = kept(
        await startRawBackend((socket) =>
          socket.end(
            'HTTP/1.1 300 Many\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nFencing-Verdict: denied\r\nDate: today\r\nContent-Length: 2\r\n\r\nok',
          ),
        ),
      )
      const client = await clientOf(await gatewayTo(backend.url))
      client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
      const answer = await client.answer()
      expect(answer.rawHead).toContain(
        'HTTP/1.1 300 Many\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: today\r\nContent-Length: 2',
      )
      expect(answer.rawHead).not.toMatch(/x-hop|timeout=9|fencing-verdict/i)
      expect(answer.body).toBe('ok')
    },
  )

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n', 200, '500'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304, undefined],
  ])('%s with %j has no body and leaves the connection usable', async (method, text, status, length) => {
    const backend = kept(await startRawBackend((socket) => socket.write(text)))
    const client = await clientOf(await gatewayTo(backend.url))
    for (let i = 0; i < 2; i++) {
      client.send(`${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)
      const answer = await client.answer({ head: true })
      expect(answer.status).toBe(status)
      expect(answer.headers['content-length']).toBe(length)
    }
  })

  test('chunked answers and their trailers pass', async () => {
    const backend = kept(
      await startRawBackend((socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\nHost: b\r\n\r\n',
        ),
      ),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await client.answer()
    expect(answer.body).toBe('abc')
    expect(answer.trailers.toLowerCase()).toBe('x-sum: 9')
  })

  test('the head of a slow answer does not wait for its body', async () => {
    let finish: () => void = () => undefined
    const backend = kept(
      await startHttpBackend((_request, response) => {
        response.writeHead(200, { 'Content-Length': '4' })
        response.flushHeaders()
        finish = () => response.end('late')
      }),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until((text) => text.includes('\r\n\r\n'))
    finish()
    expect((await client.answer()).body).toBe('late')
  })

  test('an answer or a hint that cannot be written down for the client harms neither its call nor the gateway', async () => {
    const backend = kept(
      await startRawBackend((socket) =>
        socket.write(
          'HTTP/1.1 103 Early Hints\r\nLink: nonsense\r\n\r\nHTTP/1.1 200 Gr\xfcn\r\nX-A: \xfc\r\nContent-Length: 2\r\n\r\nok',
          'latin1',
        ),
      ),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    for (let i = 0; i < 2; i++) {
      client.send(change('Content-Length: 0\r\n'))
      const answer = await client.answer()
      expect([answer.status, answer.headers['x-a'], answer.body]).toEqual([200, '\xfc', 'ok'])
    }
    expect(gateway.gate.entries.map((entry) => entry.log)).toEqual([['ended'], ['ended']])
  })

  test('keeps bytes above ASCII in its fields, also where its body comes late', async () => {
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.resume()
        response.writeHead(200, ['X-A', '\xfc\xc3'])
        response.write(Buffer.alloc(0))
        setTimeout(() => response.end('ok'), 20)
      }),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send(change('Content-Length: 0\r\n'))
    const answer = await client.answer()
    expect([answer.status, answer.headers['x-a'], answer.body]).toEqual([200, '\xfc\xc3', 'ok'])
  })

  test('may be a part of a file, several parts, or the word that there is no such part', async () => {
    const file = '0123456789'
    const parts = '--b\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--b--\r\n'
    const backend = kept(
      await startEchoBackend(({ headers }, response) => {
        const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['range'])) ?? []
        if (headers['range'] === 'bytes=0-1,4-5')
          response.writeHead(206, { 'Content-Type': 'multipart/byteranges; boundary=b' }).end(parts)
        else if (from === '' || Number(to) > 9)
          response.writeHead(416, { 'Content-Range': 'bytes */10', 'Accept-Ranges': 'bytes' }).end()
        else
          response
            .writeHead(206, { 'Content-Range': `bytes ${from}-${to}/10`, ETag: '"e"' })
            .end(file.slice(Number(from), Number(to) + 1))
      }),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    const ask = async (range: string) => {
      client.send(`GET /image HTTP/1.1\r\nHost: a\r\nRange: ${range}\r\nIf-Range: "e"\r\n\r\n`)
      const { status, headers, body } = await client.answer()
      return { status, range: headers['content-range'], type: headers['content-type'], body }
    }
    expect(await ask('bytes=2-4')).toMatchObject({ status: 206, range: 'bytes 2-4/10', body: '234' })
    const several = { status: 206, type: 'multipart/byteranges; boundary=b', body: parts }
    expect(await ask('bytes=0-1,4-5')).toMatchObject(several)
    expect(await ask('bytes=9-99')).toMatchObject({ status: 416, range: 'bytes */10', body: '' })
    expect(backend.seen.map(({ headers }) => [headers['range'], headers['if-range']])).toEqual([
      ['bytes=2-4', '"e"'],
      ['bytes=0-1,4-5', '"e"'],
      ['bytes=9-99', '"e"'],
    ])
  })

  test('early hints pass', async () => {
    const backend = kept(
      await startRawBackend((socket) =>
        socket.write(
          'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
        ),
      ),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await client.answer()).status).toBe(103)
    expect((await client.answer()).status).toBe(200)
  })

  test('interim answers without end are no answer: the call is unknown, and its client is told', async () => {
    const hints = `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-A: ${'a'.repeat(1_000)}\r\n\r\n`
    const backend = kept(
      await startRawBackend((socket) => {
        const more = () => {
          while (socket.writable && socket.write(hints.repeat(20)));
        }
        socket.on('drain', more)
        more()
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 1\r\nContent-Length: 3\r\n\r\nabc')
    await client.until((received) => /HTTP\/1.1 50\d /.test(received))
    expect(client.received).toContain('502')
    expect(gateway.gate.entries[0]?.log).toEqual([expect.stringMatching(/^unknown: .*interim answers/)])
  })

  test('an answer without content has no length, whatever the backend says', async () => {
    const backend = kept(
      await startRawBackend((socket) =>
        socket.write('HTTP/1.1 204 No Content\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello'),
      ),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    for (let i = 0; i < 2; i++) {
      client.send('POST /x HTTP/1.1\r\nHost: a\r\nFencing-Token: 1\r\nContent-Length: 0\r\n\r\n')
      const answer = await client.answer()
      expect([answer.status, answer.headers['x-a'], answer.headers['content-length']]).toEqual([
        204,
        'b',
        undefined,
      ])
    }
    expect(client.received).toBe('')
  })

  test('64 MiB pass both ways unchanged, in bounded memory, also to a slow reader', async () => {
    const size = 64 * 1024 * 1024
    const piece = Buffer.alloc(64 * 1024, 'fencing ')
    const expected = createHash('sha256')
    for (let sent = 0; sent < size; sent += piece.length) expected.update(piece)
    const digest = expected.digest('hex')
    const got = createHash('sha256')
    const backend = kept(
      await startHttpBackend((request, response) => {
        request.on('data', (chunk: Buffer) => {
          got.update(chunk)
          if (!response.write(chunk)) request.pause()
        })
        response.on('drain', () => request.resume())
        request.on('end', () => response.end())
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const back = createHash('sha256')
    const before = process.memoryUsage().rss
    let most = 0
    await new Promise<void>((resolve, reject) => {
      const request = httpRequest(
        {
          port: gateway.port,
          host: '127.0.0.1',
          method: 'PUT',
          headers: { 'fencing-token': '1', 'content-length': size },
        },
        (response) => {
          let chunks = 0
          response.on('data', (chunk: Buffer) => {
            back.update(chunk)
            if (++chunks % 64 === 0) {
              most = Math.max(most, process.memoryUsage().rss)
              response.pause()
              setImmediate(() => response.resume())
            }
          })
          response.on('end', resolve)
          response.on('error', reject)
        },
      )
      request.on('error', reject)
      let sent = 0
      const send = () => {
        while (sent < size) {
          sent += piece.length
          if (!request.write(piece)) {
            request.once('drain', send)
            return
          }
        }
        request.end()
      }
      send()
    })
    expect(got.digest('hex')).toBe(digest)
    expect(back.digest('hex')).toBe(digest)
    expect(most - before).toBeLessThan(200 * 1024 * 1024)
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })

  test('a read is given up at the backend when its client hangs up', async () => {
    let closed = false
    let arrived = false
    const backend = kept(
      await startHttpBackend((_request, response) => {
        arrived = true
        response.on('close', () => {
          closed = true
        })
      }),
    )
    const client = await clientOf(await gatewayTo(backend.url))
    client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    await eventually(() => arrived)
    client.close()
    await eventually(() => closed)
  })

  testOfHttp1('an early answer reaches a client that still sends', async () => {
    const backend = kept(
      await startHttpBackend((_request, response) => {
        response.writeHead(413, { 'Content-Length': '3', Connection: 'close' })
        response.end('big')
      }),
    )
    const gateway = await gatewayTo(backend.url)
    const client = await clientOf(gateway)
    client.send(change(`Content-Length: ${1_000_000}\r\n`, 'a'.repeat(200_000)))
    const answer = await client.answer()
    expect(answer.status).toBe(413)
    expect(answer.body).toBe('big')
    client.send('a'.repeat(200_000))
    await client.ended()
    expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
  })
})
