import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ROOMS } from './rooms.ts'
import { findViolations, formatViolation } from './rules.ts'
import { readTree } from './tree.ts'

const tree = readTree(join(import.meta.dirname, '..', '..'))

describe('the house', () => {
  it('keeps its own rules', () => {
    expect(findViolations(tree).map(formatViolation)).toEqual([])
  })

  // A reader that finds nothing finds no fault either.
  it.each(ROOMS.map((room) => room.folder))('has TypeScript files in %s', (folder) => {
    const files = [...tree.keys()].filter((path) => path.startsWith(`${folder}/`) && path.endsWith('.ts'))
    expect(files.length).toBeGreaterThan(0)
  })

  it('sees the root: package.json, the lockfile and the documents', () => {
    expect([...tree.keys()]).toEqual(
      expect.arrayContaining(['package.json', 'package-lock.json', 'README.md', '.ci/run', '.npmrc']),
    )
  })
})
