import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLANTED_BUGS } from './planted-bugs.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const README = readFileSync(new URL('README.md', import.meta.url), 'utf8')

/** Whether they are found is `npm run sim:mutants`'s to say, in some minutes; here: that it still says something. */
describe('the planted bugs', () => {
  it.each(PLANTED_BUGS)('still fit the code: $name', ({ edits }) => {
    for (const { file, from, to } of edits) {
      expect(readFileSync(`${ROOT}${file}`, 'utf8').split(from), file).toHaveLength(2)
      expect(to).not.toBe(from)
    }
  })

  it('all stand in the README, and nothing else does', () => {
    const listed = [...README.matchAll(/^\|[^|]*\| ([^|`]+) \| (?:I\d|crash)[^|]*\|$/gm)].map(
      ([, name]) => name,
    )
    expect(new Set(listed)).toEqual(new Set(PLANTED_BUGS.map(({ name }) => name)))
    expect(listed).toHaveLength(PLANTED_BUGS.length)
  })
})
