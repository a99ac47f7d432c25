// The benchmark: fencegate beside what one would otherwise build, on the same machine in the same minutes. It prints
// figures and holds them against the targets; it fails only where something did not work, never for a slow figure.

import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readArguments, USAGE } from './arguments.ts'
import { CACHE } from './ground.ts'
import { chooseGenerator, type LoadGenerator } from './load/generator.ts'
import { measureCheck } from './measure/check.ts'
import { takeField } from './measure/field.ts'
import { measureIdle } from './measure/idle.ts'
import { measureLoad } from './measure/load.ts'
import { measureStream } from './measure/stream.ts'
import { PEERS } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'
import { stopAll } from './processes.ts'
import { type Figures, tableOf, verdictsOf } from './report.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'

interface Course {
  readonly peers: readonly Peer[]
  readonly generator: LoadGenerator
  readonly samples: number
  readonly seconds: number
}

async function bench(args: readonly string[]): Promise<number> {
  const wanted = readArguments(args)
  if (wanted.help) {
    say(USAGE)
    return 0
  }
  const peers: Peer[] = []
  for (const peer of PEERS.filter(({ id }) => wanted.peers.includes(id))) {
    const missing = await peer.prepare({ install: wanted.install })
    if (missing === null) peers.push(peer)
    else say(`without ${peer.id}: ${missing}`)
  }
  const generator = await chooseGenerator(wanted.generator)
  const machine = `${os.cpus()[0]?.model.trim() ?? 'unknown processor'} × ${os.availableParallelism()}`
  say(`${machine}, Node ${process.version}, load from ${generator.name}`)
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
      say(tableOf(result))
    } catch (error) {
      failures.push(`${scenario.id}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const verdicts = results.flatMap(verdictsOf)
  if (verdicts.length > 0) say(`\n${verdicts.join('\n')}`)
  for (const failure of failures) say(`\nDID NOT WORK: ${failure}`)
  if (wanted.json !== null) {
    const file = path.join(CACHE, path.basename(wanted.json))
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(file, `${JSON.stringify({ machine, node: process.version, results, failures }, null, 2)}\n`)
    say(`\nwritten: ${path.relative(process.cwd(), file)}`)
  }
  return failures.length === 0 ? 0 : 1
}

async function measure(
  scenario: Scenario,
  { peers, ...load }: Course,
): Promise<{ readonly result: Figures; readonly failed: readonly string[] }> {
  if (scenario.kind === 'check') {
    const figures = await measureCheck(scenario, load.samples)
    return { result: { kind: 'check', scenario: scenario.id, figures }, failed: [] }
  }
  const field = await takeField(scenario, peers)
  try {
    const failed = field.failures
    switch (scenario.kind) {
      case 'load': {
        const figures = await measureLoad(scenario, field, load)
        return { result: { kind: 'load', scenario: scenario.id, figures }, failed }
      }
      case 'stream': {
        const figures = await measureStream(scenario, field)
        return { result: { kind: 'stream', scenario: scenario.id, figures }, failed }
      }
      case 'idle': {
        const figures = await measureIdle(scenario, field, load.seconds)
        return { result: { kind: 'idle', scenario: scenario.id, figures }, failed }
      }
    }
  } finally {
    await field.clear()
  }
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
