import { describe, expect, it } from 'vitest'
import { type Run, simulate } from './world.ts'

/** Each broke a promise once; README.md says which, and what was wrong. */
const REGRESSIONS = [2, 31, 72, 91, 96, 99, 157, 163, 196, 203, 267, 352, 796, 4575, 26253, 41372]
/** The same in every run, so that a red test is the change's fault; replay.ts is for seeds that nobody has seen yet. */
const FIRST = 1_000_000
const SEEDS = 300
const STEPS_MIN = 200_000

function expectKept({ seed, violations }: Run): void {
  const told = violations.map(({ promise, atMs, detail }) => `${promise} at ${atMs} ms: ${detail}`).join('\n')
  expect(violations, `node test/sim/replay.ts ${seed}\n${told}`).toEqual([])
}

describe('the locking room on a simulated store, clock and network', () => {
  it('gives the same history for the same seed', async () => {
    for (const seed of [1, 2, 3]) expect((await simulate(seed)).hash).toBe((await simulate(seed)).hash)
    expect((await simulate(1)).hash).not.toBe((await simulate(2)).hash)
  }, 30_000)

  it.each(REGRESSIONS)('keeps its promises on seed %i, which broke one before', async (seed) => {
    expectKept(await simulate(seed))
  })

  it(`keeps its promises on ${SEEDS} seeds that never broke one`, async () => {
    const first = Number(process.env['FENCEGATE_SIM_SEED'] ?? FIRST)
    let steps = 0
    let admitted = 0
    let fences = 0
    for (let seed = first; seed < first + SEEDS; seed++) {
      const run = await simulate(seed)
      expectKept(run)
      steps += run.steps
      admitted += run.history.filter(({ kind }) => kind === 'admitted').length
      fences += run.history.filter((event) => event.kind === 'fence' && event.state === 'closed').length
    }
    expect(steps).toBeGreaterThan(STEPS_MIN)
    // A world in which nothing happens keeps every promise.
    expect(admitted).toBeGreaterThan(50)
    expect(fences).toBeGreaterThan(5)
  }, 120_000)
})
