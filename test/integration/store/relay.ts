// A TCP relay before a member that can lose answers: the requests get through, nothing comes back.

import { connect, createServer, type Server, type Socket } from 'node:net'

export class Relay {
  readonly endpoint: string
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #state: { losesAnswers: boolean }

  private constructor(server: Server, port: number, sockets: Set<Socket>, state: { losesAnswers: boolean }) {
    this.#server = server
    this.#sockets = sockets
    this.#state = state
    this.endpoint = `http://127.0.0.1:${port}`
  }

  static async open(target: string, host = '127.0.0.1'): Promise<Relay> {
    const { port } = new URL(target)
    const sockets = new Set<Socket>()
    const state = { losesAnswers: false }
    const server = createServer((client) => {
      const member = connect({ host: '127.0.0.1', port: Number(port) })
      client.pipe(member)
      member.on('data', (data) => {
        if (!state.losesAnswers) client.write(data)
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
    return new Relay(server, address.port, sockets, state)
  }

  loseAnswers(lose: boolean): void {
    this.#state.losesAnswers = lose
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
