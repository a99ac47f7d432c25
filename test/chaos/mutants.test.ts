import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLANTED_BUGS } from './planted-bugs.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Whether they are found is `test/chaos/mutants.ts`'s to say, in a quarter of an hour; here: that it still says something. */
describe('the planted bugs', () => {
  it.each(PLANTED_BUGS)('still fit the code: $name', ({ file, from, to }) => {
    expect(readFileSync(`${ROOT}${file}`, 'utf8').split(from), file).toHaveLength(2)
    expect(to).not.toBe(from)
  })
})
