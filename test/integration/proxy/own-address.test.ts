// A backend that speaks of its own address: what leads back to the gateway by itself, what stays as it is, and what only
// the backend's own configuration can mend (docs/data-plane.md).

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { describeWith } from '../../house/availability.ts'
import { selfSigned } from '../../support/certificates.ts'
import { type EchoBackend, type SeenRequest, startEchoBackend } from '../../support/echo-backend.ts'
import { closeLater, gatewayTo, kept } from './kept.ts'

const { cert, key } = selfSigned('/CN=localhost', 'DNS:localhost,IP:127.0.0.1')

/** As OpenStack's services do it behind `enable_proxy_headers_parsing`: from what the call says of how it was asked. */
function ownUrl({ headers }: SeenRequest): string {
  const scheme = headers['x-forwarded-proto'] ?? 'http'
  return `${String(scheme)}://${String(headers['x-forwarded-host'] ?? headers['host'])}`
}

async function openstack(): Promise<EchoBackend> {
  return kept(
    await startEchoBackend((request, response) => {
      const links = (path: string) => ({ links: [{ rel: 'self', href: `${ownUrl(request)}${path}` }] })
      switch (request.target) {
        case '/':
          response.writeHead(300, { Location: `${ownUrl(request)}/v3/` })
          response.end(JSON.stringify({ versions: [{ id: 'v3.0', ...links('/v3/') }] }))
          break
        case '/v3':
          response.writeHead(302, { Location: '/v3/' }).end()
          break
        case '/v3/p/volumes?limit=1':
          response.end(
            JSON.stringify({
              volumes: [links('/v3/p/volumes/1')],
              volumes_links: links('/v3/p/volumes?marker=1').links,
            }),
          )
          break
        default:
          response.end(`here is ${request.target}`)
      }
    }),
  )
}

async function curl(...args: string[]): Promise<string> {
  return (await promisify(execFile)('curl', ['-sSk', '--max-time', '10', ...args])).stdout
}

describeWith(['curl'], 'an address that the backend makes', () => {
  test.each([
    ['from Host, in plain HTTP', 'http', {}, []],
    [
      'from what it is told, behind TLS',
      'https',
      { forwarded: { send: ['x-forwarded'], trust: [] } },
      ['--http1.1'],
    ],
    [
      'from what it is told, in HTTP/2',
      'https',
      { forwarded: { send: ['x-forwarded'], trust: [] } },
      ['--http2'],
    ],
  ] as const)(
    '%s leads back to the gateway, in fields and in bodies',
    async (_how, scheme, options, version) => {
      const backend = await openstack()
      const gateway = await gatewayTo(
        backend.url,
        {},
        { ...options, ...(scheme === 'https' ? { tls: { cert, key } } : {}) },
      )
      const url = `${scheme}://127.0.0.1:${gateway.port}`
      const follow = async (path: string) =>
        await curl(...version, '-L', '-w', ' %{url_effective} %{num_redirects}', `${url}${path}`)
      const versions = JSON.parse(await curl(...version, `${url}/`))
      expect(versions.versions[0].links[0].href).toBe(`${url}/v3/`)
      expect(await follow('/v3')).toBe(`here is /v3/ ${url}/v3/ 1`)
      expect(
        await curl(...version, '-o', '/dev/null', '-w', '%{redirect_url} %header{location}', `${url}/`),
      ).toBe(`${url}/v3/ ${url}/v3/`)
      const page = JSON.parse(await curl(...version, `${url}/v3/p/volumes?limit=1`))
      for (const { href } of [...page.volumes[0].links, ...page.volumes_links]) {
        expect(href.startsWith(`${url}/v3/p/volumes`)).toBe(true)
        expect(await curl(...version, href)).toMatch(/^here is \/v3\/p\/volumes/)
      }
      // Every one of them came by the gateway.
      expect(backend.seen.every(({ headers }) => headers['via'] !== undefined)).toBe(true)
    },
  )

  test.each(['http://10.0.0.5:8776', 'https://volumes.internal'])(
    'of its own configuration (%s) is passed on as it is: to be settled there',
    async (own) => {
      const body = JSON.stringify({ links: [{ href: `${own}/v3/` }] })
      const backend = kept(
        await startEchoBackend((_request, response) => {
          response.writeHead(301, {
            Location: `${own}/v3/`,
            'Content-Location': `${own}/v3/`,
            Link: `<${own}/v3>; rel="self"`,
          })
          response.end(body)
        }),
      )
      const { port } = await gatewayTo(backend.url)
      const answer = await curl('-i', `http://127.0.0.1:${port}/`)
      expect(answer).toContain(`Location: ${own}/v3/\r\n`)
      expect(answer).toContain(`Content-Location: ${own}/v3/\r\n`)
      expect(answer).toContain(`Link: <${own}/v3>; rel="self"\r\n`)
      expect(answer.endsWith(body)).toBe(true)
    },
  )
})

describeWith(['curl'], 'a cookie of the backend', () => {
  async function sentBack(
    cookie: string,
    name: string,
    scheme: 'http' | 'https',
  ): Promise<string | undefined> {
    const backend = kept(
      await startEchoBackend((_request, response) => response.setHeader('Set-Cookie', cookie).end()),
    )
    const gateway = await gatewayTo(backend.url, {}, scheme === 'https' ? { tls: { cert, key } } : {})
    const folder = mkdtempSync(join(tmpdir(), 'fencegate-cookies-'))
    closeLater(() => rmSync(folder, { recursive: true }))
    const jar = join(folder, 'jar')
    const at = ['--resolve', `${name}:${gateway.port}:127.0.0.1`, '-b', jar, '-c', jar]
    for (const path of ['/sdk', '/sdk/vimService'])
      await curl(...at, `${scheme}://${name}:${gateway.port}${path}`)
    return backend.seen[1]?.headers['cookie'] as string | undefined
  }

  test.each([
    [
      'without a domain belongs to the gateway',
      's="a-b"; Path=/; HttpOnly',
      'gateway.example',
      'http',
      's="a-b"',
    ],
    ['keeps its path, which is the same on both sides', 's=1; Path=/sdk', 'gateway.example', 'http', 's=1'],
    ['of another path is not sent', 's=1; Path=/ui', 'gateway.example', 'http', undefined],
    [
      'of a domain is kept where the gateway has a name in it',
      's=1; Domain=cloud.example',
      'vc.cloud.example',
      'http',
      's=1',
    ],
    [
      'of a domain is lost where it has not',
      's=1; Domain=cloud.example',
      'gateway.example',
      'http',
      undefined,
    ],
    ['for TLS alone is sent over TLS', 's=1; Secure', 'gateway.example', 'https', 's=1'],
    ['for TLS alone is lost without', 's=1; Secure', 'gateway.example', 'http', undefined],
  ] as const)('%s', async (_what, cookie, name, scheme, expected) => {
    expect(await sentBack(cookie, name, scheme)).toBe(expected)
  })
})
