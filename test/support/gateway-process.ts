// The gateway as its users run it: a process of its own on a configuration file, ended by pid.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { z } from 'zod'

const MAIN = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url))
const START_MS_MAX = 60_000
const END_MS_MAX = 30_000

const addressSchema = z.object({ host: z.string(), port: z.number() })
const readySchema = z.object({ control: addressSchema, backends: z.record(z.string(), addressSchema) })

export interface GatewayProcess {
  readonly pid: number
  readonly control: string
  /** Base URL of a backend's listener. */
  backend(name: string): string
  /** Everything that it wrote. */
  output(): string
  /** As kill -9 does; resolves once it is gone. */
  kill(): Promise<void>
  /** Its exit code, once it has ended by itself or by a signal. */
  readonly ended: Promise<number | null>
  /** Asks it to end, and waits; its exit code. */
  stop(): Promise<number | null>
}

/** A folder with a configuration file in it, which survives the processes that run on it. */
export class GatewayFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'fencegate-test-'))
  readonly file = join(this.path, 'fencegate.yaml')
  readonly #running = new Set<GatewayProcess>()

  /** `store` and addresses are filled in where the configuration leaves them out. */
  configure(config: Readonly<Record<string, unknown>>): void {
    const complete = {
      store: { embedded: { path: './store' } },
      state: './state',
      control: { listen: '127.0.0.1:0' },
      ...config,
    }
    writeFileSync(this.file, stringify(complete))
  }

  async start(): Promise<GatewayProcess> {
    const gateway = await startProcess(this.file)
    this.#running.add(gateway)
    return gateway
  }

  /** Ends what runs on it, and removes it. */
  async remove(): Promise<void> {
    await Promise.all([...this.#running].map((gateway) => gateway.kill()))
    rmSync(this.path, { recursive: true, force: true })
  }
}

async function startProcess(file: string): Promise<GatewayProcess> {
  const child = fork(MAIN, ['serve', '-c', file], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] })
  const ended = new Promise<number | null>((resolve) => void child.once('exit', resolve))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  const ready = await readiness(child).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw new Error(`the gateway did not start: ${String(error)}\n${output}`)
  })
  const urlOf = ({ host, port }: z.infer<typeof addressSchema>) => `http://${host}:${port}`
  return {
    pid: child.pid ?? 0,
    control: urlOf(ready.control),
    backend(name) {
      const address = ready.backends[name]
      if (address === undefined) throw new Error(`the gateway has no backend ${name}`)
      return urlOf(address)
    },
    output: () => output,
    ended,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const gone = once(child, 'exit', { signal: AbortSignal.timeout(END_MS_MAX) })
      child.kill('SIGTERM')
      await gone
      return child.exitCode
    },
  }
}

function readiness(child: ChildProcess): Promise<z.infer<typeof readySchema>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it took too long')), START_MS_MAX)
    child.once('message', (message) => {
      clearTimeout(timer)
      resolve(readySchema.parse(message))
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`it ended with ${code ?? signal}`))
    })
  })
}
