// The command line's entry: the only place that reads process.*, and that ends the process.

import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fetchWith, runCommandLine } from './cli/index.ts'
import { type Config, formatListen, type LoadResult } from './config/index.ts'
import { newRun, type RunningGateway, startGateway } from './gateway.ts'
import { gatherKnowledge, type RoomKnowledge } from './knowledge.ts'
import { openMark, openStore, StartFailure, storePrefix } from './own-store.ts'
import { Reload } from './reload.ts'
import { createLog } from './telemetry/index.ts'
import { systemClock } from './telemetry/system-clock.ts'
import { Supervisor } from './workers/supervisor.ts'
import { ParentLink, RUN_VARIABLE, WORKER_VARIABLE } from './workers/worker.ts'

process.stdout.on('error', (error: Error & { readonly code?: string }) => {
  // The reader has seen enough, as `head` has.
  if (error.code === 'EPIPE') process.exit()
  throw error
})
process.stderr.on('error', () => {
  // Nobody is left to be told.
})

const version = versionOfPackage()
const args = process.argv.slice(2)
const knowledge = await gatherKnowledge(configFileIn(args)).catch((error: unknown) => {
  process.stderr.write(`fencegate: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})

process.exitCode = await runCommandLine(args, {
  version,
  environment: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  fetchWith,
  readText: (path) => readFileSync(path, 'utf8'),
  clock: systemClock,
  // A worker's parent has told the warnings.
  loadConfig: (file) => ({ ...knowledge.load(file), ...(cluster.isWorker ? { warnings: [] } : {}) }),
  serve: (start) => serve(start, knowledge),
  policies: (config) => knowledge.policies(config),
  policyOf: (config, backend) => knowledge.policyOf(config, backend),
  drivers: knowledge.registry.ids.flatMap((id) => knowledge.registry.driver(id) ?? []),
  openStore: (config) => {
    const mark = openMark(config, null)
    return { mark, prefix: storePrefix(config), store: openStore(config, systemClock) }
  },
  onSignal(listener) {
    const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const
    for (const signal of signals) process.on(signal, listener)
    return () => {
      for (const signal of signals) process.off(signal, listener)
    }
  },
  newId: () => randomBytes(16).toString('hex'),
})

// A worker's line to its parent would keep it alive.
if (cluster.isWorker) process.exit()

async function serve(
  start: { readonly config: Config; readonly file: string; reload(): LoadResult },
  known: RoomKnowledge,
): Promise<number> {
  const { config, file } = start
  const workerNumber = cluster.isWorker ? Number(process.env[WORKER_VARIABLE] ?? 0) : 0
  if (config.workers > 1 && workerNumber === 0) return await supervise(config)
  const who = workerNumber === 0 ? 'fencegate' : `fencegate: worker ${workerNumber}`
  const log = createLog({
    level: config.log.level,
    ...(workerNumber === 0 ? {} : { fields: { worker: workerNumber } }),
  })
  const link =
    workerNumber === 0
      ? null
      : new ParentLink({
          number: workerNumber,
          run: process.env[RUN_VARIABLE] ?? newRun(),
          clock: systemClock,
          log,
        })
  let gateway: RunningGateway
  try {
    gateway = await startGateway({
      config,
      knowledge: known,
      version,
      clock: systemClock,
      log,
      worker: link,
      onStopped(reason) {
        // Before anything is written: somebody else may speak for what we held.
        process.stderr.write(`${who}: ${reason}\n`)
        process.kill(process.pid, 'SIGKILL')
      },
    })
  } catch (error) {
    if (!(error instanceof StartFailure)) throw error
    log.flush()
    process.stderr.write(`${who}: ${error.message}\n`)
    return 1
  }
  log.info({ version, file }, 'serving')
  log.info({ listen: formatListen(gateway.control) }, 'control API')
  for (const [backend, address] of gateway.backends)
    log.info(
      {
        backend,
        listen: formatListen(address),
        upstreams: config.backends[backend.split('/', 1)[0] ?? '']?.upstreams,
      },
      'backend',
    )
  const reload = new Reload({
    running: config,
    load: () => start.reload(),
    renewStoreTls: (renewed) => gateway.renewStoreTls(renewed),
    log,
    clock: systemClock,
  })
  process.on('SIGHUP', () => reload.now())
  const backends = Object.fromEntries(gateway.backends)
  // Told by its starter, where there is one, on which ports it listens.
  if (link === null) process.send?.({ control: gateway.control, backends })
  else link.ready(gateway.control, backends)
  const first = endSignal()
  const signal = await (link === null ? first : Promise.race([first, link.stopped]))
  log.info({ signal }, 'ending: callers are sent elsewhere, calls in flight may end')
  // Asked twice: whoever asks again does not want to wait for them.
  void first.then(endSignal).then(() => process.exit(1))
  reload.stop()
  await gateway.close()
  log.info({}, 'ended')
  log.flush()
  process.exit(0)
}

/** The parent of several workers, each of which runs this program again. */
async function supervise(config: Config): Promise<number> {
  const log = createLog({ level: config.log.level })
  const supervisor = new Supervisor({
    workers: config.workers,
    leaseMs: config.gateway.leaseMs,
    run: newRun(),
    clock: systemClock,
    log,
    onReady(control, backends) {
      log.info({ workers: config.workers }, 'serving')
      process.send?.({ control, backends })
    },
  })
  process.on('SIGHUP', () => supervisor.signal('SIGHUP'))
  void (async () => {
    const signal = await endSignal()
    log.info({ signal }, 'ending all workers')
    supervisor.stop()
    await endSignal()
    supervisor.kill()
    process.exit(1)
  })()
  const exitCode = await supervisor.run()
  log.info({ exitCode }, 'ended')
  log.flush()
  process.exit(exitCode)
}

function endSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  })
}

/** Drivers that the configuration names have to be loaded before the command line is run. */
function configFileIn(words: readonly string[]): string | null {
  for (const [index, word] of words.entries()) {
    if (word === '-c' || word === '--config') return words[index + 1] ?? null
    const attached = /^(?:--config=|-c)(?<file>.+)$/.exec(word)?.groups?.['file']
    if (attached !== undefined) return attached
    if (word === '--') return null
  }
  return null
}

function versionOfPackage(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version: found }: { name?: string; version?: string } = JSON.parse(
        readFileSync(new URL(place, import.meta.url), 'utf8'),
      )
      if (name === 'fencegate' && found !== undefined) return found
    } catch {
      // A checkout has it one level up, the package two.
    }
  }
  return 'unknown'
}
