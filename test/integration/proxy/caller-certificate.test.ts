// A client's certificate as the mark by which he is known: only where an authority of ours has signed it, and never a condition.

import { X509Certificate } from 'node:crypto'
import { connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CallerBook } from '../../../gateway/spi/callers.ts'
import { type Pair, selfSigned } from '../../support/certificates.ts'
import { type EchoBackend, startEchoBackend } from '../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'

const BOOK: CallerBook = {
  find: () => ({ kind: 'unknown' }),
  findCurrent: () => Promise.resolve({ kind: 'unknown' }),
  learn: () => Promise.resolve(null),
  forget: () => Promise.resolve(),
}

describe('a client certificate', () => {
  let own: Pair
  let known: Pair
  let stranger: Pair
  let backend: EchoBackend
  let gateway: TestGateway

  beforeAll(async () => {
    own = selfSigned('/CN=gateway', 'DNS:localhost')
    known = selfSigned('/CN=nova-1', 'DNS:localhost')
    stranger = selfSigned('/CN=nobody', 'DNS:localhost')
    backend = await startEchoBackend()
    gateway = await startTestGateway(
      backend.url,
      {},
      {
        tls: { ...own, clientCa: known.cert },
        callers: { book: BOOK, realm: 'vc', ways: new Set(['certificate']), implicit: true, listener: 'vc' },
      },
    )
  })
  afterAll(async () => {
    await gateway.listener.close()
    await backend.close()
  })

  function call(shown: Pair | null): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        port: gateway.port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: own.cert,
        method: 'POST',
        path: '/x',
        agent: false,
        ...shown,
      })
      request.on('response', (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0))
      })
      request.on('error', reject)
      request.end()
    })
  }

  function callByHttp2(shown: Pair | null): Promise<number> {
    return new Promise((resolve, reject) => {
      const address = `https://127.0.0.1:${gateway.port}`
      const session = connectHttp2(address, { servername: 'localhost', ca: own.cert, ...shown })
      session.on('error', reject)
      const stream = session.request({ ':method': 'POST', ':path': '/x' }, { endStream: true })
      stream.on('response', (head) => {
        session.close()
        resolve(head[':status'] ?? 0)
      })
    })
  }

  test.each([
    ['HTTP/1.1', call],
    ['HTTP/2', callByHttp2],
  ])(
    'that an authority of ours signed is borne by a call in %s, by its fingerprint',
    async (_version, by) => {
      expect(await by(known)).toBe(200)
      const value = new X509Certificate(known.cert).fingerprint256.replaceAll(':', '').toLowerCase()
      expect(gateway.gate.asked.at(-1)?.caller?.claims).toEqual([{ by: 'certificate', value }])
    },
  )

  test.each([
    ['HTTP/1.1', call],
    ['HTTP/2', callByHttp2],
  ])('of anybody else says nothing in %s, and neither does none', async (_version, by) => {
    for (const shown of [stranger, null]) {
      expect(await by(shown)).toBe(200)
      expect(gateway.gate.asked.at(-1)?.caller?.claims).toEqual([])
    }
  })
})
