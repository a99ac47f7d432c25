// The real clock and the one that tests move.

import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('the real clock', () => {
  test('never runs a timer early', async () => {
    const early = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const delayMs = 1 + (index % 20) * 1.37
        const beginMs = systemClock.monotonicMs()
        return new Promise<number>((resolve) => {
          systemClock.after(delayMs, () => resolve(systemClock.monotonicMs() - beginMs - delayMs))
        })
      }),
    )
    expect(Math.min(...early)).toBeGreaterThanOrEqual(0)
  })

  test('does not run a cancelled timer, nor one that is months away', async () => {
    let ran = 0
    const cancelled = systemClock.after(1, () => ran++)
    cancelled.cancel()
    cancelled.cancel()
    const far = systemClock.after(2 ** 33, () => ran++)
    await new Promise<void>((resolve) => systemClock.after(20, resolve))
    far.cancel()
    expect(ran).toBe(0)
  })
})

describe('the manual clock', () => {
  test('runs timers at their instants and in order, those armed meanwhile too', async () => {
    const clock = new ManualClock()
    const seen: string[] = []
    const note = (name: string) => () => seen.push(`${name}@${clock.monotonicMs()}`)
    clock.after(20, note('second'))
    clock.after(20, note('third'))
    clock.after(10, () => {
      note('first')()
      clock.after(15, note('fourth'))
    })
    clock.after(15, note('never')).cancel()
    clock.after(31, note('later'))
    await clock.advance(30)
    expect(seen).toEqual(['first@10', 'second@20', 'third@20', 'fourth@25'])
    expect(clock.monotonicMs()).toBe(30)
    expect(clock.pendingTimers).toBe(1)
  })

  test('lets promises go on between two timers', async () => {
    const clock = new ManualClock()
    const seen: number[] = []
    const wait = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve))
    const loop = (async () => {
      for (let round = 0; round < 3; round++) {
        await wait(10)
        seen.push(clock.monotonicMs())
      }
    })()
    await clock.advance(100)
    await loop
    expect(seen).toEqual([10, 20, 30])
  })

  test('runs timers late where the process stood still, and moves both of its clocks', async () => {
    const clock = new ManualClock({ monotonicMs: 5, wallMs: 1_000_000 })
    const seen: number[] = []
    clock.after(10, () => seen.push(clock.monotonicMs()))
    await clock.stall(500)
    expect(seen).toEqual([505])
    expect(clock.wallMs()).toBe(1_000_500)
  })
})
