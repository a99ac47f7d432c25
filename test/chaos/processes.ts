// The programs of a run, as processes that can be stopped, killed and started again; each ended by its own pid.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Place } from './network/network.ts'

/** Whatever ends this process, theirs end with it. */
const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

export class Program {
  readonly name: string
  readonly #place: Place
  readonly #argv: () => readonly string[]
  readonly #env: () => Readonly<Record<string, string>>
  readonly #onEnd: (end: ProgramEnd) => void
  #child: ChildProcess | null = null
  #stopped = false
  #retired = false
  #output = ''
  /** Ends that we brought about ourselves. */
  readonly #ours = new Set<ChildProcess>()

  constructor(options: {
    readonly name: string
    readonly place: Place
    /** Asked at each start. */
    readonly argv: () => readonly string[]
    readonly env?: () => Readonly<Record<string, string>>
    readonly onEnd: (end: ProgramEnd) => void
  }) {
    this.name = options.name
    this.#place = options.place
    this.#argv = options.argv
    this.#env = options.env ?? (() => ({}))
    this.#onEnd = options.onEnd
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

  /** Its first message, or null where it ends before that; at once where it is not asked to say one. */
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
    return new Promise((resolve) => {
      child.once('message', resolve)
      child.once('exit', () => resolve(null))
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

  /** SIGKILL, or what else it is told; resolves once the process is gone. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    this.#ours.add(child)
    const gone = once(child, 'exit')
    if (this.#stopped) child.kill('SIGCONT')
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await gone
    clearTimeout(late)
  }
}

export interface ProgramEnd {
  readonly code: number | null
  readonly signal: string | null
  readonly ours: boolean
  readonly output: string
}
