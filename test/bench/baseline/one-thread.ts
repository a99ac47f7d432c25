// Client, gateway and backend in one thread, so that nobody's turn on a busy machine decides how much work is done at once:
// CPU time of a call through the gateway beside that of the same call without it, slice by slice. Started by shares.ts as
// `node one-thread.ts [KIND…]`; it writes one line `RESULT {…}` and ends.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startGateway } from '../../../gateway/gateway.ts'
import { gatherKnowledge } from '../../../gateway/knowledge.ts'
import { createLog } from '../../../gateway/telemetry/index.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type Api, type BenchLock, checkedCall, lockName, read } from '../calls.ts'
import { holdAll } from '../peers/fencegate/holder.ts'
import { RequestFraming } from '../upstream/framing.ts'
import { type Costs, KINDS, type Kind } from './shares.ts'

const LOCKS = 64
const CONNECTIONS = 16
/** One call on each connection: over before somebody else's turn on the processor comes, in enough of all slices. */
const CALLS_PER_SLICE = CONNECTIONS
const WARM_UP_SLICES = 1_200
const SLICES = 600
/** Of all slices, those that nothing has disturbed. */
const UNDISTURBED = 0.1
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'

/** One request after the other, and nothing between them. */
class Lane {
  readonly #socket: net.Socket
  readonly #requests: readonly Buffer[]
  readonly #bodyEnd: Buffer
  #next: number
  #left = 0
  #over: () => void = () => undefined

  constructor(port: number, requests: readonly string[], first: number, bodyEnd: string) {
    this.#requests = requests.map((request) => Buffer.from(request, 'latin1'))
    this.#next = first
    this.#bodyEnd = Buffer.from(bodyEnd)
    this.#socket = net.connect(port, '127.0.0.1').setNoDelay(true)
    this.#socket.on('data', (chunk) => {
      // Answers are small, and come whole.
      if (!chunk.subarray(-this.#bodyEnd.length).equals(this.#bodyEnd))
        throw new Error(`not the answer that was expected:\n${chunk.toString('latin1')}`)
      if (this.#left === 0) this.#over()
      else this.#send()
    })
  }

  run(calls: number): Promise<void> {
    this.#left = calls
    this.#send()
    return new Promise((resolve) => {
      this.#over = resolve
    })
  }

  end(): void {
    this.#socket.destroy()
  }

  #send(): void {
    const request = this.#requests[this.#next++ % this.#requests.length]
    if (request === undefined) throw new Error('there are no requests to send')
    this.#left--
    this.#socket.write(request)
  }
}

interface Way {
  readonly port: number
  readonly requests: readonly string[]
  /** What every answer ends with. */
  readonly bodyEnd: string
}

/** Microseconds a call, by the clock: a thread's own time has a tick as long as several slices. */
async function costs(
  ways: readonly [Way, Way],
): Promise<{ readonly through: number; readonly direct: number }> {
  const lanes = ways.map(({ port, requests, bodyEnd }) =>
    Array.from({ length: CONNECTIONS }, (_, at) => new Lane(port, requests, at, bodyEnd)),
  )
  const took: [number[], number[]] = [[], []]
  for (let slice = 0; slice < WARM_UP_SLICES + SLICES; slice++)
    for (const [way, all] of lanes.entries()) {
      const startedMs = performance.now()
      await Promise.all(all.map((lane) => lane.run(CALLS_PER_SLICE / CONNECTIONS)))
      if (slice >= WARM_UP_SLICES) took[way]?.push((performance.now() - startedMs) * 1000)
    }
  for (const lane of lanes.flat()) lane.end()
  const [through = Number.NaN, direct = Number.NaN] = took.map(
    (slices) => (slices.toSorted((a, b) => a - b)[Math.floor(SLICES * UNDISTURBED)] ?? 0) / CALLS_PER_SLICE,
  )
  return { through, direct }
}

function locksOf(api: Api): readonly BenchLock[] {
  return Array.from({ length: LOCKS }, (_, i): BenchLock => {
    const id = api === 'cinder' ? `5aa10000-0000-4000-8000-${String(i).padStart(12, '0')}` : `vm-${i}`
    return { id, name: lockName(api, id), token: '' }
  })
}

async function listen(): Promise<number> {
  const server = net.createServer((socket) => {
    socket.setNoDelay(true)
    const framing = new RequestFraming(() => socket.write(ANSWER, 'latin1'), false)
    socket.on('data', (chunk: Buffer) => framing.feed(chunk))
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the backend got no port')
  return address.port
}

const folder = mkdtempSync(path.join(tmpdir(), 'fencegate-baseline-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const upstream = await listen()
const file = path.join(folder, 'fencegate.yaml')
const backend = (policy: Api): string =>
  `{ listen: "127.0.0.1:0", upstream: "http://127.0.0.1:${upstream}", quiet: 60, policy: ${policy} }`
writeFileSync(
  file,
  `store: { embedded: { path: "${folder}/store" } }
state: "${folder}/state"
control: { listen: "127.0.0.1:0" }
backends: { cinder: ${backend('cinder')}, vsphere: ${backend('vsphere')} }
`,
)
const knowledge = await gatherKnowledge(file)
const loaded = knowledge.load(file)
if (loaded.kind === 'faulty') throw new Error(JSON.stringify(loaded.faults))
const gateway = await startGateway({
  config: loaded.config,
  knowledge,
  version: '0.0.0',
  clock: systemClock,
  log: createLog({ level: 'error' }),
  worker: null,
  onStopped: (reason) => {
    throw new Error(reason)
  },
})
const holder = await holdAll(gateway.control.port, [...locksOf('cinder'), ...locksOf('vsphere')])
const held = { cinder: holder.locks.slice(0, LOCKS), vsphere: holder.locks.slice(LOCKS) }

function portOf(api: Api): number {
  const address = gateway.backends.get(api)
  if (address === undefined) throw new Error(`no backend ${api}`)
  return address.port
}

async function measure(api: Api, requestOf: (lock: BenchLock, port: number) => string, bodyEnd = '{}') {
  const way = (port: number, end: string): Way => ({
    port,
    requests: held[api].map((lock) => requestOf(lock, port)),
    bodyEnd: end,
  })
  return await costs([way(portOf(api), bodyEnd), way(upstream, '{}')])
}

const call = (api: Api) => (lock: BenchLock, port: number) =>
  checkedCall(api, lock, { port, readsBodies: true })
const measured: Readonly<Record<Kind, () => ReturnType<typeof measure>>> = {
  mutate: () => measure('cinder', call('cinder')),
  read: () => measure('cinder', (lock, port) => read(lock, { port })),
  // Each lock's own, from before, as a holder sends it who goes on: what is said of it is said again.
  refused: () =>
    measure(
      'cinder',
      (lock, port) => call('cinder')({ ...lock, token: String(Number(lock.token) - 1) }, port),
      '}',
    ),
  soap: () => measure('vsphere', call('vsphere')),
}
const result: Costs = {}
for (const kind of KINDS)
  if (process.argv.length === 2 || process.argv.includes(kind)) result[kind] = await measured[kind]()
process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`)
holder.letGo()
process.exit(0)
