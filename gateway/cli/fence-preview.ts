// `fence --dry-run`: what fencing a holder now would do, level by level. Nobody is struck and nobody is asked.

import { z } from 'zod'
import type { Invocation } from './arguments.ts'
import type { CommandDependencies } from './dependencies.ts'
import { connect, understand } from './remote.ts'
import { printable, table } from './table.ts'
import { asJson } from './watch-commands.ts'

const Preview = z.looseObject({
  session: z.string(),
  holder: z.looseObject({ id: z.string().optional() }).nullable(),
  plan: z.string().nullable(),
  levels: z.array(
    z.looseObject({
      after: z.number(),
      fencers: z.array(
        z.looseObject({
          fencer: z.string(),
          driver: z.string().nullable(),
          proves: z.array(z.string()),
          power: z.boolean(),
          target: z.string().nullable(),
          fault: z.string().nullable(),
          health: z.string(),
        }),
      ),
    }),
  ),
  neighbours: z.array(z.looseObject({ session: z.string(), holder: z.string(), locks: z.array(z.string()) })),
  heldBy: z.array(z.string()),
})
type Preview = z.output<typeof Preview>

export async function previewFence(
  invocation: Invocation,
  dependencies: CommandDependencies,
): Promise<number> {
  const [session = ''] = invocation.positionals
  const plan = invocation.text('plan')
  const query = plan === undefined ? '' : `?plan=${encodeURIComponent(plan)}`
  const path = `/v1/sessions/${encodeURIComponent(session)}/fence${query}`
  const answer = await connect(invocation, dependencies).ask('GET', path)
  const preview = understand(Preview, answer)
  dependencies.stdout.write(invocation.flag('json') ? asJson(answer) : describe(preview))
  return 0
}

function describe({ session, holder, plan, levels, neighbours, heldBy }: Preview): string {
  const lines = [`session ${session} (${holder?.id ?? 'unknown holder'}), plan ${plan ?? 'none'}`]
  const rows = levels.flatMap(({ after, fencers }, level) =>
    fencers.map(({ fencer, driver, proves, power, target, fault, health }) => [
      `${level + 1}${after > 0 ? ` (after ${after} s)` : ''}`,
      `${fencer} (${driver ?? 'not configured'})${power ? ', power' : ''}`,
      target ?? `nobody: ${fault ?? ''}`,
      proves.join(',') || 'nothing',
      health,
    ]),
  )
  const others = neighbours.map(
    ({ session: other, holder: who, locks }) =>
      `goes down with its host: ${who} (session ${other})${locks.length === 0 ? '' : ` with ${locks.join(', ')}`}`,
  )
  const held = heldBy.map((line) => `would be held: ${line}`)
  const levelTable =
    rows.length === 0 ? '' : table(['LEVEL', 'FENCER', 'WOULD STRIKE', 'PROVES', 'HEALTH'], rows)
  return `${lines.map(printable).join('\n')}\n${levelTable}${[...others, ...held].map((line) => `${printable(line)}\n`).join('')}`
}
