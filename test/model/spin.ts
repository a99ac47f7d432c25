// Has spin check one configuration of the model to its end, or up to the first promise that is broken.

import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const MODEL = 'fencegate.pml'
/** The model, and the parts that it includes, by their names. */
export const SOURCES: ReadonlyMap<string, string> = new Map(
  readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.pml'))
    .map((name) => [name, readFileSync(join(import.meta.dirname, name), 'utf8')]),
)
/** Above every run's need by far; a search that hits it says so, and is refused here. */
const DEPTH_MAX = 10_000
const MEMORY_MIB_MAX = 3_500
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

export interface Search {
  readonly states: number
  readonly depth: number
  readonly seconds: number
  /** What the assertion that failed says of itself, such as `I2: …`; null where every state was seen and none failed. */
  readonly broken: string | null
}

/** `optimize` costs the compiler seconds, which pay off where there are millions of states. */
export async function search(
  defines: readonly string[],
  { optimize, timeoutMs }: { readonly optimize: boolean; readonly timeoutMs: number },
): Promise<Search> {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-model-'))
  const flags = defines.map((name) => `-D${name}`)
  const run = async (program: string, options: readonly string[]): Promise<string> => {
    const limits = { cwd: folder, timeout: timeoutMs, maxBuffer: OUTPUT_BYTES_MAX }
    return (await execute(program, options, limits)).stdout
  }
  try {
    for (const name of SOURCES.keys()) copyFileSync(join(import.meta.dirname, name), join(folder, name))
    await run('spin', ['-a', ...flags, MODEL])
    const options = ['-DSAFETY', '-DNOREDUCE', `-DMEMLIM=${MEMORY_MIB_MAX}`]
    await run('gcc', [optimize ? '-O2' : '-O0', '-w', ...options, '-o', 'pan', 'pan.c'])
    const report = await run(join(folder, 'pan'), [`-m${DEPTH_MAX}`, `-w${optimize ? 24 : 20}`])
    const counted = { ...figures(report), broken: null }
    if (/errors: 0$/m.test(report)) {
      if (/max search depth too small|out of memory|Search not completed/.test(report))
        throw new Error(`the search is not exhaustive:\n${report}`)
      return counted
    }
    const replay = await run('spin', ['-t', ...flags, MODEL]).catch((error: unknown) => String(error))
    return { ...counted, broken: broken(`${replay}\n${report}`) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function figures(report: string): Omit<Search, 'broken'> {
  const number = (pattern: RegExp): number => Number(pattern.exec(report)?.[1] ?? Number.NaN)
  const found = {
    states: number(/^\s*([\d.e+]+) states, stored/m),
    depth: number(/depth reached (\d+)/),
    seconds: number(/elapsed time ([\d.]+) seconds/),
  }
  if (Number.isNaN(found.states) || Number.isNaN(found.depth))
    throw new Error(`spin's report reads differently:\n${report}`)
  return found
}

/** The comment beside the assertion that failed. */
function broken(output: string): string {
  const [, file = '', line] = /([\w-]+\.pml):(\d+), Error: assertion violated/.exec(output) ?? []
  const text = SOURCES.get(file)?.split('\n')[Number(line) - 1] ?? ''
  const promise = /assert\(.*\/\* (I\d: .*?) \*\//.exec(text)?.[1]
  if (promise === undefined) throw new Error(`stopped, but at no promise:\n${output}`)
  return promise
}
