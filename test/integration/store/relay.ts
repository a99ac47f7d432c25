// A TCP relay before a member that goes silent in one direction or both, as a network does that drops packets: connections
// stay up, new ones are taken, and what is sent is lost.

import { connect, createServer, type Server, type Socket } from 'node:net'

interface Loss {
  requests: boolean
  answers: boolean
}

export class Relay {
  readonly endpoint: string
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #loss: Loss
  #accepted = 0

  private constructor(server: Server, port: number, sockets: Set<Socket>, loss: Loss) {
    this.#server = server
    this.#sockets = sockets
    this.#loss = loss
    this.endpoint = `http://127.0.0.1:${port}`
  }

  static async open(target: string, host = '127.0.0.1'): Promise<Relay> {
    const { port } = new URL(target)
    const sockets = new Set<Socket>()
    const loss: Loss = { requests: false, answers: false }
    const server = createServer((client) => {
      const member = connect({ host: '127.0.0.1', port: Number(port) })
      client.on('data', (data) => {
        if (!loss.requests) member.write(data)
      })
      member.on('data', (data) => {
        if (!loss.answers) client.write(data)
      })
      for (const [socket, other] of [
        [client, member],
        [member, client],
      ] as const) {
        sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.on('close', () => {
          sockets.delete(socket)
          other.destroy()
        })
      }
    })
    await new Promise<void>((resolve) => server.listen(0, host, resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the relay has no port')
    const relay = new Relay(server, address.port, sockets, loss)
    server.on('connection', () => relay.#accepted++)
    return relay
  }

  /** Connections that were ever made. */
  get accepted(): number {
    return this.#accepted
  }

  loseRequests(lose: boolean): void {
    this.#loss.requests = lose
  }

  loseAnswers(lose: boolean): void {
    this.#loss.answers = lose
  }

  /** Both directions. What was lost is gone: no stream that it cut a piece from can be read on. */
  cut(): void {
    this.#loss.requests = true
    this.#loss.answers = true
  }

  /** The network is back; the ends of the old connections learn that theirs are not. */
  heal(): void {
    this.#loss.requests = false
    this.#loss.answers = false
    this.breakConnections()
  }

  /** Breaks every connection; new ones are taken. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.breakConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
