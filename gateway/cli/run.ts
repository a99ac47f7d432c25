// The command line: arguments in, exit code out. Reads no process globals and never exits by itself.

import { type Command, parseArguments } from './arguments.ts'
import { backends } from './backend-commands.ts'
import { check, explain, policiesDescribe, policiesList, serve } from './config-commands.ts'
import type { CommandDependencies } from './dependencies.ts'
import { epoch, epochBump } from './epoch-commands.ts'
import { fencersDescribe, fencersList, fencersStatus, fencersTest } from './fencer-commands.ts'
import { confirm, fence, retry, unfence, vouch } from './operator-commands.ts'
import { CommandFailure } from './remote.ts'
import { run } from './run-command.ts'
import { fences, locks, sessions } from './watch-commands.ts'

export const COMMANDS: readonly Command[] = [
  serve,
  check,
  explain,
  locks,
  sessions,
  fences,
  backends,
  fence,
  confirm,
  retry,
  unfence,
  vouch,
  run,
  epoch,
  epochBump,
  fencersList,
  fencersDescribe,
  fencersStatus,
  fencersTest,
  policiesList,
  policiesDescribe,
]

/**
 * 0: done; 1: failed, with the reason and what to do on stderr; 2: misused, with the usage. What is no expected failure
 * passes through as an exception.
 */
export async function runCommandLine(
  args: readonly string[],
  dependencies: CommandDependencies,
): Promise<number> {
  const parsed = parseArguments(args, COMMANDS)
  switch (parsed.kind) {
    case 'help':
      dependencies.stdout.write(parsed.text)
      return 0
    case 'version':
      dependencies.stdout.write(`fencegate ${dependencies.version}\n`)
      return 0
    case 'misused':
      dependencies.stderr.write(`fencegate: ${parsed.message}\n\n${parsed.usage}`)
      return 2
    case 'run':
      try {
        return await parsed.command.run(parsed.invocation, dependencies)
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error
        dependencies.stderr.write(`fencegate ${parsed.command.name}: ${error.message}\n`)
        return 1
      }
  }
}
