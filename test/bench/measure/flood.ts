// What the control API does while the data plane gets more calls than it can take: how long a keepalive takes, a lock, and
// how soon a lock goes to whoever waits once its holder's time is over, and where his process has to be killed before;
// without the flood and under it.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { startUpstream } from '../ground.ts'
import type { LoadGenerator, LoadResult } from '../load/generator.ts'
import { ask, FLOOD_PLAN, free, openSession, textOf } from '../peers/fencegate/holder.ts'
import type { FloodScenario } from '../scenarios.ts'
import { extend } from '../scenarios.ts'
import type { Contender, Field } from './field.ts'
import { warmUp } from './load.ts'

const EVERY_MS = 20
const TTL_SECONDS = 10
const SHORT_TTL_SECONDS = 2
const EXPIRIES_AT_ONCE = 4
const FENCES_AT_ONCE = 2

export interface FloodFigures {
  readonly title: string
  readonly quiet: Spread
  readonly flooded: Spread
  /** Calls that the data plane answered meanwhile, a second. */
  readonly requestsPerSecond: number
}

interface Spread {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly worstMs: number
  readonly count: number
}

interface Watched {
  readonly keepalives: number[]
  readonly locks: number[]
  readonly expiries: number[]
  readonly fences: number[]
  readonly idle: number[]
}

export async function measureFlood(
  scenario: FloodScenario,
  field: Field,
  options: { readonly generator: LoadGenerator; readonly seconds: number; readonly samples: number },
): Promise<readonly FloodFigures[]> {
  const [contender] = field.contenders
  const controlPort = contender?.running.controlPort
  if (contender === undefined || controlPort === undefined)
    throw new Error('there is no control API to measure')
  const load = { ...scenario, kind: 'load', expects: 'answered', request: extend } as const
  const { generator } = options
  await warmUp(load, contender, { generator, folder: field.ground.folder })
  const seconds = Math.max(5, options.seconds * options.samples)
  const idle = await startUpstream({ delayMs: 0, tls: null })
  const watched = (name: string) => watch({ controlPort, idlePort: idle.port, seconds, name })
  const quiet = await watched('quiet')
  const [flooded, result] = await Promise.all([watched('flooded'), flood(contender)])
  await idle.started.stop()
  const requestsPerSecond = result.requests / result.seconds
  const row = (title: string, of: keyof Watched): FloodFigures => ({
    title,
    quiet: spreadOf(quiet[of]),
    flooded: spreadOf(flooded[of]),
    requestsPerSecond,
  })
  return [
    row('keepalive', 'keepalives'),
    row('acquire and release of a free lock', 'locks'),
    row('from the end of a time to live to the next holder', 'expiries'),
    row('the same, once the process of the former holder is fenced', 'fences'),
    row('for scale: a server that has nothing else to do', 'idle'),
  ]

  async function flood({ peer, running }: Contender): Promise<LoadResult> {
    const requests = running.locks.map((lock) => extend(lock, running))
    const { connections } = scenario
    // Longer than what is watched: its start and its end are under the flood too.
    const { port } = running
    const plan = {
      folder: field.ground.folder,
      port,
      secure: false,
      connections,
      seconds: seconds + 2,
      requests,
    }
    const taken = await generator.generate(plan)
    if (taken.broken > 0) throw new Error(`${peer.id}: ${taken.broken} calls of the flood broke`)
    return taken
  }
}

interface Watch {
  readonly controlPort: number
  readonly idlePort: number
  readonly seconds: number
  readonly name: string
}

async function watch({ controlPort, idlePort, seconds, name }: Watch): Promise<Watched> {
  await sleep(500)
  const endMs = performance.now() + seconds * 1000
  const taken: Watched = { keepalives: [], locks: [], expiries: [], fences: [], idle: [] }
  const session = await openSession(controlPort, TTL_SECONDS)
  const repeat = async (times: number[], act: () => Promise<unknown>): Promise<void> => {
    while (performance.now() < endMs) {
      const startedMs = performance.now()
      await act()
      times.push(performance.now() - startedMs)
      await sleep(EVERY_MS)
    }
  }
  const expire = async (lane: string, isFenced: boolean): Promise<void> => {
    for (let round = 0; performance.now() < endMs; round++) {
      const lock = `/v1/locks/${encodeURIComponent(`flood/${name}/${lane}/${round}`)}`
      const holder = isFenced ? spawn('sleep', ['600'], { stdio: 'ignore' }) : null
      const fenced = holder === null ? {} : { plan: FLOOD_PLAN, fenceInfo: { pid: holder.pid } }
      try {
        const dying = await openSession(controlPort, SHORT_TTL_SECONDS, fenced)
        const renewedMs = performance.now()
        await ask(controlPort, lock, { session: dying })
        await ask(controlPort, lock, { session, wait: 30 })
        const times = isFenced ? taken.fences : taken.expiries
        times.push(performance.now() - renewedMs - SHORT_TTL_SECONDS * 1000)
      } finally {
        holder?.kill('SIGKILL')
      }
    }
  }
  await Promise.all([
    repeat(taken.keepalives, () => ask(controlPort, `/v1/sessions/${session}/keepalive`, {})),
    repeat(taken.locks, async () => {
      const lock = `/v1/locks/${encodeURIComponent(`flood/${name}`)}`
      textOf(await ask(controlPort, lock, { session }), 'token')
      await free(controlPort, `${lock}?session=${session}`)
    }),
    repeat(taken.idle, async () => (await fetch(`http://127.0.0.1:${idlePort}/`)).text()),
    ...Array.from({ length: EXPIRIES_AT_ONCE }, (_, lane) => expire(`expired/${lane}`, false)),
    ...Array.from({ length: FENCES_AT_ONCE }, (_, lane) => expire(`fenced/${lane}`, true)),
  ])
  return taken
}

function spreadOf(times: readonly number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99), worstMs: at(1), count: sorted.length }
}
