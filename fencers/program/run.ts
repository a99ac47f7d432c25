// Runs one program for a fencer: no shell, a bounded output, and nothing of it outlives the attempt. What is secret goes
// to the program by its standard input or its environment, never in its arguments, which every user of the machine can read.

import { spawn } from 'node:child_process'
import { kill } from 'node:process'
import type { FencerContext } from '../../gateway/spi/fencer.ts'

export interface ProgramRun {
  /** The program's absolute path, or a name that PATH below has, and its arguments. */
  readonly argv: readonly string[]
  /** Added to PATH, which is all that the program gets of an environment. */
  readonly env?: Readonly<Record<string, string>>
  /** For its standard input, which is closed behind it. */
  readonly input?: string
  readonly context: FencerContext
  /** Ends the program and everything that it has started. */
  readonly signal: AbortSignal
  /** Of both outputs together, in characters; what is beyond is dropped. */
  readonly outputMax?: number
}

export interface Ending {
  readonly code: number | null
  readonly signal: string | null
  /** Standard output and standard error, as they came. */
  readonly output: string
  /** Standard output alone: what a program answers, without what it remarks. */
  readonly answer: string
}

export const OUTPUT_MAX = 4_096
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** What was written before the program ended is read; a grandchild that holds the pipe is not waited for. */
const DRAIN_MS = 200

/** Rejects where the program cannot be started, and where the signal ended it: then nobody knows what it has done. */
export function runProgram(request: ProgramRun): Promise<Ending> {
  const { argv, context, signal } = request
  const outputMax = request.outputMax ?? OUTPUT_MAX
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      // A process group of its own, so that what the program starts can be ended with it.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH, ...request.env },
    })
    let [output, answer] = ['', '']
    const appended = (text: string, piece: Buffer): string =>
      text.length < outputMax ? text + piece.toString('utf8').slice(0, outputMax - text.length) : text
    child.stdout.on('data', (piece: Buffer) => {
      output = appended(output, piece)
      answer = appended(answer, piece)
    })
    child.stderr.on('data', (piece: Buffer) => {
      output = appended(output, piece)
    })
    // A program that does not read its input breaks the pipe; that says nothing about the fence.
    child.stdin.on('error', () => undefined)
    child.stdin.end(request.input ?? '')

    let settled = false
    let ended = false
    /** Once: the number of a group that is gone may be given to another. */
    const endGroup = (): void => {
      if (ended) return
      ended = true
      const problem = killGroup(child.pid)
      if (problem !== null) context.note(problem)
    }
    const settle = (conclude: () => void): void => {
      if (settled) return
      settled = true
      drain.cancel()
      signal.removeEventListener('abort', onAbort)
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
    child.once('exit', (code, exitSignal) => {
      // Nothing that the program started may strike after the program has reported.
      endGroup()
      const conclude = (): void =>
        settle(() => resolve({ code, signal: exitSignal, output: output.trim(), answer }))
      child.once('close', conclude)
      drain = context.clock.after(DRAIN_MS, conclude)
    })
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** For people: "exit code 1" or "signal SIGKILL". */
export function describeEnding(ending: Ending): string {
  return ending.signal === null ? `exit code ${ending.code}` : `signal ${ending.signal}`
}

/** Null where nothing of the group is left. */
function killGroup(group: number | undefined): string | null {
  if (group === undefined) return null
  try {
    kill(-group, 'SIGKILL')
    return null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'ESRCH' ? null : `what the program had started could not be killed: ${code}`
  }
}
