// `fence`, `confirm`, `retry`, `vouch`: an operator's word, always with his name and his reason.

import { z } from 'zod'
import type { Command, Invocation, OptionTerms } from './arguments.ts'
import type { CommandDependencies } from './dependencies.ts'
import { previewFence } from './fence-preview.ts'
import { CommandFailure, connect, JSON_OPTION, REMOTE_OPTIONS, understand } from './remote.ts'
import { printable } from './table.ts'
import { asJson } from './watch-commands.ts'

const REASON: OptionTerms = { type: 'string', value: 'WHY', required: true, help: 'why; stays in the record' }
const WORD: Readonly<Record<string, OptionTerms>> = {
  reason: REASON,
  by: { type: 'string', value: 'NAME', help: 'who says so (default: USER of the environment)' },
}

const Ordered = z.looseObject({ fence: z.string() })
const Vouched = z.looseObject({
  vouched: z.array(
    z.looseObject({
      token: z.string(),
      gateway: z.string(),
      incarnation: z.string(),
      calls: z.number().nullable(),
    }),
  ),
})
const Fence = z.looseObject({ id: z.string(), state: z.string() })

export const fence: Command = {
  name: 'fence',
  summary: 'fences the holder of a session now',
  positionals: ['SESSION'],
  options: {
    ...WORD,
    reason: { ...REASON, unless: 'dry-run' },
    plan: { type: 'string', value: 'PLAN', help: 'another plan than that of the session' },
    'dry-run': { type: 'boolean', help: 'only show what it would do: levels, targets, what would hold it' },
    ...JSON_OPTION,
    ...REMOTE_OPTIONS,
  },
  async run(invocation, dependencies) {
    if (invocation.flag('dry-run')) return previewFence(invocation, dependencies)
    const [session = ''] = invocation.positionals
    const plan = invocation.text('plan')
    const body = { ...wordOf(invocation, dependencies), ...(plan === undefined ? {} : { plan }) }
    const path = `/v1/sessions/${encodeURIComponent(session)}/fence`
    const answer = await connect(invocation, dependencies).ask('POST', path, body)
    const { fence: id } = understand(Ordered, answer)
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson(answer)
        : `${printable(`the holder is being fenced; follow it with: fencegate fences ${id}`)}\n`,
    )
    return 0
  },
}

export const confirm: Command = {
  name: 'confirm',
  summary: 'says that the holder of a blocked fence is known to be dead',
  positionals: ['FENCE'],
  options: { ...WORD, ...JSON_OPTION, ...REMOTE_OPTIONS },
  notes: 'Nothing verifies your word: the next owner is let in on it. Make sure first.',
  run: (invocation, dependencies) =>
    decide('confirm', wordOf(invocation, dependencies), invocation, dependencies),
}

const Undone = z.looseObject({
  undone: z
    .array(z.looseObject({ fencer: z.string(), at: z.string(), outcome: z.string(), output: z.string() }))
    .default([]),
})

export const unfence: Command = {
  name: 'unfence',
  summary: 'undoes what a closed fence has left behind: an account without rights, a machine without power',
  positionals: ['FENCE'],
  options: { ...WORD, ...JSON_OPTION, ...REMOTE_OPTIONS },
  notes: 'Refused while anything rests on the fence. Exits with 1 where a fencer could not undo its part.',
  async run(invocation, dependencies) {
    const [id = ''] = invocation.positionals
    const path = `/v1/fences/${encodeURIComponent(id)}/unfence`
    const answer = await connect(invocation, dependencies).ask('POST', path, wordOf(invocation, dependencies))
    const { undone } = understand(Undone, answer)
    // One for each fencer, the latest: earlier ones are older words.
    const latest = [...new Map(undone.map((one) => [one.fencer, one])).values()]
    const lines = latest.map(({ fencer, outcome, output }) => `${fencer}: ${outcome}: ${output}`)
    dependencies.stdout.write(
      invocation.flag('json') ? asJson(answer) : lines.map((line) => `${printable(line)}\n`).join(''),
    )
    return latest.every(({ outcome }) => outcome === 'undone') ? 0 : 1
  },
}

export const retry: Command = {
  name: 'retry',
  summary: 'starts a blocked fence again, from its first level',
  positionals: ['FENCE'],
  options: { ...JSON_OPTION, ...REMOTE_OPTIONS },
  run: (invocation, dependencies) => decide('retry', undefined, invocation, dependencies),
}

export const vouch: Command = {
  name: 'vouch',
  summary: 'says that the calls of unknown fate that hold up a lock will not act any more',
  positionals: ['LOCK'],
  options: {
    ...WORD,
    gateway: {
      type: 'string',
      multiple: true,
      value: 'INCARNATION',
      help: 'only calls of this one (repeatable; default: whatever is unknown now)',
    },
    ...JSON_OPTION,
    ...REMOTE_OPTIONS,
  },
  notes:
    'Nothing verifies your word: the next owner is let in on it. Look with `fencegate locks LOCK`, and at the backend, first.',
  async run(invocation, dependencies) {
    const [lock = ''] = invocation.positionals
    const gateways = invocation.texts('gateway')
    const body = { ...wordOf(invocation, dependencies), ...(gateways.length === 0 ? {} : { gateways }) }
    const path = `/v1/locks/${encodeURIComponent(lock)}/vouch`
    const answer = await connect(invocation, dependencies).ask('POST', path, body)
    const lines = understand(Vouched, answer).vouched.map(
      ({ token, gateway, incarnation, calls }) =>
        `vouched for ${calls === null ? 'what was open' : `${calls} calls`} under token ${token} at ${gateway} (${incarnation})`,
    )
    dependencies.stdout.write(
      invocation.flag('json') ? asJson(answer) : lines.map((line) => `${printable(line)}\n`).join(''),
    )
    return 0
  },
}

async function decide(
  verb: 'confirm' | 'retry',
  body: unknown,
  invocation: Invocation,
  dependencies: CommandDependencies,
): Promise<number> {
  const [id = ''] = invocation.positionals
  const path = `/v1/fences/${encodeURIComponent(id)}/${verb}`
  const answer = await connect(invocation, dependencies).ask('POST', path, body)
  const record = understand(Fence, answer)
  dependencies.stdout.write(
    invocation.flag('json') ? asJson(answer) : `${printable(`fence ${record.id} is ${record.state}`)}\n`,
  )
  return 0
}

function wordOf(invocation: Invocation, dependencies: CommandDependencies): { by: string; reason: string } {
  const by = invocation.text('by') ?? dependencies.environment['USER']
  if (by === undefined || by === '') throw new CommandFailure('who says so? Give your name with --by NAME')
  return { by, reason: invocation.text('reason') ?? '' }
}
