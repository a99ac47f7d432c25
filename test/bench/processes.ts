// Starts the processes of a benchmark and ends every one of them, by its pid, whatever happens in between.

import { type ChildProcess, spawn } from 'node:child_process'
import net from 'node:net'

const READY_MS_MAX = 30_000
const TERM_MS_MAX = 5_000
const OUTPUT_CHARACTERS_KEPT = 8_192

export interface StartedProcess {
  readonly pid: number
  /** What it wrote last, to say why it failed. */
  output(): string
  /** SIGTERM, then SIGKILL; resolves once it is gone. Idempotent. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const running = new Set<StartedProcess>()

/** Ends what is still running; for the harness's own end. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((started) => started.stop()))
}

/** Starts a process and resolves when `port` on loopback takes connections. */
export async function startServer(
  options: StartOptions & { readonly port: number },
): Promise<StartedProcess> {
  const { child, started } = launch(options)
  await whileAlive(child, started, options.name, async (abandoned) => {
    const deadline = performance.now() + READY_MS_MAX
    while (!(await accepts(options.port))) {
      if (abandoned.aborted) return
      if (performance.now() > deadline) throw new Error(`nothing listens on port ${options.port}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })
  return started
}

/** Starts a process that writes its port as its first line. */
export async function startAnnounced(
  options: StartOptions,
): Promise<{ readonly started: StartedProcess; readonly port: number }> {
  const { child, started } = launch(options)
  let port = 0
  await whileAlive(child, started, options.name, async (abandoned) => {
    port = Number(await firstLine(child, abandoned))
    if (!abandoned.aborted && !(port > 0)) throw new Error('it wrote no port')
  })
  return { started, port }
}

/** Runs a process to its end; rejects with its output where it fails or takes too long. */
export async function run(options: StartOptions & { readonly timeoutMs: number }): Promise<string> {
  const { child, started } = launch(options)
  const out: string[] = []
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk.toString()))
  const timer = setTimeout(() => void started.stop(), options.timeoutMs)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  if (code !== 0) throw new Error(`${options.name} ended with ${code}: ${started.output().trim()}`)
  return out.join('')
}

/** A port of loopback that was free a moment ago, for programs that cannot be told to pick one. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no port'))
        else resolve(address.port)
      })
    })
  })
}

function launch(options: StartOptions): { child: ChildProcess; started: StartedProcess } {
  const child = spawn(options.command, [...options.args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_CHARACTERS_KEPT)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  // Not every program reads its standard input; that it is gone is no news.
  child.stdin?.on('error', () => undefined)
  const gone = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', (error) => {
      output += error.message
      resolve()
    })
  })
  const started: StartedProcess = {
    pid: child.pid ?? -1,
    output: () => output,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
        child.kill('SIGTERM')
        const harder = setTimeout(() => child.kill('SIGKILL'), TERM_MS_MAX)
        await gone
        clearTimeout(harder)
      }
      running.delete(started)
    },
  }
  running.add(started)
  void gone.then(() => running.delete(started))
  return { child, started }
}

async function whileAlive(
  child: ChildProcess,
  started: StartedProcess,
  name: string,
  wait: (abandoned: AbortSignal) => Promise<void>,
): Promise<void> {
  const abandoned = new AbortController()
  const died = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(error))
    child.once('close', (code, signal) => reject(new Error(`it ended (${signal ?? code})`)))
  })
  try {
    await Promise.race([wait(abandoned.signal), died])
  } catch (error) {
    await started.stop()
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${name} did not start: ${reason}\n${started.output()}`, { cause: error })
  } finally {
    abandoned.abort()
    died.catch(() => undefined)
  }
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function firstLine(child: ChildProcess, abandoned: AbortSignal): Promise<string> {
  return await new Promise((resolve) => {
    let text = ''
    const end = (): void => resolve(text.split('\n')[0] ?? '')
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('\n')) end()
    })
    abandoned.addEventListener('abort', end, { once: true })
  })
}
