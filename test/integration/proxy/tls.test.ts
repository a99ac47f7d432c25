// TLS on both sides: the listener's own certificate, and the backend's, checked under the upstream's name and no other.

import { createServer, request as httpsRequest } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { ProxyLimits } from '../../../gateway/proxy/limits.ts'
import { selfSigned } from '../../support/certificates.ts'
import { startTestGateway } from '../../support/echo-backend-gateway.ts'
import { closeLater } from './kept.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')

async function tlsBackend() {
  const servernames: unknown[] = []
  const sockets = new Set<unknown>()
  const server = createServer({ cert, key }, (request, response) => {
    servernames.push(Reflect.get(request.socket, 'servername'))
    sockets.add(request.socket)
    request.resume().on('end', () => response.end('secure'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closeLater(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return { port: (server.address() as AddressInfo).port, servernames, sockets }
}

function call(port: number, host: string): Promise<{ status: number; body: string; authorized: boolean }> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: cert,
        method: 'POST',
        headers: { host, 'fencing-token': '1' },
      },
      (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString()
        })
        const { authorized } = response.socket as TLSSocket
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body, authorized }))
      },
    )
    request.on('error', reject)
    request.end('abc')
  })
}

describe('TLS', () => {
  test('the backend is named after the upstream, and its connection kept, whatever Host the clients send', async () => {
    const backend = await tlsBackend()
    const gateway = await startTestGateway(
      `https://localhost:${backend.port}`,
      {},
      {
        tls: { cert, key },
        upstreamTls: { ca: cert },
      },
    )
    closeLater(() => gateway.listener.close())
    for (const host of ['one.example', 'two.example', 'three.example'])
      expect(await call(gateway.port, host)).toEqual({ status: 200, body: 'secure', authorized: true })
    expect(backend.servernames).toEqual(['localhost', 'localhost', 'localhost'])
    expect(backend.sockets.size).toBe(1)
  })

  test.each([
    ['is not trusted', 'localhost', {}, 503],
    ['has another name', '127.0.0.1', { ca: true }, 503],
    ['is not looked at', '127.0.0.1', { rejectUnauthorized: false }, 200],
  ])(
    'a backend whose certificate %s: nothing is sent, unless configured so',
    async (_name, name, tls, status) => {
      const backend = await tlsBackend()
      const gateway = await startTestGateway(
        `https://${name}:${backend.port}`,
        {},
        {
          tls: { cert, key },
          upstreamTls: 'ca' in tls ? { ca: cert } : tls,
        },
      )
      closeLater(() => gateway.listener.close())
      expect((await call(gateway.port, 'localhost')).status).toBe(status)
      expect(backend.servernames).toHaveLength(status === 200 ? 1 : 0)
      expect(gateway.gate.entries[0]?.log).toEqual(['ended'])
    },
  )

  async function listening(limits: Partial<ProxyLimits> = {}) {
    const backend = await tlsBackend()
    const gateway = await startTestGateway(
      `https://localhost:${backend.port}`,
      {},
      { tls: { cert, key }, upstreamTls: { ca: cert }, limits },
    )
    closeLater(() => gateway.listener.close())
    return gateway
  }

  /** The protocol that was agreed on, or the fault. */
  function agreed(port: number, ALPNProtocols: string[]): Promise<string | false | null> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', ca: cert, servername: 'localhost', ALPNProtocols })
      closeLater(async () => void socket.destroy())
      socket.once('secureConnect', () => resolve(socket.alpnProtocol))
      socket.once('error', reject)
    })
  }

  test('HTTP/2 and HTTP/1.1 are spoken behind it, and nothing else', async () => {
    const { port } = await listening()
    expect(await agreed(port, ['http/1.1', 'h2'])).toBe('h2')
    expect(await agreed(port, ['spdy/3', 'http/1.1'])).toBe('http/1.1')
    await expect(agreed(port, ['h3', 'spdy/3'])).rejects.toThrow(/alert/)
  })

  test('many handshakes at once are all served, each in its turn', async () => {
    const { listener, port } = await listening()
    const answers = await Promise.all(Array.from({ length: 120 }, () => call(port, 'localhost')))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(120)
    expect(listener.state.shed).toEqual({})
  })

  test('a client that does not begin its handshake is not waited for', async () => {
    const { listener, port } = await listening({ headMs: 100 })
    const silent = connect({ port, host: '127.0.0.1' })
    closeLater(async () => void silent.destroy())
    await expect.poll(() => listener.state.connections).toBe(1)
    await new Promise<void>((resolve) => silent.once('close', () => resolve()))
    await expect.poll(() => listener.state.connections).toBe(0)
  })
})
