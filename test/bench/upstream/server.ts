// The backend of every sample, in a process of its own: answers each request with the same small 200, `GET …/down/N`
// with N bytes, `…/up` with the number of bytes that came, `/calls` with the number of the others until now. Started as `node server.ts '<UpstreamOptions as JSON>'`; it
// writes its port as one line to standard output, and ends on SIGTERM or when standard input closes.

import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { RequestFraming, type RequestHead } from './framing.ts'

export interface UpstreamOptions {
  /** Each answer is held back for so long; `asked`: for as long as the request says. */
  readonly delayMs: number | 'asked'
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
}

const options: UpstreamOptions = JSON.parse(process.argv[2] ?? '{"delayMs":0,"tls":null}')

const SMALL_ANSWER = answer('{}')
const PIECE = Buffer.alloc(256 * 1024, 0x2e)

function answer(body: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

let calls = 0

function respond(socket: net.Socket, head: RequestHead, bodyBytes: number): void {
  if (head.target === '/calls') {
    socket.end(answer(String(calls)), 'latin1')
    return
  }
  calls++
  const down = head.target.indexOf('/down/')
  if (down >= 0) {
    pour(socket, Number.parseInt(head.target.slice(down + 6), 10))
    return
  }
  const text = head.target.endsWith('/up') ? answer(JSON.stringify({ received: bodyBytes })) : SMALL_ANSWER
  const delayMs = options.delayMs === 'asked' ? head.delayMs : options.delayMs
  if (delayMs === 0) socket.write(text, 'latin1')
  else setTimeout(() => socket.write(text, 'latin1'), delayMs)
}

function pour(socket: net.Socket, bytes: number): void {
  socket.write(
    `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n\r\n`,
    'latin1',
  )
  let left = bytes
  const go = (): void => {
    while (left > 0) {
      const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left)
      left -= piece.length
      if (!socket.write(piece)) {
        socket.once('drain', go)
        return
      }
    }
  }
  go()
}

function serve(socket: net.Socket): void {
  socket.setNoDelay(true)
  const framing = new RequestFraming(
    (head, bodyBytes) => respond(socket, head, bodyBytes),
    options.delayMs === 'asked',
  )
  socket.on('data', (chunk: Buffer) => framing.feed(chunk))
  // A proxy that ends while an answer is on its way is part of every run; it shows in the load generator's figures.
  socket.on('error', () => socket.destroy())
}

const server =
  options.tls === null
    ? net.createServer(serve)
    : tls.createServer(
        { cert: readFileSync(options.tls.certFile), key: readFileSync(options.tls.keyFile) },
        serve,
      )
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the backend got no port')
  process.stdout.write(`${address.port}\n`)
})
process.once('SIGTERM', () => process.exit(0))
process.stdin.once('end', () => process.exit(0)).resume()
