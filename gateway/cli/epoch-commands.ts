// `epoch`, `epoch bump`: what an operator does after the store was restored from a backup. They speak to the store itself,
// as a gateway that has noticed writes nothing to it.

import type { Config } from '../config/index.ts'
import { bumpEpoch, EpochRefused, type EpochStatus, epochStatus } from '../locking/epoch-bump.ts'
import type { StoreMark } from '../spi/high-water-mark.ts'
import { type Store, StoreUnavailable } from '../spi/store.ts'
import type { Command, OptionTerms } from './arguments.ts'
import { configOf, fileOf } from './config-commands.ts'
import type { CommandDependencies } from './dependencies.ts'
import { CommandFailure, JSON_OPTION } from './remote.ts'
import { printable } from './table.ts'
import { asJson } from './watch-commands.ts'

const CONFIG: OptionTerms = {
  type: 'string',
  short: 'c',
  value: 'FILE',
  required: true,
  help: 'the configuration of a gateway that has served the store, on its machine: its mark is read',
}

export const epoch: Command = {
  name: 'epoch',
  summary: 'shows the epoch of the store, and whether the store went back',
  positionals: [],
  options: { config: CONFIG, ...JSON_OPTION },
  notes: 'Reads only. Exits with 1 where a gateway would refuse to serve the store.',
  run: (invocation, dependencies) =>
    withStore(configOf(fileOf(invocation), dependencies), dependencies, async (parts) => {
      const status = await epochStatus(parts)
      dependencies.stdout.write(invocation.flag('json') ? asJson(status) : describe(status))
      return status.refusal === null ? 0 : 1
    }),
}

const STOPPED = 'holders-stopped'

export const epochBump: Command = {
  name: 'epoch bump',
  summary: 'begins a new epoch in a store that was restored, so that tokens grow again',
  positionals: [],
  options: {
    config: CONFIG,
    by: { type: 'string', value: 'NAME', required: true, help: 'who says so' },
    reason: { type: 'string', value: 'TEXT', required: true, help: 'why; stays in the store' },
    [STOPPED]: {
      type: 'boolean',
      help: 'you vouch that nobody works on who was granted a lock after the backup was made',
    },
    above: {
      type: 'string',
      value: 'EPOCH',
      help: 'the largest epoch that the marks of other gateways know, where it is not in this one’s',
    },
    again: {
      type: 'boolean',
      help: 'begin another one, although nothing was served yet in that of an earlier run',
    },
    ...JSON_OPTION,
  },
  notes:
    'Stop every gateway first. Every session in the restored store ends, and its holder is fenced where it held a lock.\n' +
    'Holders of whom the backup knows nothing cannot be fenced: that is what you vouch for. Tokens from before are\n' +
    'refused for ever. After it, restart the gateways; they open nothing until the longest quiet time is over.',
  async run(invocation, dependencies) {
    const config = configOf(fileOf(invocation), dependencies)
    const above = Number(invocation.text('above') ?? 0)
    if (!Number.isSafeInteger(above) || above < 0)
      throw new CommandFailure('--above takes the number of an epoch')
    if (!invocation.flag(STOPPED))
      throw new CommandFailure(
        'nothing was done. The backup knows nothing of locks that were granted after it, so nobody can fence their holders. ' +
          `Stop every gateway, and every service that may hold such a lock; then say so with --${STOPPED}`,
      )
    return withStore(config, dependencies, async (parts) => {
      const { clock, stdout } = dependencies
      const bumped = await bumpEpoch({
        ...parts,
        clock,
        newId: () => dependencies.newId(),
        by: invocation.text('by') ?? '',
        reason: invocation.text('reason') ?? '',
        above,
        again: invocation.flag('again'),
      })
      if (invocation.flag('json')) stdout.write(asJson(bumped))
      else if (bumped.kind === 'begun') stdout.write(`epoch ${bumped.epoch} has begun; start the gateways\n`)
      else
        stdout.write(
          `${printable(`epoch ${bumped.epoch} was begun at ${bumped.at} by ${bumped.by ?? 'nobody'}, and nothing is opened in it yet`)}; ` +
            'start the gateways, or begin another one with --again\n',
        )
      return 0
    })
  },
}

async function withStore<Result>(
  config: Config,
  dependencies: CommandDependencies,
  act: (parts: { store: Store; prefix: string; mark: StoreMark }) => Promise<Result>,
): Promise<Result> {
  let parts: ReturnType<CommandDependencies['openStore']>
  try {
    parts = dependencies.openStore(config)
  } catch (error) {
    throw new CommandFailure(error instanceof Error ? error.message : String(error))
  }
  try {
    return await act(parts)
  } catch (error) {
    if (error instanceof StoreUnavailable)
      throw new CommandFailure(`the store does not answer: ${error.message}; run it again once it does`)
    if (error instanceof EpochRefused) throw new CommandFailure(error.message)
    throw error
  } finally {
    await parts.store.close()
  }
}

function describe(status: EpochStatus): string {
  const { epoch: number, begunAt, begunBy, reason, settled, revision, remembered, refusal } = status
  const begun = begunAt === null ? 'no gateway has served this store' : `begun at ${begunAt}`
  const lines = [
    `epoch     ${number}: ${begun}${begunBy === null ? '' : ` by ${begunBy}`}${reason === null ? '' : ` (${reason})`}`,
    `revision  ${revision}`,
    `mark      ${remembered === null ? 'this gateway remembers nothing of this store' : `epoch ${remembered.epoch}, token ${remembered.position}`}`,
    ...(settled ? [] : ['opens     nothing yet: a gateway has to serve for the longest quiet time first']),
    `served    ${refusal === null ? 'yes' : `no: ${refusal}`}`,
  ]
  return lines.map((line) => `${printable(line)}\n`).join('')
}
