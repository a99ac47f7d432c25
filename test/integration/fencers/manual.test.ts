// The manual fencer in the sequencer: it asks at once, and nothing goes on without an operator's word.

import { afterEach, describe, expect, test } from 'vitest'
import { closedAsFenced } from '../../../gateway/core/fence-sequence.ts'
import { createFencing, PLAN_DEFAULTS } from '../../../gateway/fencing/plans.ts'
import { loadFencerRegistry } from '../../../gateway/fencing/registry.ts'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import { aRecord, MemoryFences } from '../../unit/fencing/support.ts'
import { realClock } from './support.ts'

const registry = await loadFencerRegistry()
const sequencers: Sequencer[] = []
afterEach(async () => {
  await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
})

const hook = { driver: 'exec', options: { command: ['/bin/sh', '-c', 'exit 0'] } }

function start(levels: readonly (readonly string[])[], goOn = false): MemoryFences {
  const instructions =
    'Switch {{fenceInfo.host}} of {{holder.id}} off, then confirm {{fence.id}} {{fenceInfo.none}}'
  const fences = new MemoryFences()
  const fencing = createFencing({
    fencers: { ask: { driver: 'manual', options: { instructions, goOn } }, hook },
    plans: { plan: { ...PLAN_DEFAULTS, brakes: { ...PLAN_DEFAULTS.brakes, backoffMs: 10 }, levels } },
    defaultPlan: null,
    registry,
    clock: realClock,
  })
  const options = { journal: fences.journal('gw'), fencing, clock: realClock }
  fences.put(aRecord({ levels, fenceInfo: { host: 'compute-3\r\n\u202eevil' } }))
  sequencers.push(startSequencer({ ...options, random: () => 0, events: () => undefined }))
  return fences
}

const blockedOf = (fences: MemoryFences) => expect.poll(() => fences.record().progress, { timeout: 10_000 })

describe('the manual fencer', () => {
  test('blocks the fence with the instructions, and no later level strikes', async () => {
    const fences = start([['ask'], ['hook']])
    await blockedOf(fences).toMatchObject({
      state: 'blocked',
      reason: expect.stringContaining('Switch compute-3 evil of nova-1 off, then confirm a1 (unknown)'),
    })
    expect(fences.record().attempts).toMatchObject([{ fencer: 'ask', outcome: 'failed', number: 1 }])
    expect(fences.record().proofs).toEqual([])
  })

  test('what stands beside it on its level is done, and it waits all the same', async () => {
    const fences = start([['hook', 'ask']])
    await blockedOf(fences).toMatchObject({ state: 'blocked', reason: expect.stringContaining('Switch') })
    expect(fences.record().proofs).toMatchObject([{ fencer: 'hook' }])
  })

  test('where it is told to go on, the next level is tried', async () => {
    const fences = start([['ask'], ['hook']], true)
    await blockedOf(fences).toMatchObject({ state: 'closed', outcome: 'fenced' })
    expect(fences.record().attempts.map(({ fencer }) => fencer)).toContain('ask')
  })

  test("an operator's word ends it", async () => {
    const fences = start([['ask']])
    await blockedOf(fences).toMatchObject({ state: 'blocked' })
    fences.put(closedAsFenced(fences.record(), '2030-01-01T00:00:00.000Z'))
    expect(sequencers.at(-1)?.running).toEqual([])
  })
})
