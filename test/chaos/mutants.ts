// Plants bugs in a copy of the shipped code, one at a time, and looks whether chaos finds each within its time. By hand:
// `node test/chaos/mutants.ts [PATTERN OF NAMES]`.

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, execPath, exit, stdout } from 'node:process'
import { fileURLToPath } from 'node:url'
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs.ts'
import type { FaultKind } from './scenario.ts'

const TRIES = 2
const SECONDS = 60
/** A run bounds itself; this is for one that cannot any more. */
const TRY_MS_MAX = 900_000
const root = fileURLToPath(new URL('../..', import.meta.url))

interface Tried {
  readonly code: number | null
  readonly output: string
}

function run(folder: string, seed: number, faults: readonly FaultKind[]): Promise<Tried> {
  const child = spawn(
    execPath,
    [
      'test/chaos/run.ts',
      '--hasty',
      '--seconds',
      String(SECONDS),
      '--seed',
      String(seed),
      '--faults',
      faults.join(','),
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], timeout: TRY_MS_MAX },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => {
      output += piece.toString()
    })
  return new Promise((resolve) => child.once('exit', (code) => resolve({ code, output })))
}

async function tryOut(mutant: PlantedBug): Promise<{ readonly verdict: string; readonly found: boolean }> {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-mutant-'))
  try {
    for (const part of [
      'gateway',
      'fencers',
      'policies',
      'test/sim',
      'test/chaos',
      'test/support',
      'package.json',
    ])
      cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const file = join(folder, mutant.file)
    const text = readFileSync(file, 'utf8')
    if (text.split(mutant.from).length !== 2) return { verdict: 'no longer fits the code', found: false }
    writeFileSync(
      file,
      text.replace(mutant.from, () => mutant.to),
    )
    const beganAtMs = performance.now()
    for (let seed = 1; seed <= TRIES; seed++) {
      const { code, output } = await run(folder, seed, mutant.faults)
      const logs = /^The logs are in (.+)\.$/m.exec(output)?.[1]
      if (logs !== undefined) rmSync(logs, { recursive: true, force: true })
      if (code === 0) continue
      const promises = [...new Set([...output.matchAll(/^ {2}(I\d|crash): /gm)].map(([, what]) => what))]
      if (promises.length === 0) return { verdict: `does not run: ${output.slice(-300)}`, found: false }
      const seconds = Math.round((performance.now() - beganAtMs) / 1_000)
      const first = /^ {2}(?:I\d|crash): (.+)$/m.exec(output)?.[1] ?? ''
      return { verdict: `${promises.join(', ')}, after ${seconds} s: ${first}`, found: true }
    }
    return { verdict: `not found in ${TRIES} runs of ${SECONDS} s`, found: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

let missed = 0
const chosen = PLANTED_BUGS.filter(({ name }) => new RegExp(argv[2] ?? '').test(name))
for (const mutant of chosen) {
  const { verdict, found } = await tryOut(mutant)
  if (!found) missed++
  stdout.write(`${found ? 'found ' : 'MISSED'}  ${mutant.name.padEnd(66)} ${verdict}\n`)
}
stdout.write(`${chosen.length - missed} of ${chosen.length} found\n`)
exit(missed > 0 ? 1 : 0)
