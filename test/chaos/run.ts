// Chaos by hand: `node test/chaos/run.ts [--seconds N] [--seed S] [--faults a,b,…] [--route gateway|shadow|direct]
// [--report FILE.json|FILE.md] [--keep] [--hasty]`. Exits with 1 where a promise was broken, and with 2 where nothing could be judged.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, env, execPath, exit, stdout } from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { NamespaceNetwork } from './network/namespaces.ts'
import { namespacesMissing, UNSHARE } from './network/network.ts'
import { RelayNetwork } from './network/relays.ts'
import { makeReport, reportText, writeReport } from './report.ts'
import { runScenario } from './run-scenario.ts'
import { describeScenario, drawScenario, FAULT_KINDS } from './scenario.ts'

const { values } = parseArgs({
  args: argv.slice(2),
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    faults: { type: 'string', default: FAULT_KINDS.join(',') },
    route: { type: 'string', default: 'gateway' },
    report: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
    hasty: { type: 'boolean', default: false },
  },
})
const options = z
  .object({
    seconds: z.coerce.number().min(1).max(86_400),
    seed: z.coerce.number().int().min(0),
    kinds: z.array(z.enum(FAULT_KINDS)),
    route: z.enum(['gateway', 'shadow', 'direct']),
  })
  .parse({ ...values, kinds: values.faults.split(',').filter((kind) => kind !== '') })

const say = (text: string): void => void stdout.write(`${text}\n`)

/** Starts, healing, settling, probes and the judgement, each with a bound of its own; past all of them the run itself hangs. */
const RUN_MS_MAX = options.seconds * 2_000 + 600_000
/** For the run to say so itself, with what is known of it. */
const LAST_WORDS_MS = 15_000

/** Set inside the namespaces that this program has made for itself. */
const INSIDE = 'FENCEGATE_CHAOS_INSIDE'
/** Given by whoever has to remove it, even where the run is cut short. */
const folder = env[INSIDE] ?? mkdtempSync(join(tmpdir(), 'fencegate-chaos-'))
if (env[INSIDE] === undefined)
  process.once('exit', (code) => {
    if (!values.keep && !(code === 1 && options.route === 'gateway'))
      rmSync(folder, { recursive: true, force: true })
    else say(`The logs are in ${folder}.`)
  })

async function run(): Promise<number> {
  const inside = env[INSIDE] !== undefined
  const missing = inside ? null : namespacesMissing()
  if (!inside && missing === null) return withinNamespaces()
  if (missing !== null) say(`relays stand for the network: ${missing}`)
  // In a process namespace of its own it is the first process, which nothing ends that it does not handle.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => exit(2))
  setTimeout(() => {
    say(`The run has hung: it was not over after ${RUN_MS_MAX / 1_000} s.`)
    exit(2)
  }, RUN_MS_MAX).unref()
  const scenario = drawScenario(options)
  say(describeScenario(scenario))
  const network = inside ? new NamespaceNetwork() : new RelayNetwork()
  const ended = await runScenario({
    scenario,
    network,
    say: (text) => say(`${(performance.now() / 1_000).toFixed(1)} s: ${text}`),
    folder,
    hasty: values.hasty,
  })
  const report = makeReport(ended)
  say(`\n${reportText(report)}`)
  for (const file of values.report) writeReport(file, report)
  if (report.violations.length === 0) return 0
  if (report.calls.late === 0) return 1
  say('Not judged: this machine was too slow for what the backend promises.')
  return 2
}

/** The same program again, in namespaces that go with it, and everything that it starts with them. */
function withinNamespaces(): Promise<number> {
  const [program, ...words] = UNSHARE
  const child = spawn(program, [...words, execPath, fileURLToPath(import.meta.url), ...argv.slice(2)], {
    stdio: 'inherit',
    env: { ...env, [INSIDE]: folder },
  })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => child.kill('SIGKILL'))
  setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX + LAST_WORDS_MS).unref()
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 2))
  })
}

exit(
  await run().catch((error: unknown) => {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return 2
  }),
)
