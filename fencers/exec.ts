// Runs an operator's command to fence the holder: no shell, a bounded output, and nothing of it outlives the attempt.
// Without `verifyCommand` the command's word is all there is, and the evidence says so.

import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { z } from 'zod'
import { type Attempt, defineFencer, StrikeWithheld } from '../gateway/spi/fencer.ts'
import { describeEnding, type Ending, runProgram } from './program/run.ts'

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

const REMEMBERED_MAX = 1_000
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
        if (ending.code !== 0) throw new Error(`${options.command[0]} ended with ${describeEnding(ending)}`)
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
        const said = `${describeEnding(ending)}${ending.output === '' ? '' : `: ${ending.output.slice(0, 500)}`}`
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
  return runProgram({
    argv,
    env: {
      ...infoVariables(info),
      FENCE_ACTION: action,
      FENCE_ID: attempt.fenceId,
      FENCE_ATTEMPT: String(attempt.number),
      FENCE_REMAINING_MS: String(remainingMs),
      ...options.env,
    },
    input: JSON.stringify(input),
    context: attempt,
    signal: attempt.signal,
  })
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
