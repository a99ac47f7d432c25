// CPU time per request under load. Samples go round the peers in turn, so that whatever else the machine does meets
// them all alike.

import type { LoadGenerator, LoadResult } from '../load/generator.ts'
import { median } from '../median.ts'
import { cpuMicroseconds, family } from '../readings.ts'
import type { LoadScenario } from '../scenarios.ts'
import type { Contender, Field } from './field.ts'

/** So many answers before the first sample: compilers at run time are done by then, also on a busy machine. */
const WARM_UP_REQUESTS = 150_000
const WARM_UP_SECONDS = 1
const WARM_UP_CONNECTIONS_MAX = 64
const WARM_UP_ROUNDS_MAX = 16

export interface LoadFigures {
  readonly peer: string
  readonly title: string
  /** Medians over the samples. */
  readonly cpuUsPerRequest: number
  readonly requestsPerSecond: number
  readonly p50Us: number
  readonly p99Us: number
  readonly samples: readonly LoadSample[]
}

export interface LoadSample extends LoadResult {
  readonly cpuUs: number
}

export async function measureLoad(
  scenario: LoadScenario,
  field: Field,
  options: { readonly generator: LoadGenerator; readonly samples: number; readonly seconds: number },
): Promise<readonly LoadFigures[]> {
  const contenders = field.contenders.filter(({ peer }) => peer.checks || scenario.expects === 'answered')
  const samples = new Map<Contender, LoadSample[]>(contenders.map((contender) => [contender, []]))
  const site = { generator: options.generator, folder: field.ground.folder }
  const seconds = Math.max(options.seconds, scenario.secondsMin ?? 0)
  for (const contender of contenders) await warmUp(scenario, contender, site)
  for (let round = 0; round < options.samples; round++)
    for (const [contender, taken] of samples)
      taken.push(await sampleOf(scenario, contender, { ...site, seconds }))
  return [...samples].map(([{ peer }, taken]) => ({
    peer: peer.id,
    title: peer.title,
    cpuUsPerRequest: median(taken.map(({ cpuUs, requests }) => cpuUs / requests)),
    requestsPerSecond: median(taken.map(({ requests, seconds }) => requests / seconds)),
    p50Us: median(taken.map(({ p50Us }) => p50Us)),
    p99Us: median(taken.map(({ p99Us }) => p99Us)),
    samples: taken,
  }))
}

interface Site {
  readonly generator: LoadGenerator
  readonly folder: string
}

/** Until compilers at run time are done. */
export async function warmUp(scenario: LoadScenario, contender: Contender, site: Site): Promise<void> {
  const gentle: LoadScenario = {
    ...scenario,
    connections: Math.min(scenario.connections, WARM_UP_CONNECTIONS_MAX),
    request: (lock, running) => (scenario.warmUp ?? scenario.request)(lock, running),
  }
  let answered = 0
  for (let round = 0; round < WARM_UP_ROUNDS_MAX && answered < WARM_UP_REQUESTS; round++)
    answered += (await sampleOf(gentle, contender, { ...site, seconds: WARM_UP_SECONDS })).requests
}

export async function sampleOf(
  scenario: LoadScenario,
  { peer, running }: Contender,
  { generator, folder, seconds }: Site & { readonly seconds: number },
): Promise<LoadSample> {
  const pids = family(running.roots)
  const before = cpuMicroseconds(pids)
  const result = await generator.generate({
    folder,
    port: running.port,
    secure: scenario.secure,
    connections: scenario.connections,
    seconds,
    requests: running.locks.map((lock) => scenario.request(lock, running)),
  })
  // A process that came or went has taken CPU time that nobody counted.
  if (family(running.roots).join() !== pids.join())
    throw new Error(`${scenario.id}: ${peer.id}: its processes changed during a sample`)
  const cpuUs = cpuMicroseconds(pids) - before
  verify(scenario, peer.id, result)
  return { ...result, cpuUs }
}

/** Figures of wrong answers are no figures. */
function verify(scenario: LoadScenario, peer: string, result: LoadResult): void {
  const { requests, refused, broken } = result
  const wanted = scenario.expects === 'refused' ? requests : 0
  if (requests === 0 || refused !== wanted || broken > 0)
    throw new Error(
      `${scenario.id}: ${peer}: ${requests} answers, ${refused} of them refusals where ${wanted} were due, ${broken} broken`,
    )
}
