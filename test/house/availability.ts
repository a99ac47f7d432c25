// Says whether the programs are here that a test runs for real. The one place where a test may be skipped:
// always with the reason, and where CI is set a missing program fails instead.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

/** Path of an installed program, or null. Looks where Debian puts daemons, too. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  for (const folder of folders) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here: the next folder may have it.
    }
  }
  return null
}

/** `describe`, for tests that need these programs. */
export function describeWith(programs: readonly string[], title: string, body: () => void): void {
  const missing = programs.filter((program) => findProgram(program) === null)
  const reason = `needs ${missing.join(', ')}, not installed here`
  if (missing.length === 0) {
    describe(title, body)
  } else if (process.env['CI'] !== undefined && process.env['CI'] !== '') {
    describe(title, () => {
      it('finds the programs that it runs', () => {
        throw new Error(reason)
      })
    })
  } else {
    describe.skip(`${title} (${reason})`, body)
  }
}

/** Null where the program is installed, else why not. Where CI is set the reason is thrown. */
export function programUnavailable(name: string, debianPackage: string): string | null {
  if (findProgram(name) !== null) return null
  const reason = `${name} (Debian package ${debianPackage}) is not installed`
  if (process.env['CI'] !== undefined && process.env['CI'] !== '') throw new Error(reason)
  return reason
}
