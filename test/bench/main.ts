// The benchmark: fencegate beside what one would otherwise build, on the same machine in the same minutes. It prints
// figures and holds them against the targets; it fails only where something did not work, never for a slow figure.

import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readArguments, USAGE } from './arguments.ts'
import {
  BASELINE_FILE,
  compare,
  MACHINE,
  measureShares,
  readBaseline,
  recordBaseline,
  type Shares,
} from './baseline/shares.ts'
import { type Course, measure } from './course.ts'
import type { Figures, Run } from './figures.ts'
import { CACHE } from './ground.ts'
import { chooseGenerator } from './load/generator.ts'
import { PEERS } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'
import { drawRun } from './plot/draw.ts'
import { stopAll } from './processes.ts'
import { layOutAll, tablesOf } from './report.ts'
import { SCENARIOS } from './scenarios.ts'
import { verdictLine, verdictsOf } from './targets.ts'

async function bench(args: readonly string[]): Promise<number> {
  const wanted = readArguments(args)
  if (wanted.help) {
    say(USAGE)
    return 0
  }
  if (wanted.plot !== null) {
    for (const file of drawRun(fromCache(wanted.plot))) say(`written: ${path.relative(process.cwd(), file)}`)
    return 0
  }
  if (wanted.baseline !== null) return await holdToBaseline(wanted.baseline)
  const loadBefore = os.loadavg()[0] ?? 0
  const peers: Peer[] = []
  for (const peer of PEERS.filter(({ id }) => wanted.peers.includes(id))) {
    const missing = await peer.prepare({ install: wanted.install })
    if (missing === null) peers.push(peer)
    else say(`without ${peer.id}: ${missing}`)
  }
  const generator = await chooseGenerator(wanted.generator)
  say(
    `${MACHINE}, Node ${process.version}, load from ${generator.name}, load average ${loadBefore.toFixed(1)}`,
  )
  say(`${wanted.samples} samples of ${wanted.seconds} s, medians; CPU = user + system of proxy and checker`)

  const results: Figures[] = []
  const failures: string[] = []
  const course: Course = { peers, generator, samples: wanted.samples, seconds: wanted.seconds }
  for (const scenario of SCENARIOS.filter(({ id }) => wanted.scenarios.includes(id))) {
    say(`\n${scenario.id}: ${scenario.title}`)
    try {
      const { result, failed } = await measure(scenario, course)
      failures.push(...failed)
      results.push(result)
      say(layOutAll(tablesOf(result)))
    } catch (error) {
      failures.push(`${scenario.id}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const verdicts = results.flatMap(verdictsOf).map(verdictLine)
  if (verdicts.length > 0) say(`\n${verdicts.join('\n')}`)
  for (const failure of failures) say(`\nDID NOT WORK: ${failure}`)
  if (wanted.json !== null) {
    const { samples, seconds } = wanted
    const run: Run = {
      machine: MACHINE,
      node: process.version,
      at: new Date().toISOString(),
      loadBefore,
      generator: generator.name,
      samples,
      seconds,
      results,
      failures,
    }
    const file = fromCache(wanted.json)
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(file, `${JSON.stringify(run, null, 2)}\n`)
    say(`\nwritten: ${path.relative(process.cwd(), file)}`)
  }
  return failures.length === 0 ? 0 : 1
}

async function holdToBaseline(baseline: 'compare' | 'record'): Promise<number> {
  if (baseline === 'record') {
    recordBaseline(await measureShares({ say, isEnough: () => false }))
    say(`recorded in ${path.relative(process.cwd(), BASELINE_FILE)}`)
    return 0
  }
  const known = readBaseline()
  if (known === null) say(`nothing was recorded on ${MACHINE} with Node ${process.version}`)
  const isSlower = (shares: Shares): boolean =>
    compare(known, shares).some(({ outcome }) => outcome === 'slower')
  const comparisons = compare(known, await measureShares({ say, isEnough: (shares) => !isSlower(shares) }))
  for (const { kind, recorded, now, outcome } of comparisons)
    say(
      `${outcome.padEnd(8)} ${kind}: adds ${now.toFixed(3)} of the call alone, recorded ${recorded ?? 'nothing'}`,
    )
  return comparisons.some(({ outcome }) => outcome === 'slower') ? 1 : 0
}

function fromCache(name: string): string {
  return path.join(CACHE, path.basename(name))
}

function say(line: string): void {
  process.stdout.write(`${line.trimEnd()}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stopAll().finally(() => process.exit(130)))

try {
  process.exitCode = await bench(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await stopAll()
}
