// `backends`: what a gateway's backends have to do, which of their addresses are well, and what was turned away.

import { z } from 'zod'
import type { Command } from './arguments.ts'
import { CommandFailure, connect, JSON_OPTION, REMOTE_OPTIONS } from './remote.ts'
import { printable, table } from './table.ts'
import { asJson } from './watch-commands.ts'

const Backend = z.looseObject({
  backend: z.string(),
  policy: z.string(),
  enforced: z.boolean(),
  inFlight: z.number(),
  connections: z.number(),
  jobs: z.number(),
  shed: z.record(z.string(), z.number()),
  upstreams: z.array(
    z.looseObject({
      upstream: z.string(),
      healthy: z.boolean(),
      reason: z.string().nullable(),
      since: z.string(),
      inFlight: z.number(),
    }),
  ),
})
type Backend = z.output<typeof Backend>

export const backends: Command = {
  name: 'backends',
  summary: 'lists backends, or shows one: calls in flight, what was turned away, health of its addresses',
  positionals: ['[NAME]'],
  options: { ...JSON_OPTION, ...REMOTE_OPTIONS },
  notes: 'Each gateway speaks for itself: ask another one with --control.',
  async run(invocation, dependencies) {
    const all = await connect(invocation, dependencies).list('/v1/backends', Backend)
    const [name] = invocation.positionals
    const { stdout } = dependencies
    const isJson = invocation.flag('json')
    if (name === undefined) {
      stdout.write(isJson ? asJson({ items: all }) : overview(all))
      return 0
    }
    const shown = all.find(({ backend }) => backend === name)
    if (shown === undefined)
      throw new CommandFailure(
        `this gateway has no backend "${name}": there are ${all.map(({ backend }) => backend).join(', ') || 'none'}`,
      )
    stdout.write(isJson ? asJson(shown) : detail(shown))
    return 0
  },
}

function overview(all: readonly Backend[]): string {
  return table(
    ['BACKEND', 'POLICY', 'MODE', 'IN FLIGHT', 'JOBS', 'CONNECTIONS', 'TURNED AWAY', 'WELL'],
    all.map((backend) => [
      backend.backend,
      backend.policy,
      modeOf(backend),
      String(backend.inFlight),
      String(backend.jobs),
      String(backend.connections),
      String(Object.values(backend.shed).reduce((sum, count) => sum + count, 0)),
      `${backend.upstreams.filter(({ healthy }) => healthy).length} of ${backend.upstreams.length}`,
    ]),
  )
}

function detail(backend: Backend): string {
  const lines = [
    `backend  ${backend.backend}`,
    `policy   ${backend.policy} (${modeOf(backend)})`,
    `calls    ${backend.inFlight} in flight, ${backend.jobs} jobs that are watched`,
    `clients  ${backend.connections} connections`,
  ]
  for (const [limit, count] of Object.entries(backend.shed))
    lines.push(`away     ${count} since the start, by the limit of ${limit}`)
  for (const { upstream, healthy, reason, since, inFlight } of backend.upstreams)
    lines.push(
      `upstream ${upstream} is ${healthy ? 'well' : 'not well'} since ${since}, ${inFlight} in flight` +
        `${reason === null ? '' : `: ${reason}`}`,
    )
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function modeOf({ enforced }: Backend): string {
  return enforced ? 'enforced' : 'shadow'
}
