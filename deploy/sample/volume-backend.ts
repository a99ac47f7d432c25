// A small volume service that speaks a subset of Cinder's v3 API, works asynchronously, and logs what it was asked to do.
// It checks no fencing token: whatever reaches it is carried out. For trying, for the demo, and for tests.

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'
import { type Answer, route } from './volume-api.ts'
import { VolumeError, VolumeShelf } from './volumes.ts'

export interface VolumeBackendOptions {
  /** 127.0.0.1 where absent. */
  readonly host?: string
  /** 0 takes any that is free. */
  readonly port?: number
  /** How long creating, extending and deleting go on after the answer; 300 where absent. */
  readonly workMs?: number
  /** How late every answer to a change is, after it was carried out; 0 where absent. */
  readonly lateMs?: number
  /** Volumes that are there, `available`, from the start. */
  readonly volumes?: readonly { readonly id: string; readonly name: string; readonly sizeGb: number }[]
}

/** One call that changes something. Times are wall clock, RFC 3339. */
export interface LoggedCall {
  readonly number: number
  readonly method: string
  readonly target: string
  readonly body: unknown
  readonly arrivedAt: string
  /** When it was carried out; null while it is held back, and for good where it was refused. */
  readonly executedAt: string | null
  readonly status: number | null
  /** When the whole answer had been handed over; null where the client was gone. */
  readonly answeredAt: string | null
  /** When the work that it started was over. */
  readonly completedAt: string | null
}

/** `execution`: not even carried out. `answer`: carried out, but nobody is told. */
export type HoldPoint = 'execution' | 'answer'

export interface VolumeBackend {
  readonly url: string
  readonly log: () => readonly LoggedCall[]
  /** Holds the next `count` changes open at `point` until `letGo`. */
  readonly hold: (point: HoldPoint, count: number) => void
  readonly letGo: () => void
  readonly close: () => Promise<void>
}

const bodyBytesMax = 65_536
const loggedCallsMax = 10_000

class Holds {
  #next: { readonly point: HoldPoint; left: number } | null = null
  #gate = Promise.withResolvers<void>()

  hold(point: HoldPoint, count: number): void {
    this.#next = { point, left: count }
  }

  letGo(): void {
    this.#next = null
    this.#gate.resolve()
    this.#gate = Promise.withResolvers<void>()
  }

  async pass(point: HoldPoint): Promise<void> {
    if (this.#next === null || this.#next.point !== point || this.#next.left === 0) return
    this.#next.left -= 1
    await this.#gate.promise
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const piece = Buffer.from(chunk)
    bytes += piece.length
    if (bytes > bodyBytesMax) throw new VolumeError(400, 'The body is too large.')
    chunks.push(piece)
  }
  if (bytes === 0) return null
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new VolumeError(400, 'The body is not JSON.')
  }
}

/** Whether the client was still there to take the whole answer. */
function send(response: ServerResponse, status: number, body: unknown): Promise<boolean> {
  return new Promise((resolve) => {
    response.once('close', () => resolve(response.writableFinished))
    response.statusCode = status
    response.setHeader('OpenStack-API-Version', 'volume 3.0')
    response.setHeader('X-OpenStack-Request-ID', `req-${randomUUID()}`)
    if (body === null) {
      response.end()
    } else {
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify(body))
    }
  })
}

function refusal(error: unknown): { readonly status: number; readonly body: unknown } {
  if (!(error instanceof VolumeError)) throw error
  const kind = error.status === 404 ? 'itemNotFound' : 'badRequest'
  return { status: error.status, body: { [kind]: { code: error.status, message: error.message } } }
}

class VolumeService {
  readonly #shelf: VolumeShelf
  readonly #lateMs: number
  readonly #holds = new Holds()
  #log: LoggedCall[] = []
  #calls = 0

  constructor(shelf: VolumeShelf, lateMs: number) {
    this.#shelf = shelf
    this.#lateMs = lateMs
  }

  get holds(): Holds {
    return this.#holds
  }

