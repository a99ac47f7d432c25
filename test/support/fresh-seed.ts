// Seeds that nobody has run before, and that are the same whenever this very commit is run again: a red run can be repeated,
// and a rerun is no way out of it.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { env } from 'node:process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** From the environment, this checkout's commit, or, where there is none, today's date. */
export function freshSeed(): number {
  const wanted = Number(env['FENCEGATE_TEST_SEED'] ?? '')
  if (wanted > 0 && Number.isSafeInteger(wanted)) return wanted
  const { status, stdout } = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' })
  const origin = status === 0 ? stdout.trim() : new Date().toISOString().slice(0, 10)
  // Far apart, so that two commits have no seed in common; exact as a number.
  return (createHash('sha256').update(origin).digest().readUInt32BE() + 1) * 100_000
}
