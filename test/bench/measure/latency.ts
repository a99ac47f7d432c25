// How much later an answer comes than without a proxy, while there is nothing else to do: one call at a time over a
// connection that stays open. What the harness and the backend take is in all figures alike.

import net from 'node:net'
import type { LoadGenerator } from '../load/generator.ts'
import { median } from '../median.ts'
import type { LatencyScenario } from '../scenarios.ts'
import { extend } from '../scenarios.ts'
import type { Contender, Field } from './field.ts'
import { warmUp } from './load.ts'

const PAUSE_MS = 1
/**
 * Calls to one peer before the next one has its turn: nobody runs several proxies side by side, and with a change after each
 * call they would measure how fast they push each other's code out of the processor's caches.
 */
const CALLS_IN_A_ROW = 50
const WARM_UP_CONNECTIONS = 32

export interface LatencyFigures {
  readonly peer: string
  readonly title: string
  readonly p50Us: number
  readonly p90Us: number
  /** Of the medians: above that without a proxy. Null where that was not measured. */
  readonly addedUs: number | null
}

export async function measureLatency(
  scenario: LatencyScenario,
  field: Field,
  { generator }: { readonly generator: LoadGenerator },
): Promise<readonly LatencyFigures[]> {
  const load = { ...scenario, kind: 'load', connections: WARM_UP_CONNECTIONS, expects: 'answered' } as const
  for (const contender of field.contenders)
    await warmUp({ ...load, request: extend }, contender, { generator, folder: field.ground.folder })
  const lanes = field.contenders.map((contender) => ({
    contender,
    caller: new Caller(contender),
    took: [] as number[],
  }))
  try {
    for (let call = 0; call < scenario.calls; call += CALLS_IN_A_ROW)
      for (const { caller, took } of lanes)
        for (let i = 0; i < CALLS_IN_A_ROW; i++) {
          took.push(await caller.call())
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        }
  } finally {
    for (const { caller } of lanes) caller.close()
  }
  const direct = lanes.find(({ contender }) => contender.peer.id === 'direct')
  return lanes.map(({ contender: { peer }, took }) => ({
    peer: peer.id,
    title: peer.title,
    p50Us: median(took),
    p90Us: took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.9)] ?? 0,
    addedUs: direct === undefined ? null : median(took) - median(direct.took),
  }))
}

class Caller {
  readonly #socket: net.Socket
  readonly #requests: readonly Buffer[]
  #next = 0
  #answered: (result: Error | null) => void = () => undefined

  constructor({ running }: Contender) {
    this.#requests = running.locks.map((lock) => Buffer.from(extend(lock, running), 'latin1'))
    this.#socket = net.connect(running.port, '127.0.0.1').setNoDelay(true)
    this.#socket.on('error', (error) => this.#answered(error))
    this.#socket.on('close', () => this.#answered(new Error('the connection was closed')))
    let text = ''
    this.#socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      // The backend's answer, which every peer passes on as it is.
      if (!text.endsWith('\r\n\r\n{}')) return
      const isWell = text.startsWith('HTTP/1.1 200')
      text = ''
      this.#answered(isWell ? null : new Error('a call was refused'))
    })
  }

  /** Microseconds from the request's write to the answer's last byte. */
  async call(): Promise<number> {
    const request = this.#requests[this.#next++ % this.#requests.length]
    if (request === undefined) throw new Error('there are no requests to send')
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const startedMs = performance.now()
    this.#answered = (error) =>
      error === null ? resolve((performance.now() - startedMs) * 1000) : reject(error)
    this.#socket.write(request)
    return await promise
  }

  close(): void {
    this.#answered = () => undefined
    this.#socket.destroy()
  }
}
