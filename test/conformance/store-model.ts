// The store as a few lines of plain maps, and random histories that hold a real store to it.

import { expect } from 'vitest'
import type { LeaseId, Revision } from '../../gateway/core/names.ts'
import type { Comparison, KeyValue, Store, StoreEvent, Write } from '../../gateway/spi/store.ts'
import fc from '../support/fast-check.ts'
import { WatchRecorder } from '../support/watch-recorder.ts'

const KEYS = ['a', 'a/b', 'ä', 'b']

type Guess = 'right' | 'absent' | 'wrong'

interface ModelWrite {
  readonly key: number
  readonly action: 'put' | 'delete' | 'put-on-lease'
  readonly lease: number
}

type Step =
  | {
      readonly step: 'transact'
      readonly compare: readonly {
        readonly key: number
        readonly by: 'create' | 'mod'
        readonly guess: Guess
      }[]
      readonly writes: readonly ModelWrite[]
    }
  /** One key each, by what is right or wrong of it. */
  | {
      readonly step: 'together'
      readonly each: readonly { readonly key: number; readonly guess: Guess; readonly isPut: boolean }[]
    }
  | { readonly step: 'revoke'; readonly lease: number }
  | { readonly step: 'read'; readonly key: number }

const key = fc.nat(KEYS.length - 1)
const lease = fc.nat(1)
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        step: fc.constant('transact' as const),
        compare: fc.array(
          fc.record({
            key,
            by: fc.constantFrom('create' as const, 'mod' as const),
            guess: fc.constantFrom<Guess>('right', 'right', 'right', 'absent', 'wrong'),
          }),
          { maxLength: 2 },
        ),
        writes: fc.uniqueArray(
          fc.record({
            key,
            action: fc.constantFrom('put' as const, 'delete' as const, 'put-on-lease' as const),
            lease,
          }),
          { maxLength: 4, selector: (write) => write.key },
        ),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        step: fc.constant('together' as const),
        each: fc.uniqueArray(
          fc.record({
            key,
            guess: fc.constantFrom<Guess>('right', 'right', 'absent', 'wrong'),
            isPut: fc.boolean(),
          }),
          { minLength: 1, selector: (each) => each.key },
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ step: fc.constant('revoke' as const), lease }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant('read' as const), key }) },
  ),
  { maxLength: 25 },
)

interface Commit {
  readonly revision: Revision
  readonly events: readonly StoreEvent[]
}

class StoreModel {
  revision: Revision
  readonly pairs = new Map<string, KeyValue>()
  readonly commits: Commit[] = []

  constructor(revision: Revision) {
    this.revision = revision
  }

  holds(comparison: Comparison): boolean {
    const pair = this.pairs.get(comparison.key)
    return 'createRevision' in comparison
      ? (pair?.createRevision ?? 0) === comparison.createRevision
      : (pair?.modRevision ?? 0) === comparison.modRevision
  }

  write(writes: readonly Write[]): void {
    const revision = (this.revision + 1) as Revision
    const events: StoreEvent[] = []
    for (const write of writes) {
      if ('delete' in write) {
        if (this.pairs.delete(write.delete)) events.push({ type: 'delete', key: write.delete })
      } else {
        const kv: KeyValue = {
          key: write.put,
          value: write.value,
          createRevision: this.pairs.get(write.put)?.createRevision ?? revision,
          modRevision: revision,
          lease: write.lease ?? null,
        }
        this.pairs.set(write.put, kv)
        events.push({ type: 'put', kv })
      }
    }
    if (events.length === 0) return
    this.revision = revision
    this.commits.push({ revision, events })
  }

  read(prefix: string): readonly KeyValue[] {
    return [...this.pairs.values()]
      .filter((pair) => pair.key.startsWith(prefix))
      .toSorted((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
  }
}

/** Nobody else may write to the store meanwhile. */
export async function modelRuns(options: {
  readonly store: Store
  readonly prefix: string
  readonly numRuns: number
}): Promise<void> {
  let runs = 0
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      await modelRun(options.store, `${options.prefix}${runs++}/`, history)
    }),
    { numRuns: options.numRuns },
  )
}

