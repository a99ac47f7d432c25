import { describe, expect, it } from 'vitest'
import type { FenceProof } from '../../../gateway/core/fence-record.ts'
import {
  type DrainFacts,
  type FenceFacts,
  type HandoverInput,
  moveGrants,
  nextStep,
  sealGrants,
  type Waiter,
} from '../../../gateway/core/handover.ts'
import type { Grant, LockRecord, OpenGrant, SealedGrant } from '../../../gateway/core/lock-record.ts'
import { conflicts } from '../../../gateway/core/lock-record.ts'
import type { LeaseId, LockMode, LockName, Revision } from '../../../gateway/core/names.ts'
import fc from '../../support/fast-check.ts'

const LOCK = 'cinder/volume/1' as LockName
const NOW = '2030-01-01T00:00:00.000Z'

function waiter(createRevision: number, mode: LockMode = 'exclusive'): Waiter {
  const session = createRevision.toString(16) as LeaseId
  return { key: `k/${session}`, createRevision: createRevision as Revision, session, mode }
}

function open(createRevision: number, mode: LockMode = 'exclusive'): OpenGrant {
  return { ...waiter(createRevision, mode), state: 'open', openedAt: NOW }
}

function sealed(
  createRevision: number,
  cause: SealedGrant['cause'],
  mode: LockMode = 'exclusive',
): SealedGrant {
  const grant = open(createRevision, mode)
  return {
    ...grant,
    state: 'sealed',
    cause,
    sealedAt: NOW,
    fence: cause === 'released' ? null : grant.session,
  }
}

function record(...grants: Grant[]): LockRecord {
  return { lock: LOCK, grants, highWater: Math.max(0, ...grants.map((grant) => grant.createRevision)) }
}

function input(over: Partial<HandoverInput>): HandoverInput {
  return {
    record: null,
    recordRevision: 0,
    queue: [],
    ending: () => null,
    drain: () => ({ state: 'ended' }),
    formerDrain: () => ({ state: 'ended' }),
    fence: () => ({ state: 'none' }),
    unready: () => null,
    ...over,
  }
}

function proof(...proves: FenceProof['proves']): FenceProof {
  return { fencer: 'f', proves, sealedThrough: 9 as Revision, observedAt: NOW, observed: '', request: '' }
}

const UNKNOWN: DrainFacts = {
  state: 'unknown',
  calls: 1,
  quietOver: false,
  quietRemainingMs: 5_000,
  detail: 'lost',
}
const CLOSED: FenceFacts = { state: 'closed', proofs: [] }

describe('a record that has no grant left', () => {
  const move = { close: [sealed(9, 'released')], open: [], complete: [], settle: [] }
  const next = (...queue: Waiter[]) => moveGrants(LOCK, record(sealed(9, 'released')), move, NOW, queue)

  it('goes, as later revisions are larger anyway', () => {
    expect(next()).toBeNull()
    expect(next(waiter(10))).toBeNull()
  })

  it('stays for its high-water mark while somebody waits with an older token, who is then never opened', () => {
    const kept = next(waiter(5))
    expect(kept).toMatchObject({ grants: [], highWater: 9 })
    expect(nextStep(input({ record: kept, recordRevision: 1, queue: [waiter(5)] })).kind).toBe('rest')
  })
})

