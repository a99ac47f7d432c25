// `run`: holds a lock around a command, and ends the command before anybody else can have the lock.
//
//   start, waiting ──▶ session ──▶ lock ──▶ command begins ──▶ it ends: release, its exit code
//                                              │
//                                              └─ lease in doubt: SIGTERM, SIGKILL before the lease can be over

import { hostname } from 'node:os'
import { z } from 'zod'
import type { Command, Invocation } from './arguments.ts'
import type { CommandDependencies } from './dependencies.ts'
import { type GatedProgram, type ProgramEnding, startGatedProgram } from './gated-program.ts'
import { CommandFailure, connect, REMOTE_OPTIONS, type Remote, understand } from './remote.ts'

const TTL_SECONDS = 15
/** The answer to an acquisition takes as long as the wait, and then the way. */
const ANSWER_MARGIN_MS = 30_000
/** `fetch` waits for the head of an answer no longer than five minutes. */
const WAIT_SECONDS_MAX = 280
const SIGNAL_NUMBERS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGTERM: 15,
}

const Opened = z.looseObject({ session: z.string(), ttl: z.number() })
const Renewed = z.looseObject({ ttl: z.number() })
const Granted = z.looseObject({ token: z.string(), signed: z.string().optional() })

export const run: Command = {
  name: 'run',
  summary: 'holds a lock around a command',
  positionals: ['COMMAND…'],
  options: {
    lock: { type: 'string', value: 'NAME', required: true, help: 'the lock' },
    mode: { type: 'string', value: 'MODE', help: 'exclusive or shared (default: exclusive)' },
    wait: {
      type: 'string',
      value: 'SECONDS',
      help: 'how long to wait for the lock (default: 0, try only)',
    },
    ttl: {
      type: 'string',
      value: 'SECONDS',
      help: `after which the lock is lost where this command stands still (default: ${TTL_SECONDS})`,
    },
    grace: {
      type: 'string',
      value: 'SECONDS',
      help: 'between SIGTERM and SIGKILL where the lock is being lost (default: a tenth of the TTL)',
    },
    holder: { type: 'string', value: 'ID', help: 'who holds it (default: USER@HOST)' },
    plan: { type: 'string', value: 'PLAN', help: 'the fence plan (default: that of the configuration)' },
    'fence-info': {
      type: 'string',
      value: 'KEY=VALUE',
      multiple: true,
      help: "what a fencer needs; the command's pid is known by itself",
    },
    ...REMOTE_OPTIONS,
  },
  notes:
    'Write -- before COMMAND. It gets the token in FENCING_TOKEN, runs in a process group of its own, and is ended when the\n' +
    'lock is lost. The exit code is that of COMMAND; 1 where the lock was not got and COMMAND was never run.',
  async run(invocation, dependencies) {
    const terms = termsOf(invocation, dependencies)
    const remote = connect(invocation, dependencies)
    const program = await startGatedProgram(invocation.positionals, dependencies.environment).catch(
      (error: unknown) => {
        throw new CommandFailure(`the command cannot be started: ${String(error)}`)
      },
    )
    const off = dependencies.onSignal((signal) => program.signal(signal))
    try {
      const ending = await new Holding(remote, program, terms, dependencies).untilEnded()
      if (ending.code !== null) return ending.code
      return 128 + (ending.signal === null ? 0 : (SIGNAL_NUMBERS[ending.signal] ?? 0))
    } finally {
      off()
      program.signal('SIGKILL')
    }
  },
}

interface Terms {
  readonly lock: string
  readonly mode: string
  readonly waitSeconds: number
  readonly ttlSeconds: number
  readonly graceSeconds: number | null
  readonly holder: Readonly<Record<string, unknown>>
  readonly fenceInfo: Readonly<Record<string, unknown>>
  readonly plan: string | undefined
}

function termsOf(invocation: Invocation, { environment }: CommandDependencies): Terms {
  const mode = invocation.text('mode') ?? 'exclusive'
  if (mode !== 'exclusive' && mode !== 'shared')
    throw new CommandFailure(`--mode is exclusive or shared, not "${mode}"`)
  const fenceInfo: Record<string, unknown> = {}
  for (const pair of invocation.texts('fence-info')) {
    const at = pair.indexOf('=')
    if (at < 1) throw new CommandFailure(`"${pair}" is not KEY=VALUE (--fence-info)`)
    const value = pair.slice(at + 1)
    fenceInfo[pair.slice(0, at)] = /^(?:0|[1-9][0-9]{0,14})$/.test(value) ? Number(value) : value
  }
  return {
    lock: invocation.text('lock') ?? '',
    mode,
    waitSeconds: secondsOf('wait', invocation, { min: 0, max: WAIT_SECONDS_MAX }) ?? 0,
    ttlSeconds: secondsOf('ttl', invocation, { min: 0.1, max: 86_400 }) ?? TTL_SECONDS,
    graceSeconds: secondsOf('grace', invocation, { min: 0, max: 86_400 }),
    holder: {
      id: invocation.text('holder') ?? `${environment['USER'] ?? 'somebody'}@${hostname()}`,
      host: hostname(),
      command: invocation.positionals.join(' ').slice(0, 256),
    },
    fenceInfo,
    plan: invocation.text('plan'),
  }
}

