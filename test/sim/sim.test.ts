import { describe, expect, it } from 'vitest'
import { freshSeed } from '../support/fresh-seed.ts'
import { Marks } from './marks.ts'
import { THEMES } from './profile.ts'
import { type Run, simulate } from './world.ts'

/** Each broke a promise once; README.md says which, and what was wrong. */
const REGRESSIONS = [2, 31, 72, 91, 96, 99, 157, 163, 196, 203, 267, 352, 796, 4575, 26253, 41372]
/** The same in every run. */
const KNOWN_FIRST = 1_000_000
const KNOWN_SEEDS = 150
/** Of this commit: new ones with each change, the same ones whenever it is run again. */
const FRESH_SEEDS = 200
const FRESH_STEPS_MIN = 1_000_000

function expectKept({ seed, violations }: Run): void {
  const told = violations.map(({ promise, atMs, detail }) => `${promise} at ${atMs} ms: ${detail}`).join('\n')
  expect(violations, `npm run sim -- ${seed}\n${told}`).toEqual([])
}

async function keepsPromises(first: number, count: number): Promise<{ marks: Marks; steps: number }> {
  const marks = new Marks()
  let steps = 0
  for (let seed = first; seed < first + count; seed++) {
    const run = await simulate(seed)
    expectKept(run)
    marks.add(run.marks)
    steps += run.steps
  }
  return { marks, steps }
}

describe('the locking room and the sequencer on a simulated store, clock and network', () => {
  it('give the same history for the same seed, whatever the theme', async () => {
    const histories = new Set<string>()
    for (const theme of THEMES) {
      let run: Run | null = null
      for (let seed = 1; run === null; seed++) run = await simulate(seed, theme)
      histories.add(run.hash)
      expect((await simulate(run.seed)).hash, theme).toBe(run.hash)
    }
    expect(histories.size).toBe(THEMES.length)
  }, 120_000)

  it.each(REGRESSIONS)('keep their promises on seed %i, which broke one before', async (seed) => {
    expectKept(await simulate(seed))
  })

  it(`keep their promises on ${KNOWN_SEEDS} seeds that never broke one`, async () => {
    await keepsPromises(KNOWN_FIRST, KNOWN_SEEDS)
  }, 600_000)

  it(`keep their promises on ${FRESH_SEEDS} seeds that nobody has seen yet`, async () => {
    const first = freshSeed()
    process.stdout.write(
      `simulation: ${FRESH_SEEDS} seeds from ${first} (npm run sim -- ${first} ${FRESH_SEEDS})\n`,
    )
    const { marks, steps } = await keepsPromises(first, FRESH_SEEDS)
    process.stdout.write(
      `${marks.toString()}\nsimulation: ${FRESH_SEEDS} seeds, ${steps} steps, no promise broken\n`,
    )
    expect(steps).toBeGreaterThan(FRESH_STEPS_MIN)
    // A world in which nothing happens keeps every promise.
    expect(marks.unreached).toEqual([])
  }, 600_000)
})
