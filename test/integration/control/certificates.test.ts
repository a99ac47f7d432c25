// Client certificates as credentials of the control API, over real TLS.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { afterAll, describe, expect, test } from 'vitest'
import { fetchWith } from '../../../gateway/cli/index.ts'
import { Authority, type Signed } from '../../support/certificates.ts'
import { run as runWith } from '../../unit/cli/run-with.ts'
import { start } from './start.ts'

const authority = new Authority()
const stranger = new Authority()
const server = authority.sign('/CN=gateway', 'IP:127.0.0.1')
const nova = authority.sign('/CN=nova-1')
const byName = authority.sign('/O=x', 'DNS:ops.fleet.example')
const pinned = authority.sign('/CN=whoever')

afterAll(() => {
  authority.remove()
  stranger.remove()
})

const TOKEN = 'viewer-1234567890123'
const credentials = [
  { certificate: 'nova-1', role: 'holder', holder: 'nova-1' },
  { certificate: 'ops.fleet.example', role: 'operator', holder: null },
  { certificate: new X509Certificate(pinned.cert).fingerprint256, role: 'viewer', holder: null },
  { token: TOKEN, role: 'viewer', holder: null },
] as const

async function started() {
  const { port } = await start({
    tls: { cert: server.cert, key: server.key, clientCa: authority.pem },
    credentials,
  })
  const ask = (
    shown: Signed | null,
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: unknown } = {},
  ) =>
    new Promise<{ status: number | undefined; detail: string }>((resolve, reject) => {
      const options = { port, host: '127.0.0.1', method, path, ca: authority.pem, agent: false as const }
      const tls = shown === null ? {} : { cert: shown.cert, key: shown.key }
      const call = request(
        { ...options, ...tls, headers: { 'content-type': 'application/json', ...headers } },
        (answer) => {
          let text = ''
          answer.setEncoding('utf8').on('data', (piece: string) => {
            text += piece
          })
          answer.on('end', () => {
            const detail = text === '' ? '' : String(JSON.parse(text).detail)
            resolve({ status: answer.statusCode, detail })
          })
        },
      )
      call.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
    })
  return { port, ask }
}

const CONFIRM = '/v1/fences/9/confirm'
const WORD = { body: { by: 'x', reason: 'y' } }

describe('a client certificate', () => {
  test('names its holder by common name, DNS name or fingerprint, and has the role of its credential', async () => {
    const { ask } = await started()
    const opening = (id: string) => ({ body: { ttl: 10, holder: { id } } })
    expect((await ask(nova, 'POST', '/v1/sessions', opening('nova-1'))).status).toBe(201)
    expect((await ask(nova, 'POST', '/v1/sessions', opening('nova-2'))).status).toBe(403)
    expect((await ask(nova, 'POST', CONFIRM, WORD)).status).toBe(403)
    expect((await ask(byName, 'POST', CONFIRM, WORD)).status).toBe(404)
    expect((await ask(pinned, 'GET', '/v1/fences')).status).toBe(200)
    expect((await ask(pinned, 'POST', CONFIRM, WORD)).status).toBe(403)
  })

  test('that another authority signed, or that nobody named, is nobody’s', async () => {
    const { ask } = await started()
    const forged = stranger.sign('/CN=nova-1')
    expect(await ask(forged, 'GET', '/v1/locks')).toMatchObject({
      status: 401,
      detail: expect.stringContaining('clientCa'),
    })
    for (const other of [
      authority.sign('/CN=nova-11'),
      authority.sign('/CN=nova-1/CN=ops.fleet.example'),
      authority.sign('/O=x', 'DNS:*.fleet.example'),
      authority.sign('/O=nova-1', 'email:ops.example@x'),
    ])
      expect(await ask(other, 'GET', '/v1/locks')).toMatchObject({
        status: 401,
        detail: expect.stringContaining('none of control.credentials'),
      })
  })

  test('is not needed for health, nor with a token, and does not stand in for a wrong one', async () => {
    const { ask } = await started()
    expect((await ask(null, 'GET', '/livez')).status).toBe(200)
    expect(await ask(null, 'GET', '/v1/locks')).toMatchObject({
      status: 401,
      detail: expect.stringContaining('or a client certificate'),
    })
    const bearing = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
    expect((await ask(null, 'GET', '/v1/fences', bearing(TOKEN))).status).toBe(200)
    expect((await ask(byName, 'GET', '/v1/fences', bearing('wrong'))).status).toBe(401)
    expect((await ask(byName, 'POST', CONFIRM, { ...WORD, ...bearing(TOKEN) })).status).toBe(403)
  })

  test('is shown by the commands that are told of one', async () => {
    const { port } = await started()
    const run = (args: readonly string[]) =>
      runWith(args, {
        fetchWith,
        readText: (path) => readFileSync(path, 'utf8'),
        environment: { FENCEGATE_CONTROL: `https://127.0.0.1:${port}` },
      })
    const trust = ['--cacert', authority.file]
    const show = ['--cert', pinned.certFile, '--key', pinned.keyFile]
    expect(await run(['fences', '--json', ...trust, ...show])).toMatchObject({ code: 0 })
    expect((await run(['fences', ...trust])).err).toContain('--cert and --key')
    expect((await run(['fences', ...show])).err).toMatch(/cannot be reached/)
    expect((await run(['fences', ...trust, '--cert', pinned.certFile])).err).toContain('together')
    expect((await run(['fences', '--cacert', '/nowhere'])).err).toContain('/nowhere cannot be read (ENOENT)')
  })
})
