// Several gateways as processes on one etcd in front of one backend, and holders that hand a lock around through them:
// what the tests of restarts are made of.

import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { startVolumeBackend, type VolumeBackend } from '../../../deploy/sample/volume-backend.ts'
import type { EtcdCluster } from '../../support/etcd.ts'
import { freePort } from '../../support/free-port.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient } from '../../support/holder.ts'

export const PROJECT = 'p'

export function volumeId(number: number): string {
  return `5aa10000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

export function lockOf(number: number): string {
  return `cinder/volume/${volumeId(number)}`
}

/** One place for a gateway: its ports and its folder outlive the processes that run there. */
export interface Place {
  readonly folder: GatewayFolder
  readonly control: string
  readonly volumes: string
  process: GatewayProcess | null
}

export interface Fleet {
  readonly backend: VolumeBackend
  readonly places: readonly Place[]
  place(index: number): Place
  /** A gateway at this place, as soon as it answers. */
  start(place: Place): Promise<GatewayProcess>
  close(): Promise<void>
}

export async function openFleet(options: {
  readonly etcd: EtcdCluster
  readonly prefix: string
  readonly gateways: number
  readonly volumes: number
  readonly backend?: { readonly lateMs: number }
  readonly config: Readonly<Record<string, unknown>>
  /** Seconds. */
  readonly quiet?: number
}): Promise<Fleet> {
  const volumes = Array.from({ length: options.volumes }, (_, i) => ({
    id: volumeId(i),
    name: `v${i}`,
    sizeGb: 1,
  }))
  const backend = await startVolumeBackend({ volumes, ...options.backend })
  const places: Place[] = []
  for (let i = 0; i < options.gateways; i++) {
    const folder = new GatewayFolder()
    const [control, listen] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    folder.configure({
      store: { etcd: { endpoints: options.etcd.endpoints, prefix: options.prefix } },
      control: { listen: control },
      backends: {
        volumes: { listen, upstream: backend.url, policy: 'cinder', quiet: options.quiet ?? 60, wait: 20 },
      },
      ...options.config,
    })
    places.push({ folder, control: `http://${control}`, volumes: `http://${listen}`, process: null })
  }
  return {
    backend,
    places,
    place(index) {
      const place = places[index]
      if (place === undefined) throw new Error(`there is no place ${index}`)
      return place
    },
    async start(place) {
      place.process = await place.folder.start()
      return place.process
    },
    async close() {
      backend.letGo()
      await Promise.all(places.map(({ folder }) => folder.remove()))
      await backend.close()
    },
  }
}

export interface Report {
  calls: number
  /** By verdict: the gateway said no. */
  readonly refused: Map<string, number>
  /** Connections that ended without an answer, and answers of 502 and 504. */
  dropped: number
  handovers: number
  worstHandoverMs: number
  readonly faults: string[]
}

/** What a load balancer does: asks each gateway's `/readyz` again and again, and sends calls to those that are ready. */
export class Balancer {
  readonly #places: readonly Place[]
  readonly #ready = new Set<Place>()
  #next = 0

  constructor(places: readonly Place[], over: AbortSignal) {
    this.#places = places
    for (const place of places) void this.#look(place, over)
  }

  get ready(): number {
    return this.#ready.size
  }

  pick(): Place {
    const ready = this.#places.filter((place) => this.#ready.has(place))
    const place = ready[this.#next++ % Math.max(1, ready.length)] ?? this.#places[0]
    if (place === undefined) throw new Error('there is no gateway at all')
    return place
  }

  async #look(place: Place, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      try {
        const { status } = await fetch(`${place.control}/readyz`, { signal: AbortSignal.timeout(1_000) })
        if (status === 200) this.#ready.add(place)
        else this.#ready.delete(place)
      } catch {
        this.#ready.delete(place)
      }
      await sleep(100)
    }
  }
}

/**
 * Two holders to a volume, who hand its lock to one another without a pause; each keeps its connections open, as services
 * do. The handover is measured from the moment the release is sent to the moment the next one has its grant.
 */
export async function handAround(
  volume: number,
  balancer: Balancer,
  report: Report,
  over: AbortSignal,
): Promise<void> {
  let releasedAtMs: number | null = null
  const holder = async (name: string): Promise<void> => {
    const agent = new Agent({ keepAlive: true })
    const session = await retried(over, report, () =>
      new ControlClient(balancer.pick().control).openSession({ ttl: 30, holder: name }),
    )
    const client = () => new ControlClient(balancer.pick().control)
    while (!over.aborted && session !== null) {
      const token = await retried(over, report, () => client().take(lockOf(volume), session, 20))
      if (token === null) break
      if (releasedAtMs !== null) {
        report.handovers++
        report.worstHandoverMs = Math.max(report.worstHandoverMs, performance.now() - releasedAtMs)
      }
      for (let i = 0; i < 3; i++) await write(balancer.pick(), volume, token, agent, report)
      releasedAtMs = performance.now()
      await retried(over, report, () => client().release(lockOf(volume), session))
    }
    agent.destroy()
  }
  await Promise.all([holder(`a${volume}`), holder(`b${volume}`)])
}

/** As a service that meets a 503 of the control API, or a gateway that is not there: asks another one. */
async function retried<Result>(
  over: AbortSignal,
  report: Report,
  act: () => Promise<Result>,
): Promise<Result | null> {
  for (let tries = 0; tries < 100; tries++)
    try {
      return await act()
    } catch (error) {
      if (over.aborted) return null
      if (!/: 503 |fetch failed|other side closed/.test(String(error))) report.faults.push(String(error))
      await sleep(50)
    }
  report.faults.push('a hundred tries were in vain')
  return null
}

async function write(
  place: Place,
  volume: number,
  token: string,
  agent: Agent,
  report: Report,
): Promise<void> {
  report.calls++
  const body = JSON.stringify({ metadata: { token } })
  const url = `${place.volumes}/v3/${PROJECT}/volumes/${volumeId(volume)}/metadata`
  const headers = {
    'fencing-token': token,
    'content-type': 'application/json',
    'content-length': body.length,
  }
  await new Promise<void>((resolve) => {
    const dropped = (): void => {
      report.dropped++
      resolve()
    }
    const request = httpRequest(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.once('error', dropped)
      response.once('end', () => {
        const verdict = response.headers['fencing-verdict']
        if (response.statusCode === 502 || response.statusCode === 504) report.dropped++
        else if (typeof verdict === 'string')
          report.refused.set(verdict, (report.refused.get(verdict) ?? 0) + 1)
        else if (response.statusCode !== 200) report.faults.push(`status ${response.statusCode}`)
        resolve()
      })
    })
    request.once('error', (error: Error & { readonly code?: string }) => {
      // Never connected: nothing was sent, and the balancer has not heard yet.
      if (error.code === 'ECONNREFUSED')
        report.refused.set('no-listener', (report.refused.get('no-listener') ?? 0) + 1)
      else report.faults.push(`dropped: ${error.message}`)
      dropped()
    })
    request.end(body)
  })
}
