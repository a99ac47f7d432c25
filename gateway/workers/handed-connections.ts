// Connections that are just being handed to a worker. Node's cluster waits for the worker to say that it has taken one, and
// where the worker dies first it forgets it: nobody answers, nobody closes, and the caller waits until he gives up. So
// they are remembered here, and closed when the worker is gone. What Node tells nobody about, its messages to the
// worker, is read for that; where they should look different one day, connections are as they were without this.

import type { Worker } from 'node:cluster'

interface Closable {
  close(): void
}

export class HandedConnections {
  readonly #underWay = new Map<number, Closable>()

  constructor({ process: child }: Worker) {
    const send: unknown = Reflect.get(child, 'send')
    if (typeof send !== 'function') return
    Object.defineProperty(child, 'send', {
      value: (...sent: readonly unknown[]): unknown => {
        this.#handed(sent[0], sent[1])
        return Reflect.apply(send, child, sent)
      },
    })
    child.on('internalMessage', (message: unknown) => {
      if (isObject(message) && 'ack' in message && typeof message.ack === 'number')
        this.#underWay.delete(message.ack)
    })
  }

  /** The worker is gone. It may have read something, so no other gets them: they break, as all its others did. */
  closeAll(): void {
    for (const connection of this.#underWay.values()) connection.close()
    this.#underWay.clear()
  }

  #handed(message: unknown, handle: unknown): void {
    if (!isObject(message) || !('act' in message) || message.act !== 'newconn') return
    if (!('seq' in message) || typeof message.seq !== 'number' || !isClosable(handle)) return
    this.#underWay.set(message.seq, handle)
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isClosable(handle: unknown): handle is Closable {
  return isObject(handle) && 'close' in handle && typeof handle.close === 'function'
}
