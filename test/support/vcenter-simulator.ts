// Builds, starts and stops the vCenter of the tests (test/support/vcsim), and speaks its side channel.
// Every process started here is ended by its own id; it also ends by itself when this process is gone.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { z } from 'zod'

const run = promisify(execFile)
const SOURCE = fileURLToPath(new URL('./vcsim', import.meta.url))
const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url))
const GOPATH = '/usr/share/gocode'
const BUILD_MS_MAX = 240_000

export interface VcenterSimulatorOptions {
  /** 0, the default, picks a free one. */
  readonly port?: number
  readonly tls?: boolean
  /** Name → password. Without it every name and password is let in. */
  readonly users?: Readonly<Record<string, string>>
}

export interface SimulatorRule {
  readonly method: string
  /**
   * `delay-before` and `delay-after` the execution; `drop` executes, then closes the connection; `status` answers a
   * bare HTTP status and executes nothing; `task` lets a `*_Task` method's task run on.
   */
  readonly kind: 'delay-before' | 'delay-after' | 'drop' | 'status' | 'task'
  /** How long; absent: until released. */
  readonly ms?: number
  readonly status?: number
  /** How many calls take the rule; absent or 0: all. */
  readonly times?: number
  /** Of `task`: the work is done at once, only its end is late. Else it is done when the task ends. */
  readonly effectFirst?: boolean
  readonly cancelable?: boolean
}

const sessionSchema = z.object({ key: z.string(), userName: z.string(), loginTime: z.string() })
const callSchema = z.object({
  seq: z.number(),
  method: z.string(),
  object: z.string(),
  user: z.string(),
  session: z.string(),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
  state: z.enum(['arrived', 'running', 'executed', 'refused', 'canceled']),
  status: z.number(),
  answered: z.boolean(),
})
const taskSchema = z.object({
  id: z.string(),
  method: z.string(),
  object: z.string(),
  user: z.string(),
  state: z.string(),
  cancelable: z.boolean(),
})
const readySchema = z.object({
  url: z.string(),
  control: z.string(),
  ca: z.string().optional(),
  pid: z.number(),
})

export type SimulatorSession = z.infer<typeof sessionSchema>
/** `executed`: its effect has landed. `refused`: a fault was answered. `running`: a held task, no effect yet. */
export type SimulatorCall = z.infer<typeof callSchema>
export type SimulatorTask = z.infer<typeof taskSchema>

export interface VcenterSimulator {
  /** With the path `/sdk`. */
  readonly url: string
  readonly pid: number
  /** PEM of the certificate to trust; null over http. */
  readonly ca: string | null
  sessions(): Promise<readonly SimulatorSession[]>
  /** Calls in the order of arrival, of one method or of all. */
  calls(method?: string): Promise<readonly SimulatorCall[]>
  forgetCalls(): Promise<void>
  /** The first rule of a method that is not used up applies. Answers the rule's id. */
  addRule(rule: SimulatorRule): Promise<number>
  /** Releases whatever waits under the rule (under all rules, without an id) and forgets it. */
  dropRule(id?: number): Promise<void>
  tasks(): Promise<readonly SimulatorTask[]>
  /** Lets a held task end; without an id, all of them. */
  releaseTask(id?: string): Promise<void>
  stop(): Promise<void>
}

/** Null where the simulator can be built here, else why not. With `CI=true` the reason is thrown. */
export function vcenterSimulatorUnavailable(): string | null {
  const reason = !existsSync(join(GOPATH, 'src/github.com/vmware/govmomi/simulator'))
    ? 'the Debian package golang-github-vmware-govmomi-dev is not installed'
    : !(process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'go')))
      ? 'the Debian package golang is not installed'
      : null
  if (reason !== null && process.env['CI'] === 'true') throw new Error(`no vCenter simulator: ${reason}`)
  return reason
}

export function vcenterSimulatorAvailable(): boolean {
  return vcenterSimulatorUnavailable() === null
}