function secondsOf(
  option: string,
  invocation: Invocation,
  { min, max }: { readonly min: number; readonly max: number },
): number | null {
  const text = invocation.text(option)
  if (text === undefined) return null
  const seconds = Number(text)
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds < min || seconds > max)
    throw new CommandFailure(`--${option} is a number of seconds from ${min} to ${max}, not "${text}"`)
  return seconds
}

class Holding {
  readonly #remote: Remote
  readonly #program: GatedProgram
  readonly #terms: Terms
  readonly #dependencies: CommandDependencies
  #ended = false
  /** Monotonic: when the lease may be over, counted from before the renewal was sent. */
  #leaseEndMs = 0
  #stopEnding: () => void = () => undefined

  constructor(remote: Remote, program: GatedProgram, terms: Terms, dependencies: CommandDependencies) {
    this.#remote = remote
    this.#program = program
    this.#terms = terms
    this.#dependencies = dependencies
  }

  async untilEnded(): Promise<ProgramEnding> {
    const { clock } = this.#dependencies
    const { lock, mode, waitSeconds, ttlSeconds, holder, fenceInfo, plan } = this.#terms
    const sentMs = clock.monotonicMs()
    const opened = understand(
      Opened,
      await this.#remote.ask('POST', '/v1/sessions', {
        ttl: ttlSeconds,
        holder,
        fenceInfo: { pid: this.#program.pid, ...fenceInfo },
        ...(plan === undefined ? {} : { plan }),
      }),
    )
    const path = `/v1/sessions/${encodeURIComponent(opened.session)}`
    this.#renewed(sentMs, opened.ttl)
    const renewing = this.#renew(path, opened.ttl)
    const ended = this.#program.ended.finally(() => {
      this.#ended = true
    })
    try {
      const grant = this.#remote.ask(
        'POST',
        `/v1/locks/${encodeURIComponent(lock)}`,
        { session: opened.session, mode, wait: waitSeconds },
        waitSeconds * 1000 + ANSWER_MARGIN_MS,
      )
      const first = await Promise.race([grant, ended.then(() => null)])
      if (first === null) throw new CommandFailure(`the lock ${lock} was not got: ended before`)
      const { token, signed } = understand(Granted, first)
      this.#program.begin(signed ?? token)
      return await ended
    } finally {
      this.#ended = true
      this.#stopEnding()
      await renewing
      await this.#remote.ask('DELETE', path).catch((error: unknown) => this.#say(error))
    }
  }

  /** Until the program has ended; then resolves. Never rejects. */
  async #renew(path: string, ttlSeconds: number): Promise<void> {
    const { clock } = this.#dependencies
    while (!this.#ended) {
      await Promise.race([
        this.#program.ended,
        new Promise<void>((resolve) => clock.after((ttlSeconds * 1000) / 3, resolve)),
      ])
      if (this.#ended) return
      const sentMs = clock.monotonicMs()
      try {
        const { ttl } = understand(Renewed, await this.#remote.ask('POST', `${path}/keepalive`))
        this.#renewed(sentMs, ttl)
      } catch (error) {
        this.#say(error)
        if (!(error instanceof CommandFailure) || error.status !== 404) continue
        // Somebody else may have the lock by now.
        this.#say(new CommandFailure('the lock is lost: the command is killed'))
        this.#program.signal('SIGKILL')
        return
      }
    }
  }

  /** The command must be gone before the lease can be. */
  #renewed(sentMs: number, ttlSeconds: number): void {
    const { clock } = this.#dependencies
    const ttlMs = ttlSeconds * 1000
    const graceMs = Math.min(ttlMs / 3, (this.#terms.graceSeconds ?? ttlSeconds / 10) * 1000)
    this.#leaseEndMs = sentMs + ttlMs
    this.#stopEnding()
    const leftMs = this.#leaseEndMs - clock.monotonicMs() - ttlMs / 20
    const asking = clock.after(Math.max(0, leftMs - graceMs), () => {
      this.#say(new CommandFailure('the lock cannot be kept: the command is told to end'))
      this.#program.signal('SIGTERM')
    })
    const killing = clock.after(Math.max(0, leftMs), () => this.#program.signal('SIGKILL'))
    this.#stopEnding = () => {
      asking.cancel()
      killing.cancel()
    }
  }

  #say(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.#dependencies.stderr.write(`fencegate run: ${text}\n`)
  }
}
