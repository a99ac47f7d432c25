// What a fence record holds from its beginning, and that it can be read back.

import { describe, expect, it } from 'vitest'
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

describe('the fenceInfo that a plan puts in', () => {
  const planner: FencePlanner = {
    defaultPlan: 'p',
    levels: () => [['power']],
    fillFenceInfo: (plan, { fenceInfo }) => ({ kind: 'filled', fenceInfo: { ...fenceInfo, plug: plan } }),
    checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
  }
  const due = (plan: string | null, ordered: string | null, unfencedBy?: null) =>
    dueFence(
      sessionId('a1'),
      {
        holder: { id: 'nova-1' },
        fenceInfo: { plug: 'as opened' },
        plan,
        targets: [],
        ...(unfencedBy === undefined ? {} : { unfencedBy }),
      },
      { ...EXPIRED, plan: ordered },
      planner,
      '2030-01-01T00:00:00.000Z',
    ).fenceInfo

  it('is that of the opening where it is the plan of the session', () => {
    expect(due('p', null)).toEqual({ plug: 'as opened' })
  })

  it('is put in when the fence falls due by another plan, by the default, or for a foreign key', () => {
    expect(due('p', 'q')).toEqual({ plug: 'q' })
    expect(due(null, null)).toEqual({ plug: 'p' })
    expect(due('p', null, null)).toEqual({ plug: 'p' })
  })
})
