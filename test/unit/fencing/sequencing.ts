// Sequencers over a journal in memory, with scripted fencers and a clock that a test moves; stopped when the test is over.

import { afterEach } from 'vitest'
import type { FencerDoubts } from '../../../gateway/fencing/monitoring.ts'
import { type FencingLimits, NO_LIMITS, type PlanSettings } from '../../../gateway/fencing/plans.ts'
import { type Sequencer, startSequencer } from '../../../gateway/fencing/sequencer.ts'
import type { GatewayEvent } from '../../../gateway/spi/events.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { aRecord, MemoryFences, type Script, scripted, sessionId, type TestJournal } from './support.ts'

const sequencers: Sequencer[] = []
afterEach(async () => {
  await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()))
})

export function setUp(
  scripts: Readonly<Record<string, Script>>,
  plan: Partial<PlanSettings> & { readonly levels: PlanSettings['levels'] },
  limits: FencingLimits = NO_LIMITS,
) {
  const clock = new ManualClock()
  const fences = new MemoryFences()
  const events: GatewayEvent[] = []
  const faults: string[] = []
  const { fencing, log } = scripted(clock, scripts, plan, limits)
  const start = (
    self: string,
    doubts?: FencerDoubts,
  ): { readonly journal: TestJournal; readonly sequencer: Sequencer } => {
    const journal = fences.journal(self)
    const sequencer = startSequencer({
      journal,
      fencing,
      clock,
      random: () => 1,
      ...(doubts === undefined ? {} : { doubts }),
      events: (event) => events.push(event),
      onFault: (message) => faults.push(message),
    })
    sequencers.push(sequencer)
    return { journal, sequencer }
  }
  const due = (hex = 'a1') => fences.put(aRecord({ id: sessionId(hex), levels: plan.levels }))
  return { clock, fences, events, faults, log, start, due }
}
