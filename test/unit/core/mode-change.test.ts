import { describe, expect, it } from 'vitest'
import {
  beginUpgrade,
  downgrade,
  type HandoverInput,
  type HandoverStep,
  moveGrants,
  nextStep,
  sealGrants,
  type Waiter,
} from '../../../gateway/core/handover.ts'
import {
  conflicts,
  excludingMode,
  type Grant,
  type LockRecord,
  type OpenGrant,
} from '../../../gateway/core/lock-record.ts'
import type { LeaseId, LockMode, LockName, Revision } from '../../../gateway/core/names.ts'
import fc from '../../support/fast-check.ts'

const LOCK = 'cinder/volume/1' as LockName
const NOW = '2030-01-01T00:00:00.000Z'

function waiter(
  createRevision: number,
  mode: LockMode,
  about: { of?: number; replaces?: number } = {},
): Waiter {
  const session = (about.of ?? createRevision).toString(16) as LeaseId
  return {
    key: `k/${createRevision}`,
    createRevision: createRevision as Revision,
    session,
    mode,
    replaces: (about.replaces ?? null) as Revision | null,
  }
}

function open(createRevision: number, mode: LockMode): OpenGrant {
  const { replaces: _, ...grant } = waiter(createRevision, mode)
  return { ...grant, state: 'open', openedAt: NOW }
}

function record(...grants: Grant[]): LockRecord {
  return { lock: LOCK, grants, highWater: Math.max(0, ...grants.map((grant) => grant.createRevision)) }
}

function step(over: Partial<HandoverInput>): HandoverStep {
  return nextStep({
    record: null,
    recordRevision: 0,
    queue: [],
    ending: () => null,
    drain: () => ({ state: 'ended' }),
    formerDrain: () => ({ state: 'ended' }),
    fence: () => ({ state: 'none' }),
    unready: () => null,
    ...over,
  })
}

const DRAINING = { state: 'draining', calls: 1, detail: 'a call' } as const