/** Builds the simulator where that was not done yet, and answers the program's path. */
export async function buildVcenterSimulator(): Promise<string> {
  const folder = join(CACHE, 'vcsim')
  const binary = join(folder, `vcsim-${sourceHash()}`)
  const lock = `${binary}.lock`
  mkdirSync(folder, { recursive: true })
  const until = Date.now() + BUILD_MS_MAX
  while (!existsSync(binary)) {
    if (!takeLock(lock)) {
      if (Date.now() > until) throw new Error(`another build of the simulator holds ${lock}`)
      await sleep(200)
      continue
    }
    try {
      const unfinished = `${binary}.${process.pid}`
      await run('go', ['build', '-o', unfinished, '.'], {
        cwd: SOURCE,
        timeout: BUILD_MS_MAX,
        env: { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOCACHE: join(CACHE, 'go-build') },
      })
      renameSync(unfinished, binary)
    } finally {
      rmSync(lock, { recursive: true, force: true })
    }
  }
  return binary
}

export async function startVcenterSimulator(
  options: VcenterSimulatorOptions = {},
): Promise<VcenterSimulator> {
  const binary = await buildVcenterSimulator()
  const users = Object.entries(options.users ?? {}).map(([name, password]) => `${name}:${password}`)
  const args = [
    `-listen=127.0.0.1:${options.port ?? 0}`,
    ...(options.tls === true ? ['-tls'] : []),
    ...(users.length > 0 ? [`-users=${users.join(',')}`] : []),
  ]
  const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const ready = await readyLine(child)
  return simulatorOf(child, ready)
}

/** Makes the next call of a method slow. */
export async function slowDown(vcenter: VcenterSimulator | null, method: string): Promise<void> {
  await vcenter?.addRule({ method, kind: 'delay-before', ms: 400, times: 1 })
}

function simulatorOf(child: ChildProcess, ready: z.infer<typeof readySchema>): VcenterSimulator {
  const ask = async <Answer>(
    path: string,
    schema: z.ZodType<Answer>,
    init: RequestInit = {},
  ): Promise<Answer> => {
    const answer = await fetch(`${ready.control}${path}`, { ...init, signal: AbortSignal.timeout(10_000) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`the simulator's side channel answered ${answer.status}: ${text}`)
    return schema.parse(JSON.parse(text))
  }
  const done = z.object({ done: z.boolean() })
  const calls = z.object({ items: z.array(callSchema), dropped: z.number() })
  return {
    url: ready.url,
    pid: ready.pid,
    ca: ready.ca ?? null,
    sessions: () => ask('/sessions', z.array(sessionSchema)),
    calls: async (method = '') => (await ask(`/calls?method=${encodeURIComponent(method)}`, calls)).items,
    forgetCalls: async () => {
      await ask('/calls', calls, { method: 'DELETE' })
    },
    addRule: async (rule) => {
      const init = { method: 'POST', body: JSON.stringify(rule) }
      return (await ask('/rules', z.object({ id: z.number() }), init)).id
    },
    dropRule: async (id = 0) => {
      await ask(`/rules?id=${id}`, done, { method: 'DELETE' })
    },
    tasks: () => ask('/tasks', z.array(taskSchema)),
    releaseTask: async (id = 'all') => {
      await ask(`/tasks/${id}/release`, z.object({ released: z.number() }), { method: 'POST' })
    },
    stop: () => stop(child),
  }
}

async function readyLine(child: ChildProcess): Promise<z.infer<typeof readySchema>> {
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4_096)
  })
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error('the simulator did not start within 30 s'))
    }, 30_000)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the simulator ended with ${code}: ${complaint}`))
    })
    if (child.stdout === null) return
    createInterface(child.stdout).once('line', (line) => {
      clearTimeout(timer)
      child.removeAllListeners('exit')
      resolve(readySchema.parse(JSON.parse(line)))
    })
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await ended
  clearTimeout(timer)
}

function sourceHash(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(SOURCE).sort()) {
    hash.update(name).update(readFileSync(join(SOURCE, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** A directory is the lock: making it succeeds for one. A builder that died leaves it; its age tells. */
function takeLock(lock: string): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    const madeMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (madeMs !== undefined && Date.now() - madeMs > BUILD_MS_MAX)
      rmSync(lock, { recursive: true, force: true })
    return false
  }
}
