// What a fence record holds from its beginning, and that it can be read back.

import { expect, it } from 'vitest'
import { dueFence, EXPIRED } from '../../../gateway/locking/due-fence.ts'
import { fenceRecords } from '../../../gateway/locking/records.ts'
import type { FencePlanner, PlanTerms } from '../../../gateway/spi/fence-planner.ts'
import { sessionId } from '../fencing/support.ts'

function record(terms: PlanTerms) {
  const planner: FencePlanner = {
    defaultPlan: 'p',
    levels: () => [['kill'], ['power']],
    terms: () => terms,
    checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
  }
  const due = dueFence(sessionId('a1'), null, EXPIRED, planner, '2030-01-01T00:00:00.000Z')
  expect(fenceRecords.decode(fenceRecords.encode(due))).toEqual(due)
  return due
}

it('holds the delays and the dry run of its plan, whatever the configuration says later', () => {
  expect(record({ delaysMs: [0, 30_000], dryRun: true })).toMatchObject({
    delaysMs: [0, 30_000],
    dryRun: true,
    progress: { state: 'due', level: 0 },
  })
})

it('says nothing of them where there are none', () => {
  const due = record({ delaysMs: [0, 0], dryRun: false })
  expect(due).not.toHaveProperty('delaysMs')
  expect(due).not.toHaveProperty('dryRun')
})
