// Runs an operator's command to fence the holder: no shell, a bounded output, and nothing of it outlives the attempt.
// Without `verifyCommand` the command's word is all there is, and the evidence says so.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { kill } from 'node:process'
import { z } from 'zod'
import { type Attempt, defineFencer, StrikeWithheld } from '../gateway/spi/fencer.ts'

const command = z
  .array(z.string().max(4_096))
  .min(1)
  .max(64)
  .refine((argv) => argv[0]?.startsWith('/'), {
    error: 'a command begins with the absolute path of a program',
  })

const ExecOptions = z.strictObject({
  command: command.describe('program and arguments; exit code 0 says that the holder is harmless'),
  verifyCommand: command
    .optional()
    .describe('exit code 0: seen to be harmless; 1: seen to be alive; all else: nothing could be seen'),
  // In the words of the protocol: nobody but the operator can know.
  proves: z
    .array(z.enum(['no-new-calls', 'swept', 'blocks', 'flushed']))
    .default(['no-new-calls'])
    .describe('what the command brings about: no-new-calls (the default), swept, blocks, flushed'),
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string())
    .default({})
    .describe('added to PATH and FENCE_*, which is all that the commands get of an environment'),
})
type ExecOptions = z.infer<typeof ExecOptions>

/** Everything that the holder said goes to the command; `target`, where given, names the incarnation by itself. */
const ExecInfo = z.record(z.string(), z.unknown()).refine((info) => Object.keys(info).length > 0, {
  error: 'at least one key that tells the command whom to fence',
})
type ExecInfo = z.infer<typeof ExecInfo>