async function modelRun(store: Store, prefix: string, history: readonly Step[]): Promise<void> {
  const begin = await store.currentRevision()
  const model = new StoreModel(begin)
  const recorder = new WatchRecorder()
  const watch = store.watch(prefix, begin, recorder)
  const leases = [await store.grantLease(600_000), await store.grantLease(600_000)].map(
    (state) => state.lease,
  )
  try {
    for (const [index, step] of history.entries()) await runStep(step, index)
    expect(await store.read(prefix)).toEqual({ revision: model.revision, items: model.read(prefix) })
    await recorder.until(({ revisions }) => revisions.length >= model.commits.length)
    expect(recorder.revisions.map(({ revision, events }) => ({ revision, events: inOrder(events) }))).toEqual(
      model.commits.map(({ revision, events }) => ({ revision, events: inOrder(events) })),
    )
  } finally {
    watch.close()
    for (const lease of leases) await store.revokeLease(lease)
  }

  function nameOf(index: number): string {
    return prefix + (KEYS[index] ?? '')
  }

  async function runStep(step: Step, index: number): Promise<void> {
    switch (step.step) {
      case 'read': {
        const under = nameOf(step.key)
        expect(await store.read(under)).toEqual({ revision: model.revision, items: model.read(under) })
        return
      }
      case 'revoke': {
        const slot = step.lease
        const lease = leases[slot]
        if (lease === undefined) return
        await store.revokeLease(lease)
        const keys = [...model.pairs.values()].filter((pair) => pair.lease === lease).map((pair) => pair.key)
        model.write(keys.map((name) => ({ delete: name })))
        leases[slot] = (await store.grantLease(600_000)).lease
        return
      }
      case 'together': {
        const each = step.each.map(({ key, guess, isPut }) => ({
          compare: [comparisonOf({ key, by: 'mod', guess })],
          writes: [isPut ? { put: nameOf(key), value: `${index}` } : { delete: nameOf(key) }],
        }))
        const held = each.map(({ compare }) => compare.every((comparison) => model.holds(comparison)))
        const results = await store.transactEach(each)
        model.write(each.flatMap(({ writes }, i) => (held[i] === true ? writes : [])))
        expect(results).toEqual(held.map((succeeded) => ({ succeeded, revision: model.revision })))
        return
      }
      case 'transact': {
        const compare = step.compare.map(comparisonOf)
        const writes = step.writes.map((write) => writeOf(write, `${index}`))
        const succeeded = compare.every((comparison) => model.holds(comparison))
        const result = await store.transact({ compare, writes })
        if (succeeded) model.write(writes)
        expect(result).toEqual({ succeeded, revision: model.revision })
      }
    }
  }

  function comparisonOf(comparison: { key: number; by: 'create' | 'mod'; guess: Guess }): Comparison {
    const name = nameOf(comparison.key)
    const pair = model.pairs.get(name)
    const right = (comparison.by === 'create' ? pair?.createRevision : pair?.modRevision) ?? 0
    const guesses: Readonly<Record<Guess, number>> = { right, absent: 0, wrong: right + 1 }
    const revision = guesses[comparison.guess]
    return comparison.by === 'create'
      ? { key: name, createRevision: revision }
      : { key: name, modRevision: revision }
  }

  function writeOf(write: ModelWrite, value: string): Write {
    const name = nameOf(write.key)
    if (write.action === 'delete') return { delete: name }
    const lease: LeaseId | undefined = write.action === 'put-on-lease' ? leases[write.lease] : undefined
    return { put: name, value, ...(lease === undefined ? {} : { lease }) }
  }
}

/** The order of the events within a revision is nobody's promise. */
function inOrder(events: readonly StoreEvent[]): readonly StoreEvent[] {
  const name = (event: StoreEvent): string => (event.type === 'put' ? event.kv.key : event.key)
  return events.toSorted((a, b) => (name(a) < name(b) ? -1 : 1))
}
