// Runs one fencer in a process of its own, for a test that has to do so elsewhere (another namespace): a line of JSON in for each
// step, a line out with what became of it. Words: driver's id, options as JSON.

import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { loadFencerRegistry } from '../../gateway/fencing/registry.ts'
import type { Clock } from '../../gateway/spi/clock.ts'

const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}
const Step = z.object({
  step: z.enum(['complete', 'fence', 'verify', 'monitor']),
  info: z.record(z.string(), z.unknown()).default({}),
})

const [id = '', options = '{}'] = process.argv.slice(2)
const driver = (await loadFencerRegistry()).driver(id)
if (driver === null) throw new Error(`there is no driver ${id}`)
const fencer = driver.create(driver.options.parse(JSON.parse(options)), { clock, note: () => undefined })

for await (const line of createInterface({ input: process.stdin })) {
  const { step, info } = Step.parse(JSON.parse(line))
  const notes: string[] = []
  const signal = AbortSignal.timeout(15_000)
  const attempt = {
    clock,
    note: (text: string) => void notes.push(text),
    fenceId: 'f00',
    number: 1,
    signal,
    deadlineMs: clock.monotonicMs() + 15_000,
    mayStrike: () => !signal.aborted,
  }
  let answer: unknown
  try {
    const parsed = step === 'monitor' ? null : driver.fenceInfo.parse(info)
    if (step === 'complete') answer = driver.complete?.(parsed)
    else if (step === 'fence') answer = await fencer.fence(parsed, attempt)
    else if (step === 'verify') answer = await fencer.verify(parsed, attempt)
    else answer = await fencer.monitor(attempt)
    console.log(JSON.stringify({ answer: answer ?? null, notes }))
  } catch (error) {
    console.log(JSON.stringify({ fault: error instanceof Error ? error.message : String(error), notes }))
  }
}
