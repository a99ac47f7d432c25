// One request over one socket of its own: for probes before the load, and for bodies too large for a load generator.

import net from 'node:net'
import tls from 'node:tls'

const ANSWER_MS_MAX = 120_000
const PIECE = Buffer.alloc(256 * 1024, 0x2e)

export interface Exchange {
  readonly port: number
  readonly secure: boolean
  /** The head, and the body where it is small. */
  readonly request: string
  /** So many bytes follow the request. */
  readonly bodyBytes?: number
}

export interface Answer {
  readonly status: number
  /** The first bytes of the answer, head and all. */
  readonly start: string
  readonly bodyBytes: number
  readonly milliseconds: number
}

/** Resolves when the whole answer has come; it must have a length. Throws the body of the answer away. */
export async function exchange({ port, secure, request, bodyBytes = 0 }: Exchange): Promise<Answer> {
  const startedMs = performance.now()
  const socket = open(port, secure)
  let head = Buffer.alloc(0)
  let start = ''
  let expected = -1
  let received = 0
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no whole answer came in time')), ANSWER_MS_MAX)
      const settle = (): void => {
        if (expected < 0 || received < expected) return
        clearTimeout(timer)
        resolve({
          status: Number(start.slice(9, 12)),
          start,
          bodyBytes: received,
          milliseconds: performance.now() - startedMs,
        })
      }
      socket.once('error', reject)
      socket.once('close', () => {
        clearTimeout(timer)
        reject(new Error(`the connection was closed after: ${start || head.toString()}`))
      })
      socket.on('data', (chunk: Buffer) => {
        if (expected >= 0) received += chunk.length
        else {
          head = Buffer.concat([head, chunk])
          const end = head.indexOf('\r\n\r\n')
          if (end < 0) return
          start = head.toString('latin1', 0, Math.min(head.length, 2_048))
          const length = /\r\ncontent-length: *(\d+)/i.exec(head.toString('latin1', 0, end + 2))
          if (length === null) {
            reject(new Error(`an answer without a length: ${start}`))
            return
          }
          expected = Number(length[1])
          received = head.length - end - 4
        }
        settle()
      })
      socket.write(request, 'latin1')
      send(socket, bodyBytes)
    })
  } finally {
    socket.removeAllListeners('close').on('error', () => undefined)
    socket.destroy()
  }
}

/** A connection that stays open after one answered request. */
export async function openIdle(port: number, request: string): Promise<net.Socket> {
  const socket = open(port, false)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('data', () => resolve())
    socket.write(request, 'latin1')
  })
  return socket.resume()
}

function open(port: number, secure: boolean): net.Socket {
  const socket = secure
    ? // A certificate of this run's own making, on loopback.
      tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : net.connect(port, '127.0.0.1')
  return socket.setNoDelay(true)
}

function send(socket: net.Socket, bytes: number): void {
  let left = bytes
  const go = (): void => {
    while (left > 0 && !socket.destroyed) {
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
