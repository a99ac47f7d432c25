// Starts the demo's processes, listens to them, and ends each by its own process id.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { expectThat, watchFor } from './narrative.ts'

const root = join(import.meta.dirname, '..', '..')
const waitMsMax = 20_000

export type HolderEvent = Readonly<Record<string, unknown>> & { readonly event: string }

function parseEvent(line: string): HolderEvent {
  const value: unknown = JSON.parse(line)
  if (typeof value !== 'object' || value === null) throw new Error(`no event: ${line}`)
  const fields: Readonly<Record<string, unknown>> = Object.fromEntries(Object.entries(value))
  return { ...fields, event: String(fields['event']) }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** A stopped process keeps its memory, its connections and its beliefs. */
export class Holder {
  readonly name: string
  readonly #child: ChildProcess
  readonly #events: HolderEvent[] = []
  #taken = 0

  constructor(name: string, control: string, volume: string, lock: string, ttlSeconds: number) {
    this.name = name
    const program = join(root, 'deploy', 'demo', 'holder.ts')
    this.#child = spawn(process.execPath, [program, name, control, volume, lock, String(ttlSeconds)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const { stdout } = this.#child
    if (stdout !== null)
      createInterface({ input: stdout }).on('line', (line) => this.#events.push(parseEvent(line)))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  order(order: 'acquire' | 'extend' | 'sign'): void {
    this.#child.stdin?.write(`${order}\n`)
  }

  /** The next event of this kind; those before it are passed over. */
  next(kind: string): Promise<HolderEvent> {
    return watchFor(`${this.name}: ${kind}`, waitMsMax, () => {
      const index = this.#events.findIndex((event, at) => at >= this.#taken && event.event === kind)
      const found = this.#events[index]
      if (found === undefined) return null
      this.#taken = index + 1
      return found
    })
  }

  has(kind: string): boolean {
    return this.#events.some((event, at) => at >= this.#taken && event.event === kind)
  }

  stop(): void {
    expectThat(this.#child.kill('SIGSTOP'), `${this.name} cannot be stopped`)
  }

  wake(): void {
    expectThat(this.#child.kill('SIGCONT'), `${this.name} cannot be woken up`)
  }

  /** SIGKILL ends a stopped process as well. */
  end(): Promise<void> {
    return end(this.#child)
  }
}

export interface GatewayProcess {
  readonly control: string
  /** The listener in front of the volume backend. */
  readonly volumes: string
  end(): Promise<void>
}

/** The gateway listens on ports that are free and says which. */
const Listening = z.object({
  control: z.object({ port: z.number() }),
  backends: z.object({ volumes: z.object({ port: z.number() }) }),
})

export async function startGateway(configFile: string): Promise<GatewayProcess> {
  const child = spawn(process.execPath, [join(root, 'gateway', 'main.ts'), 'serve', '-c', configFile], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let said = ''
  const hear = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-4_000)
  }
  child.stdout?.on('data', hear)
  child.stderr?.on('data', hear)
  let message: unknown = null
  child.once('message', (told) => {
    message = told
  })
  try {
    const listening = await watchFor('the gateway listens', waitMsMax, () => {
      expectThat(child.exitCode === null, `the gateway ended:\n${said}`)
      return message === null ? null : Listening.parse(message)
    })
    const control = `http://127.0.0.1:${listening.control.port}`
    await watchFor('the gateway is ready', waitMsMax, async () => {
      expectThat(child.exitCode === null, `the gateway ended:\n${said}`)
      return (await fetch(`${control}/readyz`)).status === 200 ? true : null
    })
    return { control, volumes: `http://127.0.0.1:${listening.backends.volumes.port}`, end: () => end(child) }
  } catch (error) {
    await end(child)
    throw error
  }
}
