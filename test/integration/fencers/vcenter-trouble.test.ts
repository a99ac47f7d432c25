// Both vSphere fencers against what is no vCenter: nobody, somebody who talks nonsense, and somebody who never stops talking.

import { createServer, type ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import account from '../../../fencers/vsphere-account.ts'
import session from '../../../fencers/vsphere-session.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { anAttemptNow, realClock } from './support.ts'

const SECRET = 'very-secret-word'
const context = { clock: realClock, note: () => undefined }
const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function serve(
  answer: (response: ServerResponse) => void,
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => answer(response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  return { url: `http://127.0.0.1:${port}/sdk`, stop }
}

/** Well-formed for as long as anybody reads. */
function flood(response: ServerResponse): void {
  response.write('<s:Envelope xmlns:s="e"><s:Body><RetrieveServiceContentResponse>')
  const piece = Buffer.alloc(1024 * 1024, '<a>b</a>')
  const pour = (): void => {
    if (!response.destroyed) response.write(piece, () => setImmediate(pour))
  }
  pour()
}

const drivers = {
  'vsphere-session': (url: string) => {
    const fencer = session.create(session.options.parse({ url, username: 'u', password: SECRET }), context)
    return bound(fencer, { sessionKey: 'a-session' })
  },
  'vsphere-account': (url: string) => {
    const fencer = account.create(account.options.parse({ url, username: 'u', password: SECRET }), context)
    return bound(fencer, { userName: 'nova' })
  },
}
function bound<Info>(fencer: Fencer<Info>, info: Info) {
  open.push(async () => await fencer.close?.())
  return {
    fence: () => fencer.fence(info, anAttemptNow()),
    verify: () => fencer.verify(info, anAttemptNow()),
    monitor: () => fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) }),
  }
}

describe('a vCenter', () => {
  test.each(['vsphere-session', 'vsphere-account'] as const)(
    'of %s that babbles, floods, or is not there shows nothing, and strikes nobody',
    async (driver) => {
      for (const answer of [
        (response: ServerResponse) => response.end('<html><body>404</body></html>'),
        (response: ServerResponse) => response.end('\u0000\u0001<'),
        (response: ServerResponse) => response.writeHead(200).end(),
        (response: ServerResponse) =>
          response.end('<s:Envelope xmlns:s="e"><s:Body><a/></s:Body></s:Envelope>'),
        flood,
        null,
      ]) {
        const server = await serve(answer ?? (() => undefined))
        open.push(() => server.stop())
        if (answer === null) await server.stop()
        const fencer = drivers[driver](server.url)
        await expect(fencer.fence()).rejects.toThrow()
        const seen = await fencer.verify()
        expect(seen.state).toBe('unknown')
        expect(JSON.stringify(seen)).not.toContain(SECRET)
        if (answer !== flood) await expect(fencer.monitor()).rejects.toThrow()
      }
    },
    30_000,
  )
})
