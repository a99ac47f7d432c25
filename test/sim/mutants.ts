// Plants bugs in a copy of the shipped code, one at a time, and looks whether the simulation finds each: a simulation that
// finds nothing proves nothing before this has passed. Can be split over machines, broken off, and taken up again.

import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { argv, exit, stdout } from 'node:process'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { PARTS, ROOT, tryOut } from './mutant-trial.ts'
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs.ts'

const USAGE = `usage: npm run sim:mutants -- [SEEDS [WORDS]] [options]

  SEEDS           how many seeds each planted bug may take, 5,000 where not said
  WORDS           only bugs with these words in their name, as --only
  --only=WORDS    the same
  --shard=I/N     the I-th of N parts of them
  --jobs=N        so many at once; as many as there are processors where not said
  --minutes=M     all of it takes no longer, 60 where not said: what is left then was not tried
  --each=S        no bug takes longer than so many seconds, 600 where not said
  --log=FILE      writes each verdict down, and leaves out what FILE says was found in this very code

Ends with 0 where all were found, 1 where one was missed, 2 where some were not tried to their end.
`

interface Asked {
  readonly seedsMax: number
  readonly words: string
  readonly shard: readonly [index: number, count: number]
  readonly jobs: number
  readonly allMs: number
  readonly eachMs: number
  readonly log: string | null
}

const count = z.coerce.number().int().min(1)

function asked(): Asked | null {
  try {
    const { values, positionals } = parseArgs({
      args: argv.slice(2),
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        shard: { type: 'string', default: '1/1' },
        jobs: { type: 'string', default: String(availableParallelism()) },
        minutes: { type: 'string', default: '60' },
        each: { type: 'string', default: '600' },
        log: { type: 'string' },
      },
    })
    const [seeds = '5000', words = '', ...more] = positionals
    const [index, parts] = z.tuple([count, count]).parse(values.shard.split('/'))
    if (index > parts || more.length > 0) return null
    return {
      seedsMax: count.parse(seeds),
      words: values.only ?? words,
      shard: [index, parts],
      jobs: count.parse(values.jobs),
      allMs: z.coerce.number().positive().parse(values.minutes) * 60_000,
      eachMs: z.coerce.number().positive().parse(values.each) * 1_000,
      log: values.log ?? null,
    }
  } catch {
    return null
  }
}

/** Of all that a simulation is made of: a verdict about other code says nothing of this. */
function codeDigest(): string {
  const digest = createHash('sha256')
  const add = (path: string): void => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name))
    else digest.update(`${path.slice(ROOT.length)}\n`).update(readFileSync(path))
  }
  for (const part of PARTS) add(join(ROOT, part))
  return digest.digest('hex').slice(0, 16)
}

const Line = z.object({ code: z.string(), bug: z.string(), outcome: z.string(), text: z.string() })

function foundBefore(log: string | null, code: string): ReadonlySet<string> {
  if (log === null || !existsSync(log)) return new Set()
  const lines = readFileSync(log, 'utf8').split('\n')
  return new Set(
    lines.flatMap((line) => {
      // The last line may have been cut short.
      const read = line.endsWith('}') ? Line.parse(JSON.parse(line)) : null
      return read?.code === code && read.outcome === 'found' ? [read.bug] : []
    }),
  )
}

/** Where each was found when the README was written: that costs one seed, and mostly saves all those before it. */
function knownSeeds(): ReadonlyMap<string, number> {
  const text = readFileSync(join(ROOT, 'test/sim/README.md'), 'utf8')
  const rows = text.matchAll(/^\|[^|]*\| ([^|`]+) \| (?:I\d|crash)[^|·]*· (\d+) ·[^|]*\|$/gm)
  return new Map([...rows].map(([, name = '', seed]) => [name, Number(seed)]))
}

/** Before a seed of such a number, all those up to it are run as soon. */
const NEAR_SEED = 20

async function runAll(request: Asked): Promise<number> {
  const { words, shard, jobs, log, seedsMax } = request
  const [index, parts] = shard
  const code = codeDigest()
  const chosen = PLANTED_BUGS.filter(({ name }) => name.includes(words)).filter(
    (_, i) => i % parts === index - 1,
  )
  const known = knownSeeds()
  const before = foundBefore(log, code)
  const waiting = chosen.filter(({ name }) => !before.has(name))
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
  const bell = setTimeout(() => controller.abort(), request.allMs)
  const took: { readonly name: string; readonly seconds: number }[] = []
  const counted = { found: 0, missed: 0, unfinished: 0 }

  const next = async (planted: PlantedBug): Promise<void> => {
    const beganMs = performance.now()
    const seed = known.get(planted.name) ?? 0
    const { outcome, text } = await tryOut(planted, {
      seedsMax,
      knownSeed: seed > NEAR_SEED ? seed : null,
      timeoutMs: request.eachMs,
      signal: controller.signal,
    })
    counted[outcome]++
    const seconds = (performance.now() - beganMs) / 1_000
    took.push({ name: planted.name, seconds })
    if (log !== null)
      appendFileSync(log, `${JSON.stringify({ code, bug: planted.name, outcome, text, seconds })}\n`)
    const verdict = outcome === 'found' ? 'found ' : outcome.toUpperCase()
    stdout.write(`${verdict}  ${planted.name.padEnd(74)} ${text}, ${seconds.toFixed(1)} s\n`)
  }
  const work = async (): Promise<void> => {
    for (let planted = waiting.shift(); planted !== undefined; planted = waiting.shift()) {
      if (controller.signal.aborted) waiting.unshift(planted)
      if (controller.signal.aborted) return
      await next(planted)
    }
  }
  const beganMs = performance.now()
  await Promise.all(Array.from({ length: jobs }, work))
  clearTimeout(bell)

  const slowest = took
    .toSorted((a, b) => b.seconds - a.seconds)
    .slice(0, 3)
    .map(({ name, seconds }) => `${name} (${seconds.toFixed(0)} s)`)
  const untried = waiting.map(({ name }) => name)
  const seconds = (performance.now() - beganMs) / 1_000
  if (slowest.length > 0) stdout.write(`longest: ${slowest.join('; ')}\n`)
  if (untried.length > 0) stdout.write(`not tried: ${untried.join('; ')}\n`)
  const earlier =
    before.size === 0 ? '' : `, ${chosen.length - took.length - untried.length} of them known from ${log}`
  stdout.write(
    `${chosen.length - took.length - untried.length + counted.found} of ${chosen.length} found${earlier}, ` +
      `${counted.missed} missed, ${counted.unfinished + untried.length} not tried to their end, in ${seconds.toFixed(0)} s\n`,
  )
  if (counted.missed > 0 || chosen.length === 0) return 1
  return counted.unfinished + untried.length > 0 ? 2 : 0
}

const request = asked()
if (request === null) {
  stdout.write(USAGE)
  exit(2)
}
exit(await runAll(request))
