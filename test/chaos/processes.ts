// The programs of a run, as processes that can be stopped, killed and started again; each ended by its own pid. One that hangs is
// waited for no longer than it may take, and that is said.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from './network/network.ts'

/** Whatever ends this process, theirs end with it. */
const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

const START_MS_MAX = 30_000
const END_MS_MAX = 15_000
/** The kernel may take a while on a machine that has much else to do. */
const KILL_MS_MAX = 10_000

export interface Patience {
  /** From its start to its first message. */
  readonly startMsMax: number
  /** From being told to end until it is killed. */
  readonly endMsMax: number
}

export interface ProgramOptions {
  readonly name: string
  readonly place: Place
  /** Asked at each start. */
  readonly argv: () => readonly string[]
  readonly env?: () => Readonly<Record<string, string>>
  readonly onEnd: (end: ProgramEnd) => void
  /** It was killed as it did not do in time what it had to; `what` follows its name. */
  readonly onHung: (what: string) => void
  readonly patience?: Patience
}

export class Program {
  readonly name: string
  readonly #place: Place
  readonly #argv: () => readonly string[]
  readonly #env: () => Readonly<Record<string, string>>
  readonly #onEnd: (end: ProgramEnd) => void
  readonly #onHung: (what: string) => void
  readonly #patience: Patience
  #child: ChildProcess | null = null
  #stopped = false
  #retired = false
  #output = ''
  /** Ends that we brought about ourselves. */
  readonly #ours = new Set<ChildProcess>()

  constructor(options: ProgramOptions) {
    this.name = options.name
    this.#place = options.place
    this.#argv = options.argv
    this.#env = options.env ?? (() => ({}))
    this.#onEnd = options.onEnd
    this.#onHung = options.onHung
    this.#patience = options.patience ?? { startMsMax: START_MS_MAX, endMsMax: END_MS_MAX }
  }

  get running(): boolean {
    return this.#child !== null
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** The last that it wrote. */
  get output(): string {
    return this.#output
  }

  /** Its first message, or null where it ends, or is ended, before that; at once where it is not asked to say one. */
  async start(speaks: boolean): Promise<unknown> {
    if (this.#retired) return null
    const [program = '', ...args] = [...this.#place.prefix, ...this.#argv()]
    const child = spawn(program, args, {
      // The pipe to its standard input tells it when we are gone.
      stdio: ['pipe', 'pipe', 'pipe', ...(speaks ? (['ipc'] as const) : [])],
      env: { ...process.env, ...this.#env() },
    })
    alive.add(child)
    this.#child = child
    this.#stopped = false
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (piece: Buffer) => {
        this.#output = (this.#output + piece.toString()).slice(-64_000)
      })
    child.stdin?.on('error', () => undefined)
    child.once('error', (error) => {
      this.#output += error.message
    })
    child.once('exit', (code, signal) => {
      alive.delete(child)
      if (this.#child === child) this.#child = null
      this.#onEnd({ code, signal, ours: this.#ours.delete(child), output: this.#output })
    })
    if (!speaks) return null
    const { startMsMax } = this.#patience
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#onHung(`had not begun ${startMsMax / 1_000} s after its start`)
        this.#ours.add(child)
        child.kill('SIGKILL')
      }, startMsMax)
      const settle = (message: unknown): void => {
        clearTimeout(late)
        resolve(message)
      }
      child.once('message', settle)
      child.once('exit', () => settle(null))
    })
  }

  send(message: { readonly wallOffsetMs: number } | { readonly loses: boolean }): void {
    if (this.#child?.connected === true) this.#child.send(message)
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#child === null) return
    this.#stopped = signal === 'SIGSTOP'
    this.#child.kill(signal)
  }

  /** It is not started again, whoever asks for it. */
  retire(): void {
    this.#retired = true
  }

  /** SIGKILL, or what else it is told; resolves once the process is gone, or will not go. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    this.#ours.add(child)
    const { endMsMax } = this.#patience
    const gone = once(child, 'exit').then(() => true)
    if (this.#stopped) child.kill('SIGCONT')
    child.kill(signal)
    if (await isWithin(gone, signal === 'SIGKILL' ? KILL_MS_MAX : endMsMax)) return
    if (signal === 'SIGTERM') {
      this.#onHung(`had not ended ${endMsMax / 1_000} s after ${signal}`)
      child.kill('SIGKILL')
      if (await isWithin(gone, KILL_MS_MAX)) return
    }
    this.#onHung(`was still there ${KILL_MS_MAX / 1_000} s after SIGKILL`)
  }
}

async function isWithin(gone: Promise<boolean>, waitMs: number): Promise<boolean> {
  const controller = new AbortController()
  const late = sleep(waitMs, false, { signal: controller.signal }).catch(() => false)
  const isGone = await Promise.race([gone, late])
  controller.abort()
  return isGone
}

export interface ProgramEnd {
  readonly code: number | null
  readonly signal: string | null
  readonly ours: boolean
  readonly output: string
}
