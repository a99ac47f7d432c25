// One planted bug in a copy of the shipped code, and the seeds that are to find it, in a process of its own: it ends with the
// first seed that breaks a promise, when its time is over, or when nobody wants to know any more.

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import type { PlantedBug } from './planted-bugs.ts'
import { simulate } from './world.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** All that a simulation is made of. */
export const PARTS = ['gateway', 'test/sim', 'test/support/fresh-seed.ts', 'package.json']

export interface TrialOptions {
  readonly seedsMax: number
  /** Where it was found the last time, which is looked at first; null: nowhere. */
  readonly knownSeed: number | null
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface Trial {
  /** `unfinished`: broken off, or out of time. */
  readonly outcome: 'found' | 'missed' | 'unfinished'
  readonly text: string
}

interface Replay {
  readonly output: string
  readonly isWhole: boolean
}

export async function tryOut(planted: PlantedBug, options: TrialOptions): Promise<Trial> {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-mutant-'))
  try {
    for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    for (const { file, from, to } of planted.edits) {
      const path = join(folder, file)
      const text = readFileSync(path, 'utf8')
      if (text.split(from).length !== 2) return { outcome: 'missed', text: `does not fit ${file} any more` }
      writeFileSync(
        path,
        text.replace(from, () => to),
      )
    }
    return await search(folder, planted, options)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function search(folder: string, { theme }: PlantedBug, options: TrialOptions): Promise<Trial> {
  const { knownSeed, seedsMax } = options
  const deadlineMs = performance.now() + options.timeoutMs
  if (knownSeed !== null) {
    const known = await replay(folder, [String(knownSeed), '1'], deadlineMs, options.signal)
    const trial = known.isWhole ? await trialOf(known.output) : null
    if (trial?.outcome === 'found') return trial
  }
  const only = theme === undefined ? [] : [`--theme=${theme}`]
  const { output, isWhole } = await replay(
    folder,
    ['1', String(seedsMax), ...only],
    deadlineMs,
    options.signal,
  )
  if (options.signal.aborted) return { outcome: 'unfinished', text: 'was broken off' }
  if (!isWhole) return { outcome: 'unfinished', text: `took longer than ${options.timeoutMs / 1_000} s` }
  const trial = await trialOf(output)
  return trial.text === '' ? { ...trial, text: `not found in ${seedsMax} seeds` } : trial
}

function replay(
  folder: string,
  args: readonly string[],
  deadlineMs: number,
  signal: AbortSignal,
): Promise<Replay> {
  const child = spawn(execPath, ['test/sim/replay.ts', ...args, '--first'], {
    cwd: folder,
    timeout: Math.max(1, Math.ceil(deadlineMs - performance.now())),
    signal,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  // Also that it was not started at all, as nobody wants to know any more.
  child.on('error', (error) => {
    output += error.message
  })
  return new Promise((resolve) =>
    child.on('close', (code) => resolve({ output, isWhole: code === 0 || code === 1 })),
  )
}

/** Without words where the seeds are through and nothing was found. */
async function trialOf(output: string): Promise<Trial> {
  const seed = /^seed (\d+)/m.exec(output)?.[1]
  const steps = /(\d+) steps, \d+ broke a promise$/m.exec(output)?.[1]
  if (steps === undefined) return { outcome: 'missed', text: `does not run: ${output.slice(0, 300)}` }
  if (seed === undefined) return { outcome: 'missed', text: '' }
  if ((await simulate(Number(seed))).violations.length > 0)
    return { outcome: 'missed', text: `seed ${seed} breaks a promise without it as well` }
  const promises = [...new Set([...output.matchAll(/^ {2}(I\d|crash) at/gm)].map(([, promise]) => promise))]
  return { outcome: 'found', text: `${promises.join(', ')} at seed ${seed}, after ${steps} steps` }
}