  log(): readonly LoggedCall[] {
    return [...this.#log]
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? 'GET'
    const target = request.url ?? '/'
    const arrivedAt = new Date().toISOString()
    try {
      const body = await readBody(request)
      if (target.startsWith('/_')) {
        const { status, body: said } = this.#inspect(method, target, body)
        await send(response, status, said)
      } else if (method === 'GET' || method === 'HEAD') {
        const { status, body: found } = route(this.#shelf, {
          method,
          target,
          body,
          host: request.headers.host,
        })
        await send(response, status, found)
      } else {
        await this.#change({ method, target, body, host: request.headers.host }, arrivedAt, response)
      }
    } catch (error) {
      const { status, body } = refusal(error)
      await send(response, status, body)
    }
  }

  async #change(
    call: {
      readonly method: string
      readonly target: string
      readonly body: unknown
      readonly host: string | undefined
    },
    arrivedAt: string,
    response: ServerResponse,
  ): Promise<void> {
    this.#calls += 1
    const number = this.#calls
    const { method, target, body } = call
    this.#log.push({
      number,
      method,
      target,
      body,
      arrivedAt,
      executedAt: null,
      status: null,
      answeredAt: null,
      completedAt: null,
    })
    if (this.#log.length > loggedCallsMax) this.#log.shift()
    await this.#holds.pass('execution')
    const answer = this.#execute(call, number)
    await this.#holds.pass('answer')
    if (this.#lateMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#lateMs))
    const taken = await send(response, answer.status, answer.body)
    if (taken) this.#note(number, { answeredAt: new Date().toISOString() })
  }

  #execute(call: Parameters<typeof route>[1], number: number): { status: number; body: unknown } {
    let answer: Answer
    try {
      answer = route(this.#shelf, call)
    } catch (error) {
      const refused = refusal(error)
      this.#note(number, { status: refused.status })
      return refused
    }
    this.#note(number, { status: answer.status, executedAt: new Date().toISOString() })
    void answer.settled.then(() => this.#note(number, { completedAt: new Date().toISOString() }))
    return answer
  }

  #note(number: number, change: Partial<LoggedCall>): void {
    this.#log = this.#log.map((call) => (call.number === number ? { ...call, ...change } : call))
  }

  /** For whoever watches the backend itself; no such paths exist in Cinder. */
  #inspect(method: string, target: string, body: unknown): { status: number; body: unknown } {
    if (method === 'GET' && target === '/_log') return { status: 200, body: { calls: this.#log } }
    if (method === 'POST' && target === '/_let-go') {
      this.#holds.letGo()
      return { status: 204, body: null }
    }
    if (method === 'POST' && target === '/_hold') {
      const { point, count } = holdRequest(body)
      this.#holds.hold(point, count)
      return { status: 204, body: null }
    }
    throw new VolumeError(404, 'There is nothing here.')
  }
}

function holdRequest(body: unknown): { point: HoldPoint; count: number } {
  if (typeof body === 'object' && body !== null && 'point' in body) {
    const { point } = body
    const count = 'count' in body && typeof body.count === 'number' ? body.count : 1
    if (point === 'execution' || point === 'answer') return { point, count }
  }
  throw new VolumeError(400, 'Say {"point": "execution" or "answer", "count": 1}.')
}

export async function startVolumeBackend(options: VolumeBackendOptions = {}): Promise<VolumeBackend> {
  const { host = '127.0.0.1', port = 0, workMs = 300, lateMs = 0, volumes = [] } = options
  const shelf = new VolumeShelf(workMs)
  for (const volume of volumes) shelf.place(volume)
  const service = new VolumeService(shelf, lateMs)
  const server = createServer((request, response) => {
    service.serve(request, response).catch((error: unknown) => {
      // The client broke off in the middle of its own request.
      response.destroy(error instanceof Error ? error : undefined)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string')
    throw new Error('the volume backend has no TCP address')
  const shownHost = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    url: `http://${shownHost}:${address.port}`,
    log: () => service.log(),
    hold: (point, count) => service.holds.hold(point, count),
    letGo: () => service.holds.letGo(),
    close: async () => {
      service.holds.letGo()
      shelf.close()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '0' },
      'work-ms': { type: 'string', default: '300' },
      'late-ms': { type: 'string', default: '0' },
    },
  })
  const backend = await startVolumeBackend({
    host: values.host,
    port: Number(values.port),
    workMs: Number(values['work-ms']),
    lateMs: Number(values['late-ms']),
  })
  console.log(`volume backend on ${backend.url}`)
  const stop = (): void => void backend.close()
  process.once('SIGINT', stop).once('SIGTERM', stop)
}
