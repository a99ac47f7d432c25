// The network that is cut on purpose: what is cut does not get through, the other direction does, and nothing is lost for good.

import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RelayNetwork } from './network/relays.ts'

describe('relays in place of a network', () => {
  let network: RelayNetwork
  let server: Server
  let client: Socket
  let heard = ''
  let answered = ''

  beforeEach(async () => {
    heard = ''
    answered = ''
    network = new RelayNetwork()
    server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (data) => {
        heard += data.toString()
        socket.write(`<${data.toString()}>`)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const route = await network.route('a', 'b', address.port)
    client = connect({ host: '127.0.0.1', port: Number(route.split(':')[1]) })
    client.on('error', () => undefined)
    client.on('data', (data) => {
      answered += data.toString()
    })
  })

  afterEach(async () => {
    client.destroy()
    await network.close()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })

  it('lets nothing through one way, and everything the other way, until it is healed', async () => {
    client.write('one')
    await expect.poll(() => answered).toBe('<one>')
    network.cut('b', 'a')
    client.write('two')
    await expect.poll(() => heard).toBe('onetwo')
    expect(answered).toBe('<one>')
    network.heal('b', 'a')
    await expect.poll(() => answered).toBe('<one><two>')
    network.cut('a', 'b')
    client.write('three')
    network.heal('a', 'b')
    await expect.poll(() => answered).toBe('<one><two><three>')
  })

  it('does not tell of a broken connection where nothing gets through', async () => {
    client.write('one')
    await expect.poll(() => answered).toBe('<one>')
    network.cut('a', 'b')
    client.destroy()
    const connections = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
    expect(await connections()).toBe(1)
    network.heal('a', 'b')
    await expect.poll(connections).toBe(0)
  })

  it('brings late what comes over a slow link, in order', async () => {
    network.slow('a', 'b', 50)
    for (const word of ['one', 'two', 'three']) {
      client.write(word)
      await expect.poll(() => heard.endsWith(word)).toBe(true)
    }
    await expect.poll(() => heard).toBe('onetwothree')
  })
})
