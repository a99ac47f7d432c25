// The end of an answer: makes sure that it reaches a client that is still sending, and that it goes out in one write
// where it is small.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../spi/clock.ts'
import type { ProxyLimits } from './limits.ts'

const ONE_WRITE_BYTES_MAX = 16 * 1024

export function endAnswer(
  message: { readonly request: IncomingMessage; readonly response: ServerResponse },
  last: Buffer | null,
  trailers: [string, string][] | null,
  terms: { readonly clock: Clock; readonly limits: ProxyLimits },
): void {
  const { request, response } = message
  if (trailers !== null && response.chunkedEncoding) response.addTrailers(trailers)
  if (request.complete) {
    if (last === null) response.end()
    // As text node joins it with the head: one write of one string instead of a gathered one.
    else if (last.length <= ONE_WRITE_BYTES_MAX) response.end(last.toString('latin1'), 'latin1')
    else response.end(last)
    return
  }
  // Closing now would reset the connection under a client that still sends, and the answer might be lost with it.
  response.flushHeaders()
  if (last !== null) response.write(last)
  linger(request, response, terms)
}

function linger(
  request: IncomingMessage,
  response: ServerResponse,
  { clock, limits }: { readonly clock: Clock; readonly limits: ProxyLimits },
): void {
  let left = limits.lingerBytesMax
  const end = () => {
    timer.cancel()
    response.end()
  }
  const timer = clock.after(limits.lingerMs, end)
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) end()
  })
  request.once('end', end)
  request.once('close', () => timer.cancel())
  request.resume()
}
