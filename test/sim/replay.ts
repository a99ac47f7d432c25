// Replays seeds: `node test/sim/replay.ts SEED` tells the whole story of one, `node test/sim/replay.ts FROM COUNT` runs many
// and prints those that broke a promise.

import { argv, exit, stdout } from 'node:process'
import { type Run, simulate } from './world.ts'

const [first, count] = argv.slice(2).map(Number)
if (first === undefined || Number.isNaN(first)) {
  stdout.write('usage: node test/sim/replay.ts SEED [COUNT]\n')
  exit(2)
}

function tell({ seed, hash, steps, violations }: Run): void {
  stdout.write(`seed ${seed}: ${steps} steps, history ${hash.slice(0, 16)}\n`)
  for (const { promise, atMs, detail } of violations) stdout.write(`  ${promise} at ${atMs} ms: ${detail}\n`)
}

let broken = 0
let steps = 0
if (count === undefined) {
  const run = await simulate(first)
  for (const event of run.history) stdout.write(`${JSON.stringify(event)}\n`)
  stdout.write(`${JSON.stringify(run.profile)}\n`)
  tell(run)
  broken = run.violations.length
} else {
  for (let seed = first; seed < first + count; seed++) {
    const run = await simulate(seed)
    steps += run.steps
    if (run.violations.length === 0) continue
    broken++
    tell(run)
  }
  stdout.write(`${count} seeds, ${steps} steps, ${broken} broke a promise\n`)
}
exit(broken > 0 ? 1 : 0)
