// TLS from the configuration file to the wire: the listener's certificate, the authority of the backend's, and a
// certificate of the gateway's own where the backend asks for one.

import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, request, type Server } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../../support/certificates.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'

describe('TLS on both sides', () => {
  let folder: GatewayFolder
  let backend: Server

  beforeEach(async () => {
    folder = new GatewayFolder()
    const pair = selfSigned('/CN=localhost', 'DNS:localhost')
    writeFileSync(join(folder.path, 'cert.pem'), pair.cert)
    writeFileSync(join(folder.path, 'key.pem'), pair.key)
    const options = { ...pair, ca: pair.cert, requestCert: true, rejectUnauthorized: false }
    backend = createServer(options, (call, answer) => {
      const { authorized } = call.socket as TLSSocket
      answer.end(authorized ? 'known' : 'unknown')
    })
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  })

  afterEach(async () => {
    await folder.remove()
    backend.closeAllConnections()
    await new Promise((resolve) => backend.close(resolve))
  })

  async function read(upstreamTls: Record<string, unknown>): Promise<{ status: number; body: string }> {
    const address = backend.address()
    if (address === null || typeof address === 'string') throw new Error('the backend has no port')
    folder.configure({
      backends: {
        any: {
          listen: '127.0.0.1:0',
          tls: { cert: './cert.pem', key: './key.pem' },
          upstream: `https://localhost:${address.port}`,
          upstreamTls,
          policy: 'http-any',
        },
      },
    })
    const gateway = await folder.start()
    const { port } = new URL(gateway.backend('any'))
    return await new Promise((resolve, reject) => {
      const call = request(
        { host: '127.0.0.1', port, servername: 'localhost', ca: readFileSync(join(folder.path, 'cert.pem')) },
        (answer) => {
          let body = ''
          answer.on('data', (chunk: Buffer) => {
            body += chunk.toString()
          })
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
        },
      )
      call.on('error', reject)
      call.end()
    })
  }

  it('shows the backend the gateway’s own certificate', async () => {
    const own = { ca: './cert.pem', cert: './cert.pem', key: './key.pem' }
    expect(await read(own)).toEqual({ status: 200, body: 'known' })
  })

  it('shows none where none is configured', async () => {
    expect(await read({ ca: './cert.pem' })).toEqual({ status: 200, body: 'unknown' })
  })

  it('refuses a backend whose certificate nobody vouches for, and says that nothing was sent', async () => {
    const answer = await read({})
    expect(answer.status).toBe(503)
    expect(answer.body).toContain('nothing of the call was sent')
  })

  it('checks the certificate under the name that it is told', async () => {
    expect((await read({ ca: './cert.pem', serverName: 'elsewhere' })).status).toBe(503)
  })
})
