// A program that is started before its token is known, waits for it, and dies with whoever started it. Its pid is what a
// fencer gets to know, so it has to be there before the session is opened.

import { type ChildProcess, spawn } from 'node:child_process'
import { kill } from 'node:process'

/**
 * Waits for the token, then becomes the program: the pid and its start time stay. Where the system has setpriv, the kernel
 * ends the program with its parent; elsewhere it goes on until its session is fenced.
 */
const GATE = `IFS= read -r FENCING_TOKEN <&3 || exit 125
exec 3<&-
export FENCING_TOKEN
if command -v setpriv >/dev/null 2>&1 && setpriv --pdeathsig KILL true 2>/dev/null
then exec setpriv --pdeathsig KILL -- "$@"
fi
exec "$@"`

export interface ProgramEnding {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface GatedProgram {
  readonly pid: number
  /** Lets it begin. */
  begin(token: string): void
  /** To the program and all that it has started. Does nothing once it is gone. */
  signal(signal: NodeJS.Signals): void
  readonly ended: Promise<ProgramEnding>
}

/** Rejects where nothing can be started. */
export async function startGatedProgram(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<GatedProgram> {
  const child = spawn('/bin/sh', ['-c', GATE, 'fencegate', ...argv], {
    // A process group of its own: what it starts ends with it.
    detached: true,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...environment },
  })
  const ended = new Promise<ProgramEnding>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const { pid } = child
  if (pid === undefined) throw await new Promise<Error>((resolve) => child.once('error', resolve))
  const gate = gateOf(child)
  return {
    pid,
    begin: (token) => gate?.end(`${token}\n`),
    signal(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return
      try {
        kill(-pid, signal)
      } catch (error) {
        // Gone in this very moment.
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
      }
    },
    ended,
  }
}

function gateOf(child: ChildProcess): NodeJS.WritableStream | null {
  const gate = child.stdio[3]
  if (gate === null || gate === undefined || !('write' in gate)) return null
  // A program that is ended before it begins breaks the pipe.
  gate.on('error', () => undefined)
  return gate
}
