// Clients of HTTP/2 that others have written, through the gateway and back.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../../house/availability.ts'
import { selfSigned } from '../../../support/certificates.ts'
import { type EchoBackend, startEchoBackend } from '../../../support/echo-backend.ts'
import { startTestGateway, type TestGateway } from '../../../support/echo-backend-gateway.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost')
const LONG = 'abcdefgh'.repeat(400_000)

describeWith(['curl', 'nghttp', 'h2load'], 'through HTTP/2', () => {
  let backend: EchoBackend
  let gateway: TestGateway
  let folder = ''
  let url = ''

  beforeAll(async () => {
    backend = await startEchoBackend((request, response) => {
      response.writeHead(request.target === '/missing' ? 404 : 200, {
        'X-Length': String(request.body.length),
      })
      response.end(request.method === 'PUT' ? request.body : 'fine')
    })
    gateway = await startTestGateway(backend.url, {}, { tls: { cert, key } })
    url = `https://127.0.0.1:${gateway.port}`
    folder = mkdtempSync(join(tmpdir(), 'fencegate-http2-'))
    writeFileSync(join(folder, 'long'), LONG)
    writeFileSync(join(folder, 'short'), 'abc')
  })
  afterAll(async () => {
    await gateway.listener.close()
    await backend.close()
    rmSync(folder, { recursive: true })
  })

  function run(program: string, ...args: string[]): Promise<{ code: number | null; said: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
      let said = ''
      for (const out of [child.stdout, child.stderr])
        out.on('data', (piece: Buffer) => {
          said += piece.toString('latin1')
        })
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, said }))
    })
  }

  const curl = (...args: string[]) => run('curl', '-sSk', '--http2', '--max-time', '15', ...args)

  test('curl reads, changes, is refused, and gets a missing page', async () => {
    const told = ['-o', '/dev/null', '-w', '%{http_version} %{http_code} ']
    const change = ['-H', 'Fencing-Token: 1', '-d', 'abc']
    const { said } = await curl(...told, `${url}/x`, '--next', '-k', ...told, ...change, `${url}/x`)
    expect(said).toBe('2 200 2 200 ')
    expect((await curl(...told, `${url}/denied`, `${url}/missing`, '-I')).said).toMatch(/^2 403 /)
    expect((await curl('-I', `${url}/missing`)).said).toMatch(/^HTTP\/2 404 \r\nx-length: 0/)
  })

  test('curl gets back every byte of a long body that it sends, with a length and without', async () => {
    for (const how of [
      ['-T', join(folder, 'long')],
      ['-X', 'PUT', '-H', 'Expect: 100-continue', '--data-binary', `@${folder}/long`],
    ]) {
      const { code, said } = await curl('-H', 'Fencing-Token: 1', ...how, `${url}/long`)
      expect(code).toBe(0)
      expect(said === LONG).toBe(true)
    }
  })

  test('nghttp has its calls on one connection answered, with trailers of its own', async () => {
    const before = backend.seen.length
    const { code, said } = await run(
      'nghttp',
      ...['-ns', '--no-verify-peer', '-H', 'fencing-token: 1', '-d', join(folder, 'short')],
      ...['--trailer', 'x-sum: 9', '-m', '20', `${url}/x`],
    )
    expect(code, said).toBe(0)
    expect(said.match(/ 200 +\d+ \/x/g), said).toHaveLength(20)
    const seen = backend.seen.slice(before)
    expect(seen.map(({ body, trailers }) => [body, trailers.length])).toEqual(
      Array.from({ length: 20 }, () => ['abc', 0]),
    )
  })

  test('h2load has every one of its calls answered', async () => {
    const { said } = await run(
      'h2load',
      '-n',
      '1000',
      '-c',
      '10',
      '-m',
      '20',
      '-H',
      'fencing-token: 1',
      '-d',
      join(folder, 'short'),
      `${url}/x`,
    )
    expect(said).toContain('1000 succeeded, 0 failed, 0 errored, 0 timeout')
    expect(gateway.gate.entries.every(({ log }) => log.join() === 'ended')).toBe(true)
  })
})
