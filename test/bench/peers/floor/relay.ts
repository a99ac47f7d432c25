// Gives each piece that a client sends to a backend's connection that lies idle, in one write, and the answer back in one.
// It takes for granted that calls and answers are small and come whole, looks only for the end of a head and its length,
// and stops where that is not so. Started as `node relay.ts UPSTREAM_PORT`; writes its port to standard output.

import net from 'node:net'

const READ_BYTES = 32 * 1024
const LENGTH = /\r\ncontent-length: (\d+)\r\n/i

const upstreamPort = Number(process.argv[2])
const idle: BackendConnection[] = []

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  return end !== -1 && text.length >= end + 4 + Number(LENGTH.exec(text)?.[1] ?? 0)
}

class BackendConnection {
  readonly #socket: net.Socket
  #client: net.Socket | null = null

  constructor() {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    this.#socket = net
      .connect({
        port: upstreamPort,
        host: '127.0.0.1',
        onread: {
          buffer,
          callback: (length) => {
            this.#answered(buffer.toString('latin1', 0, length))
            return true
          },
        },
      })
      .setNoDelay(true)
    this.#socket.on('error', stop)
  }

  send(client: net.Socket, call: string): void {
    this.#client = client
    this.#socket.write(call, 'latin1')
  }

  #answered(answer: string): void {
    if (!isWhole(answer)) stop(new Error(`not an answer that came whole:\n${answer}`))
    this.#client?.write(answer, 'latin1')
    this.#client = null
    idle.push(this)
  }
}

function stop(error: Error): void {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

const server = net.createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('data', (bytes: Buffer) => {
    const call = bytes.toString('latin1')
    if (!isWhole(call)) stop(new Error(`not a call that came whole:\n${call}`))
    const connection = idle.pop() ?? new BackendConnection()
    connection.send(socket, call)
  })
  // The load generator ends its connections as it likes.
  socket.on('error', () => socket.destroy())
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the relay got no port')
  process.stdout.write(`${address.port}\n`)
})
process.once('SIGTERM', () => process.exit(0))
process.stdin.once('end', () => process.exit(0)).resume()
