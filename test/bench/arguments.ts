// The command line of the benchmark.

import { parseArgs } from 'node:util'
import { PEERS } from './peers/all.ts'
import { SCENARIOS, SCENARIOS_BY_DEFAULT } from './scenarios.ts'

export const USAGE = `usage: npm run bench [-- OPTIONS]
  --peers all|ID[,ID]      whom to measure (default: all that are installed; "all" also installs what npm can fetch)
                           ${PEERS.map(({ id }) => id).join(', ')}
  --scenarios all|ID[,ID]  what to measure (default: ${SCENARIOS_BY_DEFAULT.join(',')})
                           ${SCENARIOS.map(({ id }) => id).join(', ')}
  --samples N              samples of each peer; the median counts (default: 3)
  --seconds N              length of a sample (default: 5)
  --generator wrk|sockets  what makes the load (default: wrk where it is installed)
  --json [FILE]            writes every figure to .cache/bench/FILE (figures.json)
  --plot [FILE]            measures nothing: draws the curves of .cache/bench/FILE (figures.json) into docs/scaling/, and
                           puts its tables into docs/scaling.md and test/bench/README.md
  --baseline [record]      only whether calls cost over 15 % more CPU than was recorded, which makes it fail; or records
`

export interface BenchArguments {
  readonly peers: readonly string[]
  readonly install: boolean
  readonly scenarios: readonly string[]
  readonly samples: number
  readonly seconds: number
  readonly generator: 'wrk' | 'sockets' | null
  readonly json: string | null
  readonly plot: string | null
  readonly baseline: 'compare' | 'record' | null
  readonly help: boolean
}

/** Throws an `Error` whose message a user can act on. */
export function readArguments(args: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: expand(args),
    options: {
      peers: { type: 'string' },
      scenarios: { type: 'string' },
      samples: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '5' },
      generator: { type: 'string' },
      json: { type: 'string' },
      plot: { type: 'string' },
      baseline: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const { generator, baseline } = values
  if (baseline !== undefined && baseline !== 'compare' && baseline !== 'record')
    throw new Error(`--baseline stands alone, or before record, not before ${baseline}`)
  if (generator !== undefined && generator !== 'wrk' && generator !== 'sockets')
    throw new Error(`--generator is wrk or sockets, not ${generator}`)
  return {
    peers: choice('--peers', values.peers, idsOf(PEERS), idsOf(PEERS)),
    install: values.peers?.split(',').some((id) => id === 'all' || id === 'fastify') ?? false,
    scenarios: choice('--scenarios', values.scenarios, idsOf(SCENARIOS), SCENARIOS_BY_DEFAULT),
    samples: whole('--samples', values.samples, 99),
    seconds: whole('--seconds', values.seconds, 60),
    generator: generator ?? null,
    json: values.json ?? null,
    plot: values.plot ?? null,
    baseline: baseline ?? null,
    help: values.help,
  }
}

/** What an option means that stands alone. */
const ALONE: Readonly<Record<string, string>> = {
  '--peers': 'all',
  '--json': 'figures.json',
  '--plot': 'figures.json',
  '--baseline': 'compare',
}

function expand(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const alone = (args[i + 1] ?? '--').startsWith('--') ? ALONE[arg] : undefined
    return alone === undefined ? [arg] : [arg, alone]
  })
}

function idsOf(list: readonly { readonly id: string }[]): readonly string[] {
  return list.map(({ id }) => id)
}

function choice(
  option: string,
  given: string | undefined,
  known: readonly string[],
  byDefault: readonly string[],
): readonly string[] {
  if (given === undefined) return byDefault
  if (given === 'all') return known
  const wanted = given.split(',')
  const unknown = wanted.find((id) => !known.includes(id))
  if (unknown !== undefined) throw new Error(`${option} knows ${known.join(', ')}, and not ${unknown}`)
  return wanted
}

function whole(option: string, text: string, max: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new Error(`${option} is a whole number from 1 to ${max}, not ${text}`)
  return value
}
