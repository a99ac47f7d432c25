// All parties on loopback, with a relay of ours on each way between two of them. A direction that is cut keeps what was sent
// until it is healed, as TCP does over a network that has lost it.

import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Network, Place } from './network.ts'

interface Direction {
  cut: boolean
  delayMsMax: number
}

interface Pipe {
  readonly from: Socket
  readonly to: Socket
  readonly direction: Direction
  /** Its sender is gone, and the receiver has not been told. */
  over: boolean
}

export class RelayNetwork implements Network {
  readonly kind = 'relays'
  readonly missing: ReadonlyMap<string, string> = new Map([
    ['cut-etcd-peers', 'etcd members find one another by one address, so a relay cannot tell who comes'],
  ])
  readonly #directions = new Map<string, Direction>()
  readonly #pipes = new Set<Pipe>()
  readonly #servers: Server[] = []
  readonly #routes = new Map<string, string>()

  place(): Promise<Place> {
    return Promise.resolve({ address: '127.0.0.1', prefix: [] })
  }

  async route(from: string, to: string, port: number): Promise<string> {
    const name = `${from} ${to} ${port}`
    const known = this.#routes.get(name)
    if (known !== undefined) return known
    const server = createServer((client) => {
      const far = connect({ host: '127.0.0.1', port })
      this.#join(client, far, this.#direction(from, to))
      this.#join(far, client, this.#direction(to, from))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#servers.push(server)
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the relay has no port')
    const route = `127.0.0.1:${address.port}`
    this.#routes.set(name, route)
    return route
  }

  cut(from: string, to: string): void {
    const direction = this.#direction(from, to)
    direction.cut = true
    for (const pipe of this.#pipes) if (pipe.direction === direction) pipe.from.pause()
  }

  heal(from: string, to: string): void {
    const direction = this.#direction(from, to)
    direction.cut = false
    for (const pipe of this.#pipes) {
      if (pipe.direction !== direction) continue
      if (pipe.over) this.#lose(pipe)
      else pipe.from.resume()
    }
  }

  slow(from: string, to: string, delayMsMax: number): void {
    this.#direction(from, to).delayMsMax = delayMsMax
  }

  async close(): Promise<void> {
    for (const { from, to } of this.#pipes) {
      from.destroy()
      to.destroy()
    }
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
  }

  #join(from: Socket, to: Socket, direction: Direction): void {
    const pipe: Pipe = { from, to, direction, over: false }
    this.#pipes.add(pipe)
    from.on('data', (data) => {
      const { delayMsMax } = direction
      if (delayMsMax === 0) {
        to.write(data)
        return
      }
      from.pause()
      setTimeout(() => {
        to.write(data)
        if (!direction.cut) from.resume()
      }, Math.random() * delayMsMax)
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => {
      // Word of a broken connection does not get through either.
      if (direction.cut) pipe.over = true
      else this.#lose(pipe)
    })
    if (direction.cut) from.pause()
  }

  #lose(pipe: Pipe): void {
    this.#pipes.delete(pipe)
    pipe.to.destroy()
  }

  #direction(from: string, to: string): Direction {
    const name = `${from} ${to}`
    let direction = this.#directions.get(name)
    if (direction === undefined) {
      direction = { cut: false, delayMsMax: 0 }
      this.#directions.set(name, direction)
    }
    return direction
  }
}
