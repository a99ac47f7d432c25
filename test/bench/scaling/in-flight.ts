// Cost as calls in flight grow, at the same number of calls a second: the backend takes longer as there are more of them.

import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadGenerator } from '../load/generator.ts'
import type { Contender, Field } from '../measure/field.ts'
import { sampleOf, warmUp } from '../measure/load.ts'
import { median } from '../median.ts'
import { cpuMicroseconds, family, residentBytes } from '../readings.ts'
import { extend, extendAfter, type LoadScenario } from '../scenarios.ts'
import type { Chart, Point } from './curve.ts'

const CALLS_PER_SECOND = 4_000
/** The last is what 20,000 file descriptors allow: each call in flight has a connection on either side. */
const SIZES = [10, 100, 1_000, 8_000]

interface Options {
  readonly generator: LoadGenerator
  readonly samples: number
  readonly seconds: number
}

interface Line {
  readonly contender: Contender
  readonly cpu: Point[]
  readonly memory: Point[]
}

export async function measureInFlight(field: Field, options: Options): Promise<readonly Chart[]> {
  const site = { generator: options.generator, folder: field.ground.folder }
  const lines = field.contenders.map((contender): Line => ({ contender, cpu: [], memory: [] }))
  for (const { contender } of lines) await warmUp(scenarioOf(10), contender, site)
  for (const inFlight of SIZES) {
    const scenario = scenarioOf(inFlight)
    // Several times as long as a call, or those that are cut off at the end would count; and connections have to be opened.
    const seconds = Math.ceil(
      Math.max(options.seconds, inFlight >= 1_000 ? 2 : 0) + (3 * inFlight) / CALLS_PER_SECOND,
    )
    const samples = new Map<Line, { readonly cpuUs: number; readonly bytes: number }[]>()
    for (let round = 0; round < Math.min(2, options.samples); round++)
      for (const line of lines) {
        const pids = family(line.contender.running.roots)
        const before = residentBytes(pids)
        const [, window] = await Promise.all([
          sampleOf(scenario, line.contender, { ...site, seconds }),
          readWindow(seconds, pids, field.ground.upstream.port),
        ])
        const taken = { cpuUs: window.cpuUs, bytes: (window.bytes - before) / inFlight }
        samples.set(line, [...(samples.get(line) ?? []), taken])
      }
    for (const line of lines) {
      const taken = samples.get(line) ?? []
      line.cpu.push(
        pointOf(
          inFlight,
          taken.map(({ cpuUs }) => cpuUs),
        ),
      )
      // Of the first: what a process has once taken it keeps for the next.
      const [first] = taken
      if (inFlight >= 1_000 && first !== undefined) line.memory.push(pointOf(inFlight, [first.bytes]))
    }
  }
  return [
    {
      id: 'in-flight-cpu',
      title: `A checked call, at up to ${CALLS_PER_SECOND.toLocaleString('en')} calls a second`,
      x: 'calls in flight',
      y: 'CPU µs per call',
      isLogarithmic: false,
      series: lines.map(({ contender, cpu }) => ({ title: contender.peer.title, points: cpu })),
    },
    {
      id: 'in-flight-memory',
      title: 'Resident memory of a call in flight',
      x: 'calls in flight',
      y: 'bytes per call',
      isLogarithmic: false,
      series: lines.map(({ contender, memory }) => ({ title: contender.peer.title, points: memory })),
    },
  ]
}

/** In the latter half of a sample, when all connections are open: to open one costs more than many calls. */
async function readWindow(
  seconds: number,
  pids: readonly number[],
  upstreamPort: number,
): Promise<{ readonly cpuUs: number; readonly bytes: number }> {
  await sleep(seconds * 500)
  const from = { cpuUs: cpuMicroseconds(pids), calls: await callsAt(upstreamPort) }
  await sleep(seconds * 450)
  const calls = (await callsAt(upstreamPort)) - from.calls
  return { cpuUs: (cpuMicroseconds(pids) - from.cpuUs) / calls, bytes: residentBytes(pids) }
}

/** How many calls the backend has had. */
async function callsAt(upstreamPort: number): Promise<number> {
  return Number(await (await fetch(`http://127.0.0.1:${upstreamPort}/calls`)).text())
}

function scenarioOf(inFlight: number): LoadScenario {
  const delayMs = Math.round((inFlight / CALLS_PER_SECOND) * 1000)
  return {
    kind: 'load',
    id: 'scale-in-flight',
    title: `${inFlight} calls in flight`,
    api: 'cinder',
    delayMs: 'asked',
    secure: false,
    connections: inFlight,
    expects: 'answered',
    request: (lock, running) => extendAfter(delayMs, lock, running),
    warmUp: extend,
  }
}

function pointOf(x: number, values: readonly number[]): Point {
  return { x, y: median(values), low: Math.min(...values), high: Math.max(...values) }
}