describe('an upgrade', () => {
  const base = open(3, 'shared')
  const upgrade = waiter(7, 'exclusive', { of: 3, replaces: 3 })

  it('is due when nobody else has the lock', () => {
    expect(step({ record: record(base), queue: [waiter(3, 'shared'), upgrade] })).toEqual({
      kind: 'upgrade',
      from: base,
      to: upgrade,
    })
  })

  it('waits for other readers, and later ones wait for it', () => {
    const other = open(4, 'shared')
    const queue = [waiter(3, 'shared'), waiter(4, 'shared'), upgrade, waiter(9, 'shared')]
    expect(step({ record: record(base, other), queue })).toEqual({ kind: 'rest', obstacles: [] })
  })

  it('never comes before a writer who waits', () => {
    const queue = [waiter(3, 'shared'), waiter(5, 'exclusive'), upgrade]
    expect(step({ record: record(base), queue })).toEqual({ kind: 'rest', obstacles: [] })
  })

  it('has no claim once what it was to replace is over, and keeps nobody out', () => {
    const next = waiter(9, 'exclusive')
    expect(step({ queue: [upgrade, next] })).toMatchObject({ kind: 'move', open: [next] })
  })

  it('replaces no grant of another session', () => {
    const queue = [waiter(3, 'shared'), waiter(7, 'exclusive', { of: 8, replaces: 3 })]
    expect(step({ record: record(base), queue })).toEqual({ kind: 'rest', obstacles: [] })
  })

  it('is not what a session gets that takes the lock once more, be it over its own calls', () => {
    const again = waiter(7, 'exclusive', { of: 3 })
    expect(step({ record: record(base), queue: [waiter(3, 'shared'), again] }).kind).toBe('rest')
    const sealed = sealGrants(record(base), [{ grant: base, cause: 'released' }], NOW)
    expect(step({ record: sealed, queue: [again], drain: () => DRAINING }).kind).toBe('rest')
  })

  it('opens only when the shared calls have drained, and nobody comes in between', () => {
    const begun = beginUpgrade(record(base), { kind: 'upgrade', from: base, to: upgrade }, NOW)
    expect(begun.grants).toMatchObject([
      { createRevision: 3, state: 'sealed', cause: 'upgraded', fence: null },
      { createRevision: 7, state: 'changing', replaced: 3 },
    ])
    const queue = [upgrade, waiter(9, 'exclusive'), waiter(10, 'shared')]
    expect(step({ record: begun, queue, drain: () => DRAINING })).toMatchObject({
      kind: 'rest',
      obstacles: [{ kind: 'draining' }],
    })
    const move = step({ record: begun, queue })
    expect(move).toMatchObject({ kind: 'move', close: [{ createRevision: 3 }], open: [] })
    if (move.kind !== 'move') throw new Error('no move')
    expect(moveGrants(LOCK, begun, move, NOW)).toMatchObject({
      grants: [{ createRevision: 7, state: 'open', mode: 'exclusive', replaced: 3 }],
      highWater: 7,
    })
  })

  it('opens no sooner than anybody else might', () => {
    const begun = beginUpgrade(record(base), { kind: 'upgrade', from: base, to: upgrade }, NOW)
    const unready = () => 'the store was restored'
    const move = step({ record: begun, queue: [upgrade], unready })
    expect(move).toMatchObject({ kind: 'move', close: [{ createRevision: 3 }], complete: [] })
    if (move.kind !== 'move') throw new Error('no move')
    const after = moveGrants(LOCK, begun, move, NOW)
    expect(step({ record: after, queue: [upgrade], unready })).toMatchObject({
      kind: 'rest',
      obstacles: [{ kind: 'unready' }],
    })
  })

  it('owes a fence where the session expires in the middle', () => {
    const begun = beginUpgrade(record(base), { kind: 'upgrade', from: base, to: upgrade }, NOW)
    const seal = step({ record: begun, queue: [waiter(9, 'exclusive')], ending: () => 'expired' })
    if (seal.kind !== 'seal') throw new Error(seal.kind)
    expect(seal.grants.map(({ grant }) => grant.createRevision)).toEqual([7])
    const sealed = sealGrants(begun, seal.grants, NOW)
    expect(sealed.grants[1]).toMatchObject({ state: 'sealed', cause: 'expired', fence: base.session })
    const next = step({
      record: sealed,
      queue: [waiter(9, 'exclusive')],
      fence: (grant) => (grant.fence === null ? { state: 'none' } : { state: 'open', detail: 'due' }),
    })
    expect(next).toMatchObject({ kind: 'move', close: [{ createRevision: 3 }], open: [] })
  })
})

describe('a downgrade', () => {
  const grant = open(3, 'exclusive')
  const narrowed = downgrade(record(grant), 3 as Revision)
  const queue = [waiter(3, 'exclusive'), waiter(5, 'shared'), waiter(6, 'exclusive'), waiter(7, 'shared')]

  it('keeps the token, and everybody out until the exclusive calls have drained', () => {
    expect(narrowed.grants).toMatchObject([
      { createRevision: 3, mode: 'shared', formerMode: 'exclusive', state: 'open' },
    ])
    expect(step({ record: narrowed, queue, formerDrain: () => DRAINING })).toMatchObject({
      kind: 'rest',
      obstacles: [{ kind: 'draining' }],
    })
  })

  it('then lets in the readers before the first writer, and not the writer', () => {
    const move = step({ record: narrowed, queue })
    expect(move).toMatchObject({ kind: 'move', close: [], open: [{ createRevision: 5 }] })
    if (move.kind !== 'move') throw new Error('no move')
    const after = moveGrants(LOCK, narrowed, move, NOW)
    expect(after?.grants.map((one) => [one.createRevision, excludingMode(one)])).toEqual([
      [3, 'shared'],
      [5, 'shared'],
    ])
  })

  it('goes on excluding after its end, until all has drained', () => {
    const sealed = sealGrants(
      narrowed,
      [{ grant: { ...grant, ...narrowed.grants[0] } as OpenGrant, cause: 'released' }],
      NOW,
    )
    expect(step({ record: sealed, queue: queue.slice(1), drain: () => DRAINING })).toMatchObject({
      kind: 'rest',
    })
  })

  it('changes nothing that is not open and exclusive', () => {
    const before = record(open(3, 'shared'))
    expect(downgrade(before, 3 as Revision)).toEqual(before)
  })
})