interface Ending {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const OUTPUT_MAX = 4_096
const REMEMBERED_MAX = 1_000
/** What was written before the program ended is read; a grandchild that holds the pipe is not waited for. */
const DRAIN_MS = 200
const HARMLESS = /^(?:\/usr)?\/bin\/(?:true|echo|:)$/

export default defineFencer<ExecOptions, ExecInfo>({
  id: 'exec',
  summary: 'runs a command of the operator that fences the holder',
  options: ExecOptions,
  fenceInfo: ExecInfo,
  example: {
    options: {
      command: ['/usr/local/bin/fence-it', '--now'],
      verifyCommand: ['/usr/local/bin/is-it-fenced'],
    },
    fenceInfo: { unit: 'nova-compute@3.service' },
  },
  proves: (options) => options.proves,
  target: (info) => (typeof info['target'] === 'string' ? info['target'] : canonical(info)),

  create(options) {
    // Attempts whose command said "done", for `verify` where no command can look.
    const done = new Set<string>()
    return {
      async fence(info, attempt) {
        if (!attempt.mayStrike()) throw new StrikeWithheld('the command was not run: this attempt is over')
        const ending = await run(options, options.command, 'fence', info, attempt)
        if (ending.output !== '') attempt.note(ending.output)
        if (ending.code !== 0) throw new Error(`${options.command[0]} ended with ${describe(ending)}`)
        if (done.size >= REMEMBERED_MAX) done.delete([...done][0] ?? '')
        done.add(attemptKey(attempt))
      },

      async verify(info, attempt) {
        if (options.verifyCommand === undefined) {
          if (!done.has(attemptKey(attempt))) {
            return { state: 'unknown', reason: 'the command has not said that it is done' }
          }
          const observed = 'the command ended with exit code 0; nothing was looked at'
          return { state: 'fenced', evidence: { observed, request: options.command[0] ?? '' } }
        }
        const ending = await run(options, options.verifyCommand, 'verify', info, attempt)
        const program = options.verifyCommand[0] ?? ''
        const said = `${describe(ending)}${ending.output === '' ? '' : `: ${ending.output.slice(0, 500)}`}`
        if (ending.code === 0) return { state: 'fenced', evidence: { observed: said, request: program } }
        return {
          state: ending.code === 1 ? 'not-fenced' : 'unknown',
          reason: `${program} ended with ${said}`,
        }
      },

      async monitor() {
        for (const program of [options.command[0], options.verifyCommand?.[0]]) {
          if (program === undefined) continue
          if (HARMLESS.test(program))
            throw new Error(`${program} fences nobody, and reports success for everybody`)
          await access(program, constants.X_OK)
        }
      },
    }
  },
})

function run(
  options: ExecOptions,
  argv: readonly string[],
  action: 'fence' | 'verify',
  info: ExecInfo,
  attempt: Attempt,
): Promise<Ending> {
  const remainingMs = Math.max(0, Math.round(attempt.deadlineMs - attempt.clock.monotonicMs()))
  const input = {
    action,
    fenceId: attempt.fenceId,
    attempt: attempt.number,
    remainingMs,
    holder: attempt.holder ?? null,
    fenceInfo: info,
  }
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      // A process group of its own, so that what the command starts can be ended with it.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...infoVariables(info),
        FENCE_ACTION: action,
        FENCE_ID: attempt.fenceId,
        FENCE_ATTEMPT: String(attempt.number),
        FENCE_REMAINING_MS: String(remainingMs),
        PATH,
        ...options.env,
      },
    })
    let output = ''
    const collect = (piece: Buffer): void => {
      if (output.length < OUTPUT_MAX) output += piece.toString('utf8').slice(0, OUTPUT_MAX - output.length)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    // A command that does not read its input breaks the pipe; that says nothing about the fence.
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(input))

    let settled = false
    let ended = false
    /** Once: the number of a group that is gone may be given to another. */
    const endGroup = (): void => {
      if (ended) return
      ended = true
      const problem = killGroup(child.pid)
      if (problem !== null) attempt.note(problem)
    }
    const settle = (conclude: () => void): void => {
      if (settled) return
      settled = true
      drain.cancel()
      attempt.signal.removeEventListener('abort', onAbort)
      endGroup()
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
      conclude()
    }
    let drain = { cancel: (): void => undefined }
    const onAbort = (): void => {
      settle(() =>
        reject(new Error(`${argv[0]} was killed with all that it had started: the attempt is over`)),
      )
    }
    child.once('error', (error) => settle(() => reject(error)))
    child.once('exit', (code, signal) => {
      // Nothing that the command started may strike after the command has reported.
      endGroup()
      const conclude = (): void => settle(() => resolve({ code, signal, output: output.trim() }))
      child.once('close', conclude)
      drain = attempt.clock.after(DRAIN_MS, conclude)
    })
    if (attempt.signal.aborted) onAbort()
    else attempt.signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Null where nothing of the group is left. */
function killGroup(group: number | undefined): string | null {
  if (group === undefined) return null
  try {
    kill(-group, 'SIGKILL')
    return null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'ESRCH' ? null : `what the command had started could not be killed: ${code}`
  }
}

/** `pid: 12` becomes `FENCE_INFO_PID=12`; what is no plain value is on standard input alone. */
function infoVariables(info: ExecInfo): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const [key, value] of Object.entries(info)) {
    if (!/^[A-Za-z][A-Za-z0-9]{0,63}$/.test(key)) continue
    const text = typeof value === 'string' || typeof value === 'number' ? String(value) : null
    if (text === null || text.length > 4_096 || text.includes('\0')) continue
    variables[`FENCE_INFO_${key.replace(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase()}`] = text
  }
  return variables
}

function canonical(info: ExecInfo): string {
  const text = JSON.stringify(Object.entries(info).sort(([a], [b]) => (a < b ? -1 : 1)))
  return text.length <= 200 ? text : createHash('sha256').update(text).digest('hex')
}

function attemptKey(attempt: Attempt): string {
  return `${attempt.fenceId}#${attempt.number}`
}

function describe(ending: Ending): string {
  return ending.signal === null ? `exit code ${ending.code}` : `signal ${ending.signal}`
}
