// A port for a program that cannot be told to take port 0 and say which it got.

import { createServer } from 'node:net'

/** Was free a moment ago on 127.0.0.1; the caller has to cope with somebody having taken it since. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  if (address === null || typeof address === 'string') throw new Error('the probe has no port')
  return address.port
}
