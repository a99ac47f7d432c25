// Plants bugs in a copy of the shipped code, one at a time, and looks whether the simulation finds each: a simulation that
// finds nothing proves nothing before this has passed.

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, execPath, exit, stdout } from 'node:process'
import { fileURLToPath } from 'node:url'
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs.ts'
import { simulate } from './world.ts'

const USAGE = `usage: npm run sim:mutants -- [SEEDS [WORDS OF A NAME]]

  SEEDS   how many seeds each planted bug may take, 1,500 where not said
`
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** For machines that have much else to do; what takes longer has hung. */
const TIMEOUT_MS = 1_200_000

interface Verdict {
  readonly found: boolean
  readonly text: string
}

async function tryOut(planted: PlantedBug, seedsMax: number): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-mutant-'))
  try {
    for (const part of ['gateway', 'test/sim', 'test/support/fresh-seed.ts', 'package.json'])
      cpSync(join(ROOT, part), join(folder, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    for (const { file, from, to } of planted.edits) {
      const path = join(folder, file)
      const text = readFileSync(path, 'utf8')
      if (text.split(from).length !== 2) return { found: false, text: `does not fit ${file} any more` }
      writeFileSync(
        path,
        text.replace(from, () => to),
      )
    }
    return await verdictOf(await run(folder, seedsMax, planted.theme ?? null), seedsMax)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function run(folder: string, seedsMax: number, theme: string | null): Promise<string> {
  const only = theme === null ? [] : [`--theme=${theme}`]
  const child = spawn(execPath, ['test/sim/replay.ts', '1', String(seedsMax), '--first', ...only], {
    cwd: folder,
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return new Promise((resolve) =>
    child.on('close', (_code, signal) =>
      resolve(signal === null ? output : `it was ended after ${TIMEOUT_MS / 60_000} minutes\n${output}`),
    ),
  )
}

async function verdictOf(output: string, seedsMax: number): Promise<Verdict> {
  const seed = /^seed (\d+)/m.exec(output)?.[1]
  const steps = /(\d+) steps, \d+ broke a promise$/m.exec(output)?.[1]
  if (steps === undefined) return { found: false, text: `does not run: ${output.slice(0, 300)}` }
  if (seed === undefined) return { found: false, text: `not found in ${seedsMax} seeds, ${steps} steps` }
  if ((await simulate(Number(seed))).violations.length > 0)
    return { found: false, text: `seed ${seed} breaks a promise without it as well` }
  const promises = [...new Set([...output.matchAll(/^ {2}(I\d|crash) at/gm)].map(([, promise]) => promise))]
  return { found: true, text: `${promises.join(', ')} at seed ${seed}, after ${steps} steps` }
}

const [seedsText = '1500', words = ''] = argv.slice(2)
const seedsMax = Number(seedsText)
if (!Number.isSafeInteger(seedsMax) || seedsMax < 1) {
  stdout.write(USAGE)
  exit(2)
}
const chosen = PLANTED_BUGS.filter(({ name }) => name.includes(words))
const waiting = [...chosen]
let missed = 0

async function work(): Promise<void> {
  for (let planted = waiting.shift(); planted !== undefined; planted = waiting.shift()) {
    const { found, text } = await tryOut(planted, seedsMax)
    if (!found) missed++
    stdout.write(`${found ? 'found ' : 'MISSED'}  ${planted.name.padEnd(74)} ${text}\n`)
  }
}

await Promise.all(Array.from({ length: availableParallelism() }, work))
stdout.write(`${chosen.length - missed} of ${chosen.length} found\n`)
exit(missed > 0 || chosen.length === 0 ? 1 : 0)
