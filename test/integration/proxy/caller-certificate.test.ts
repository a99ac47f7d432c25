// A client's certificate as the mark by which he is known: only where an authority of ours has signed it, and never a condition.

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CallerBook } from '../../../gateway/spi/callers.ts'
import { type EchoBackend, startEchoBackend } from '../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../support/echo-backend-gateway.ts'

interface Pair {
  readonly cert: string
  readonly key: string
}

const folder = mkdtempSync(join(tmpdir(), 'fencegate-client-'))
const BOOK: CallerBook = {
  find: () => ({ kind: 'unknown' }),
  findCurrent: () => Promise.resolve({ kind: 'unknown' }),
  learn: () => Promise.resolve(null),
  forget: () => Promise.resolve(),
}

/** Signed by itself. */
function pair(name: string): Pair {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
    ].concat([
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ]),
    { stdio: 'ignore' },
  )
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

describe('a client certificate', () => {
  let own: Pair
  let known: Pair
  let stranger: Pair
  let backend: EchoBackend
  let gateway: TestGateway

  beforeAll(async () => {
    own = pair('gateway')
    known = pair('nova-1')
    stranger = pair('nobody')
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
    rmSync(folder, { recursive: true, force: true })
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

  test('that an authority of ours signed is borne by the call, by its fingerprint', async () => {
    expect(await call(known)).toBe(200)
    const value = new X509Certificate(known.cert).fingerprint256.replaceAll(':', '').toLowerCase()
    expect(gateway.gate.asked.at(-1)?.caller?.claims).toEqual([{ by: 'certificate', value }])
  })

  test('of anybody else says nothing, and neither does none', async () => {
    for (const shown of [stranger, null]) {
      expect(await call(shown)).toBe(200)
      expect(gateway.gate.asked.at(-1)?.caller?.claims).toEqual([])
    }
  })
})
