// Runs seeds and says what came of them: `node test/sim/replay.ts SEED` tells the whole story of one, with a count those that
// broke a promise. Without a seed: those that belong to this commit.

import { argv, exit, stdout } from 'node:process'
import { parseArgs } from 'node:util'
import { freshSeed } from '../support/fresh-seed.ts'
import { Marks } from './marks.ts'
import { type Run, simulate } from './world.ts'

const USAGE = `usage: npm run sim -- [SEED [COUNT]] [--first] [--theme=NAME]

  SEED           one seed: its whole history, and what the checker says of it
  SEED COUNT     COUNT seeds from SEED on: those that broke a promise, and how often everything came up
  (nothing)      1,000 seeds from this commit's own
  --first        end at the first seed that broke a promise
  --theme=NAME   only runs of this theme (profile.ts)
`

interface Asked {
  readonly first: number
  readonly count: number
  readonly story: boolean
  readonly endsAtFirst: boolean
  readonly theme: string | null
}

function asked(): Asked | null {
  try {
    const { values, positionals } = parseArgs({
      args: argv.slice(2),
      allowPositionals: true,
      options: { first: { type: 'boolean' }, theme: { type: 'string' } },
    })
    const [seed = freshSeed(), count = positionals.length === 0 ? 1_000 : 1] = positionals.map(Number)
    if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || positionals.length > 2) return null
    const common = { first: seed, count, endsAtFirst: values.first ?? false, theme: values.theme ?? null }
    return { ...common, story: positionals.length === 1 }
  } catch {
    return null
  }
}

function tell({ seed, profile, hash, steps, violations }: Run): void {
  stdout.write(`seed ${seed} (${profile.theme}): ${steps} steps, history ${hash.slice(0, 16)}\n`)
  for (const { promise, atMs, detail } of violations) stdout.write(`  ${promise} at ${atMs} ms: ${detail}\n`)
}

async function tellStory(seed: number): Promise<number> {
  const run = await simulate(seed)
  for (const event of run.history) stdout.write(`${JSON.stringify(event)}\n`)
  stdout.write(`${JSON.stringify(run.profile)}\n`)
  tell(run)
  return run.violations.length
}

async function runMany({ first, count, endsAtFirst, theme }: Asked): Promise<number> {
  const marks = new Marks()
  let seeds = 0
  let steps = 0
  let broken = 0
  for (let seed = first; seed < first + count; seed++) {
    const run = await simulate(seed, theme)
    if (run === null) continue
    seeds++
    steps += run.steps
    marks.add(run.marks)
    if (run.violations.length === 0) continue
    broken++
    tell(run)
    if (endsAtFirst) break
  }
  if (broken === 0 || !endsAtFirst) stdout.write(`${marks.toString()}\n`)
  stdout.write(`${seeds} seeds from ${first}, ${steps} steps, ${broken} broke a promise\n`)
  return broken
}

const request = asked()
if (request === null) {
  stdout.write(USAGE)
  exit(2)
}
const broken = request.story ? await tellStory(request.first) : await runMany(request)
exit(broken > 0 ? 1 : 0)