describe('the next step of a handover', () => {
  it('opens the first in the queue of a free lock', () => {
    expect(nextStep(input({ queue: [waiter(5), waiter(7)] }))).toEqual({
      kind: 'move',
      close: [],
      open: [waiter(5)],
      complete: [],
      settle: [],
    })
  })

  it('seals a grant whose key is gone before it does anything else', () => {
    const grant = open(5)
    const step = nextStep(input({ record: record(grant), queue: [waiter(7)], ending: () => 'expired' }))
    expect(step).toEqual({ kind: 'seal', grants: [{ grant, cause: 'expired' }] })
  })

  it('rests while the owner lives', () => {
    expect(nextStep(input({ record: record(open(5)), queue: [waiter(5), waiter(7)] }))).toEqual({
      kind: 'rest',
      obstacles: [],
    })
  })

  it('closes and opens in one move once the old grant is drained', () => {
    const grant = sealed(5, 'released')
    const step = nextStep(input({ record: record(grant), queue: [waiter(7)] }))
    expect(step).toEqual({ kind: 'move', close: [grant], open: [waiter(7)], complete: [], settle: [] })
  })

  it.each<[string, DrainFacts, FenceFacts, string]>([
    ['calls are in flight', { state: 'draining', calls: 1, detail: '' }, { state: 'none' }, 'draining'],
    [
      'calls are in flight though the fence is closed',
      { state: 'draining', calls: 1, detail: '' },
      CLOSED,
      'draining',
    ],
    ['the fence is due', { state: 'ended' }, { state: 'open', detail: '' }, 'fencing'],
    ['the fence is blocked', { state: 'ended' }, { state: 'blocked', reason: '' }, 'fence-blocked'],
    ['a call is unknown', UNKNOWN, { state: 'none' }, 'unknown'],
    [
      'a call is unknown and only the holder is proven dead',
      UNKNOWN,
      { state: 'closed', proofs: [proof('no-new-calls')] },
      'unknown',
    ],
    [
      'a call is unknown and only what had arrived is over',
      UNKNOWN,
      { state: 'closed', proofs: [proof('swept')] },
      'unknown',
    ],
    [
      'a call is unknown and only late arrivals are kept out',
      UNKNOWN,
      { state: 'closed', proofs: [proof('blocks')] },
      'unknown',
    ],
    [
      'a call is unknown and may have arrived between the sweep and the block',
      UNKNOWN,
      { state: 'closed', proofs: [proof('swept'), proof('blocks')] },
      'unknown',
    ],
  ])('keeps the next one out while %s', (_, drain, fence, kind) => {
    const step = nextStep(
      input({
        record: record(sealed(5, 'expired')),
        queue: [waiter(7)],
        drain: () => drain,
        fence: () => fence,
      }),
    )
    expect(step.kind).toBe('rest')
    expect(step.kind === 'rest' && step.obstacles.map((obstacle) => obstacle.kind)).toEqual([kind])
  })

  it.each<[string, DrainFacts, FenceFacts]>([
    ['the quiet time is over', { ...UNKNOWN, quietOver: true, quietRemainingMs: 0 }, CLOSED],
    ['everything forwarded is proven over', UNKNOWN, { state: 'closed', proofs: [proof('flushed')] }],
    ['two proofs together cover it', UNKNOWN, { state: 'closed', proofs: [proof('blocks'), proof('swept')] }],
  ])('lets the next one in over an unknown call once %s', (_, drain, fence) => {
    const step = nextStep(
      input({
        record: record(sealed(5, 'expired')),
        queue: [waiter(7)],
        drain: () => drain,
        fence: () => fence,
      }),
    )
    expect(step.kind).toBe('move')
  })

  it('never opens a key whose revision is not above what was open before', () => {
    const step = nextStep(input({ record: { lock: LOCK, grants: [], highWater: 9 }, queue: [waiter(7)] }))
    expect(step).toMatchObject({ kind: 'rest', obstacles: [{ kind: 'revision-regressed' }] })
  })

  it('opens nobody past one whose lease has no canary', () => {
    const step = nextStep(
      input({ queue: [waiter(5), waiter(7)], unready: (one) => (one.createRevision === 5 ? 'no' : null) }),
    )
    expect(step).toMatchObject({ kind: 'rest', obstacles: [{ kind: 'unready' }] })
  })

  it('opens readers together, and does not let later readers overtake a writer who waits', () => {
    const queue = [waiter(3, 'shared'), waiter(4, 'shared'), waiter(5), waiter(6, 'shared')]
    const step = nextStep(input({ queue }))
    expect(step).toEqual({ kind: 'move', close: [], open: queue.slice(0, 2), complete: [], settle: [] })
  })
})

describe('any sequence of steps', () => {
  interface World {
    record: LockRecord | null
    queue: Waiter[]
    drained: Set<number>
    fenced: Set<number>
    opened: number[]
  }

  const actions = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant('join' as const),
        mode: fc.constantFrom<LockMode>('exclusive', 'shared'),
      }),
      fc.record({ kind: fc.constantFrom('vanish', 'drain', 'fence'), at: fc.nat(7) }),
    ),
    { maxLength: 60 },
  )

  it('never has two conflicting grants, opens upwards only, and opens none before its predecessor is drained and fenced', () => {
    fc.assert(
      fc.property(actions, (script) => {
        const world: World = { record: null, queue: [], drained: new Set(), fenced: new Set(), opened: [] }
        let revision = 1
        for (const action of script) {
          if (action.kind === 'join') world.queue.push(waiter(++revision, action.mode))
          else {
            const target = world.queue[action.at] ?? world.record?.grants[action.at]
            if (target === undefined) continue
            if (action.kind === 'vanish') world.queue = world.queue.filter((one) => one !== target)
            if (action.kind === 'drain') world.drained.add(target.createRevision)
            if (action.kind === 'fence') world.fenced.add(target.createRevision)
          }
          for (let rounds = 0; rounds < 50; rounds++) {
            const step = nextStep({
              record: world.record,
              recordRevision: revision,
              queue: world.queue,
              ending: (grant) =>
                world.queue.some((one) => one.createRevision === grant.createRevision) ? null : 'expired',
              drain: (grant) =>
                world.drained.has(grant.createRevision)
                  ? { state: 'ended' }
                  : { state: 'draining', calls: 1, detail: '' },
              formerDrain: () => ({ state: 'ended' }),
              fence: (grant) =>
                world.fenced.has(grant.createRevision) ? CLOSED : { state: 'open', detail: '' },
              unready: () => null,
            })
            if (step.kind === 'rest') break
            if (step.kind === 'upgrade') throw new Error('nobody asked for it')
            if (step.kind === 'seal') {
              if (world.record === null) throw new Error('sealed without a record')
              world.record = sealGrants(world.record, step.grants, NOW)
              continue
            }
            for (const grant of step.close) {
              expect(world.drained).toContain(grant.createRevision)
              expect(world.fenced).toContain(grant.createRevision)
            }
            for (const one of step.open) {
              expect(one.createRevision).toBeGreaterThan(Math.max(0, ...world.opened))
              world.opened.push(one.createRevision)
            }
            world.record = moveGrants(LOCK, world.record, step, NOW)
            const grants = world.record?.grants ?? []
            for (const a of grants)
              for (const b of grants) if (a !== b) expect(conflicts(a.mode, b.mode)).toBe(false)
          }
        }
      }),
    )
  })
})