describe('any sequence of steps with changes of mode', () => {
  const actions = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('join' as const), at: fc.nat(1) }) },
      { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('upgrade', 'downgrade'), at: fc.nat(5) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('leave', 'drain'), at: fc.nat(5) }) },
    ),
    { maxLength: 60 },
  )

  it('never lets conflicting grants be open together, opens upwards only, and stalls on nobody', () => {
    fc.assert(
      fc.property(actions, (script) => {
        let revision = 1
        let lock: LockRecord | null = null
        let queue: Waiter[] = []
        /** Open calls, by token and by whether they need it exclusively. */
        const calls = new Map<number, Set<LockMode>>()
        let opened = 0
        const drainOf = (token: number, modes: readonly LockMode[]) =>
          modes.some((mode) => calls.get(token)?.has(mode)) ? DRAINING : ({ state: 'ended' } as const)
        const settle = () => {
          for (let rounds = 0; ; rounds++) {
            expect(rounds).toBeLessThan(50)
            const due = step({
              record: lock,
              queue,
              ending: (grant) =>
                queue.some((one) => one.createRevision === grant.createRevision) ? null : 'released',
              drain: (grant) => drainOf(grant.createRevision, ['shared', 'exclusive']),
              formerDrain: (grant) => drainOf(grant.createRevision, ['exclusive']),
            })
            if (due.kind === 'rest') return
            if (due.kind === 'upgrade') {
              lock = beginUpgrade(lock ?? record(), due, NOW)
              queue = queue.filter((one) => one.key !== due.from.key)
              continue
            }
            if (due.kind === 'seal') {
              lock = sealGrants(lock ?? record(), due.grants, NOW)
              continue
            }
            for (const one of [...due.open, ...due.complete]) {
              expect(one.createRevision).toBeGreaterThan(opened)
              opened = one.createRevision
            }
            lock = moveGrants(LOCK, lock, due, NOW)
            const grants: readonly Grant[] = lock?.grants ?? []
            for (const a of grants)
              for (const b of grants) {
                if (a === b || a.state === 'changing' || b.state === 'changing') continue
                expect(conflicts(excludingMode(a), excludingMode(b))).toBe(false)
              }
            // Each grant makes a call of its mode as soon as it can.
            for (const grant of grants)
              if (grant.state === 'open')
                calls.set(
                  grant.createRevision,
                  (calls.get(grant.createRevision) ?? new Set()).add(grant.mode),
                )
          }
        }
        for (const { kind, at } of script) {
          const living = lock?.grants.filter((grant): grant is OpenGrant => grant.state === 'open') ?? []
          const grant = living[at % Math.max(1, living.length)]
          if (kind === 'join') queue.push(waiter(++revision, at === 0 ? 'shared' : 'exclusive'))
          else if (kind === 'drain') calls.delete([...calls.keys()][at] ?? 0)
          else if (grant !== undefined && kind === 'leave')
            queue = queue.filter((one) => one.session !== grant.session)
          else if (grant?.mode === 'shared' && kind === 'upgrade') {
            const asked = waiter(++revision, 'exclusive', { replaces: grant.createRevision })
            if (!queue.some((one) => one.session === grant.session && one.replaces !== null))
              queue.push({ ...asked, session: grant.session })
          } else if (grant !== undefined && lock !== null && kind === 'downgrade')
            lock = downgrade(lock, grant.createRevision)
          settle()
        }
        // Once all calls are over and everybody who has it gives it back, everybody who waits gets it.
        for (let turns = 0; turns < 200; turns++) {
          calls.clear()
          settle()
          const last: LockRecord | null = lock
          const holder = (last as LockRecord | null)?.grants.find((grant) => grant.state !== 'sealed')
          if (holder !== undefined) queue = queue.filter((one) => one.session !== holder.session)
        }
        calls.clear()
        settle()
        expect(lock).toBe(null)
      }),
      { numRuns: 300 },
    )
  })
})
