// Holds every store to the text of gateway/spi/store.ts: one suite, run against each of them as it is.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { InvariantViolation } from '../../gateway/core/invariant.ts'
import { asLeaseId, type LeaseId, type Revision } from '../../gateway/core/names.ts'
import {
  LeaseGone,
  type Prefixes,
  type Store,
  StoreUnavailable,
  TRANSACTIONS_TOGETHER,
  type Transaction,
  TransactionTooLarge,
  type Watch,
  type Write,
} from '../../gateway/spi/store.ts'
import { openEmbeddedStore } from '../../gateway/store/embedded/embedded-store.ts'
import { openEtcdStore } from '../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../support/etcd.ts'
import fc from '../support/fast-check.ts'
import { WatchRecorder } from '../support/watch-recorder.ts'
import { modelRuns } from './store-model.ts'

interface Ground {
  readonly kind: Store['kind']
  readonly shared: boolean
  readonly available: boolean
  /** How many random histories the model test tries. */
  readonly runs: number
  prepare(): Promise<void>
  open(): Store
  clear(): Promise<void>
}

function embeddedGround(): Ground {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-store-'))
  let stores = 0
  return {
    kind: 'embedded',
    shared: false,
    available: true,
    runs: 100,
    prepare: async () => undefined,
    open: () => openEmbeddedStore({ path: join(folder, String(stores++)), clock: systemClock }),
    clear: async () => rmSync(folder, { recursive: true, force: true }),
  }
}

function etcdGround(): Ground {
  let cluster: EtcdCluster | null = null
  return {
    kind: 'etcd',
    shared: true,
    available: etcdAvailable(),
    runs: 25,
    prepare: async () => {
      cluster = await startEtcd({ progressNotifyMs: 300 })
    },
    open: () => openEtcdStore({ endpoints: cluster?.endpoints ?? [], clock: systemClock }),
    clear: async () => cluster?.stop(),
  }
}

describe.each([embeddedGround(), etcdGround()])('the $kind store', (ground) => {
  describe.skipIf(!ground.available)('keeps the contract', () => {
    let store: Store
    let prefix = ''
    let tests = 0
    const watches: Watch[] = []

    beforeAll(() => ground.prepare())
    afterAll(() => ground.clear())
    beforeEach(() => {
      store = ground.open()
      prefix = `/t${tests++}/`
    })
    afterEach(async () => {
      for (const watch of watches.splice(0)) watch.close()
      await store.close()
    })

    const put = (key: string, value = key, lease?: LeaseId): Write => ({
      put: prefix + key,
      value,
      ...(lease === undefined ? {} : { lease }),
    })
    const remove = (key: string): Write => ({ delete: prefix + key })

    async function write(...writes: readonly Write[]): Promise<Revision> {
      const { succeeded, revision } = await store.transact({ compare: [], writes })
      expect(succeeded).toBe(true)
      return revision
    }

    function watch(after: Revision, under: Prefixes = prefix): WatchRecorder & { readonly watch: Watch } {
      const recorder = new WatchRecorder()
      const opened = store.watch(under, after, recorder)
      watches.push(opened)
      return Object.assign(recorder, { watch: opened })
    }

    const items = async () => (await store.read(prefix)).items
    const keys = async () => (await items()).map(({ key }) => key.slice(prefix.length))

    test('says what it is', () => {
      expect(store).toMatchObject({ kind: ground.kind, shared: ground.shared })
    })

    test('reads several prefixes at one revision, in the order of the keys, and nothing between', async () => {
      await write(put('vol1'), put('b/1'), put('c'), put('vol'), put('vol10'), put('w'))
      const { items: found, revision } = await store.read([`${prefix}vol1`, `${prefix}b/`, `${prefix}vol10`])
      expect(found.map(({ value }) => value)).toEqual(['b/1', 'vol1', 'vol10'])
      expect(revision).toBe(await store.currentRevision())
    })

    describe('transactions', () => {
      test('that write take exactly one revision, however many keys they write', async () => {
        const before = await store.currentRevision()
        expect(await write(put('a'), put('b'), put('c'))).toBe(before + 1)
        expect(await write(put('a', 'again'), remove('b'))).toBe(before + 2)
        expect(await store.currentRevision()).toBe(before + 2)
        expect(await items()).toEqual([
          {
            key: `${prefix}a`,
            value: 'again',
            createRevision: before + 1,
            modRevision: before + 2,
            lease: null,
          },
          { key: `${prefix}c`, value: 'c', createRevision: before + 1, modRevision: before + 1, lease: null },
        ])
      })

      test('that write nothing take no revision', async () => {
        const before = await write(put('a'))
        expect(await store.transact({ compare: [], writes: [] })).toEqual({
          succeeded: true,
          revision: before,
        })
        expect(await write(remove('never-there'))).toBe(before)
        expect(
          await store.transact({
            compare: [{ key: `${prefix}a`, createRevision: 0 }],
            writes: [put('a', 'x')],
          }),
        ).toEqual({ succeeded: false, revision: before })
        expect(await store.currentRevision()).toBe(before)
      })

      test('compare with 0 for a key that is not there, by either revision', async () => {
        const absent = `${prefix}absent`
        for (const compare of [
          { key: absent, createRevision: 0 },
          { key: absent, modRevision: 0 },
        ]) {
          expect((await store.transact({ compare: [compare], writes: [] })).succeeded).toBe(true)
        }
        await write(put('absent'))
        for (const compare of [
          { key: absent, createRevision: 0 },
          { key: absent, modRevision: 0 },
        ]) {
          expect((await store.transact({ compare: [compare], writes: [] })).succeeded).toBe(false)
        }
      })

      test('compare the create and the mod revision exactly', async () => {
        const created = await write(put('k'))
        const changed = await write(put('k', 'changed'))
        const holds = async (comparison: { createRevision: number } | { modRevision: number }) =>
          (await store.transact({ compare: [{ key: `${prefix}k`, ...comparison }], writes: [] })).succeeded
        expect(await holds({ createRevision: created })).toBe(true)
        expect(await holds({ createRevision: changed })).toBe(false)
        expect(await holds({ createRevision: created - 1 })).toBe(false)
        expect(await holds({ modRevision: changed })).toBe(true)
        expect(await holds({ modRevision: created })).toBe(false)
        expect(await holds({ modRevision: changed + 1 })).toBe(false)
      })

      test('write all or, where one comparison fails, nothing', async () => {
        const revision = await write(put('a'), put('b'))
        const { succeeded } = await store.transact({
          compare: [
            { key: `${prefix}a`, modRevision: revision },
            { key: `${prefix}b`, modRevision: revision - 1 },
          ],
          writes: [put('a', 'changed'), remove('b'), put('c')],
        })
        expect(succeeded).toBe(false)
        expect((await items()).map(({ value }) => value)).toEqual(['a', 'b'])
      })

      test('count the create revision of a key anew after it was deleted', async () => {
        const first = await write(put('k'))
        await write(remove('k'))
        const second = await write(put('k'))
        expect(second).toBe(first + 2)
        expect(await items()).toMatchObject([{ createRevision: second, modRevision: second }])
      })

      test('that race for one key let one win', async () => {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            store.transact({
              compare: [{ key: `${prefix}k`, createRevision: 0 }],
              writes: [put('k', String(index))],
            }),
          ),
        )
        const won = results.findIndex(({ succeeded }) => succeeded)
        expect(results.filter(({ succeeded }) => succeeded)).toHaveLength(1)
        expect((await items()).map(({ value }) => value)).toEqual([String(won)])
      })

      test('that are a programmer’s fault reject as such, and write nothing', async () => {
        const faults = [
          [put('a'), put('a', 'twice')],
          [put('a'), remove('a')],
          [{ put: '', value: 'no key' }],
          [put('a', '\ud800')],
          [{ put: `${prefix}\udc00`, value: '' }],
          Array.from({ length: 129 }, (_, index) => put(String(index))),
        ]
        for (const writes of faults)
          await expect(store.transact({ compare: [], writes })).rejects.toBeInstanceOf(InvariantViolation)
        expect(await keys()).toEqual([])
      })

      test('that are too large for a request are told so, with the key that makes them so, and nothing is written', async () => {
        const writing = store.transact({ compare: [], writes: [put('a'), put('big', 'x'.repeat(1_048_577))] })
        const error = await writing.catch((reason: unknown) => reason)
        expect(error).toBeInstanceOf(TransactionTooLarge)
        expect(String(error)).toMatch(
          /at most 1048576 bytes, not \d+; its largest value is that of .*big, with 1048577/,
        )
        expect(await keys()).toEqual([])
      })

      test('may have 128 writes and a value of nearly a megabyte', async () => {
        await write(
          ...Array.from({ length: 127 }, (_, index) => put(String(index), '')),
          put('big', 'é'.repeat(520_000)),
        )
        expect((await items()).at(-1)?.value).toHaveLength(520_000)
        expect(await keys()).toHaveLength(128)
      })
    })

    describe('transactions that go together', () => {
      const together = (...each: readonly Partial<Transaction>[]) =>
        store.transactEach(each.map(({ compare = [], writes = [] }) => ({ compare, writes })))
      const is = (key: string, modRevision: number) => ({ key: prefix + key, modRevision })

      test('take one revision and one call of a watch, and each is carried out or not for itself', async () => {
        const first = await write(put('a', 'old'), put('b', 'old'), put('c', 'old'))
        const watching = watch(first)
        const results = await together(
          { compare: [is('a', first)], writes: [put('a', 'new')] },
          { compare: [is('b', first + 1)], writes: [put('b', 'new')] },
          { compare: [is('c', first), is('d', 0)], writes: [remove('c'), put('d', 'new')] },
        )
        const revision = first + 1
        expect(results).toEqual([
          { succeeded: true, revision },
          { succeeded: false, revision },
          { succeeded: true, revision },
        ])
        expect((await items()).map(({ value, modRevision }) => ({ value, modRevision }))).toEqual([
          { value: 'new', modRevision: revision },
          { value: 'old', modRevision: first },
          { value: 'new', modRevision: revision },
        ])
        await watching.until(({ revisions }) => revisions.length === 1)
        expect(watching.revisions[0]?.events).toHaveLength(3)
      })

      test('take no revision where all of them fail', async () => {
        const first = await write(put('a'))
        expect(
          await together(
            { compare: [is('a', 0)], writes: [remove('a')] },
            { compare: [is('b', first)], writes: [put('b')] },
          ),
        ).toEqual([
          { succeeded: false, revision: first },
          { succeeded: false, revision: first },
        ])
        expect(await keys()).toEqual(['a'])
      })

      test('may be as many, and as large, as the contract says', async () => {
        const { transactionsMax, operationsMax } = TRANSACTIONS_TOGETHER
        const results = await together(
          ...Array.from({ length: transactionsMax }, (_, i) => {
            const names = Array.from({ length: operationsMax }, (_, j) => `${i}/${j}`)
            return {
              compare: names.map((name) => is(name, i % 2)),
              writes: names.map((name) => put(name, '')),
            }
          }),
        )
        expect(results.map(({ succeeded }) => succeeded)).toEqual(
          Array.from({ length: transactionsMax }, (_, i) => i % 2 === 0),
        )
        expect(await keys()).toHaveLength((transactionsMax / 2) * operationsMax)
      })

      test('that are a programmer’s fault reject as such, and write nothing', async () => {
        const { lease } = await store.grantLease(60_000)
        const { transactionsMax, operationsMax } = TRANSACTIONS_TOGETHER
        const many = (count: number) => Array.from({ length: count }, (_, i) => put(`many/${i}`))
        const faults: readonly (readonly Partial<Transaction>[])[] = [
          [],
          [{ writes: [put('a')] }, {}],
          [{ writes: [put('a')] }, { writes: [put('a', 'twice')] }],
          [{ writes: [put('a')] }, { compare: [is('a', 0)], writes: [put('b')] }],
          [{ compare: [is('b', 0)], writes: [put('a')] }, { writes: [put('b')] }],
          [{ writes: [put('a', '', lease)] }, { writes: [put('b')] }],
          [{ writes: many(operationsMax + 1) }, { writes: [put('b')] }],
          many(transactionsMax + 1).map((each) => ({ writes: [each] })),
        ]
        for (const each of faults) await expect(together(...each)).rejects.toBeInstanceOf(InvariantViolation)
        expect(await keys()).toEqual([])
      })

      test('are too large together as one is alone', async () => {
        const writing = together({ writes: [put('a')] }, { writes: [put('b', 'x'.repeat(1_048_577))] })
        await expect(writing).rejects.toBeInstanceOf(TransactionTooLarge)
        expect(await keys()).toEqual([])
      })
    })

    describe('reads', () => {
      test('give the keys in the order of their bytes', async () => {
        // As UTF-16, U+FF5E stands behind U+1F512; as UTF-8 before it.
        const names = ['a', 'B', 'a/b', 'a-b', 'ä', '～', '🔒', '中', 'a\u0001', '~']
        await write(...names.map((name) => put(name)))
        const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        expect(await keys()).toEqual(sorted)
        expect(sorted).not.toEqual(names.toSorted())
      })

      test('take the prefix exactly', async () => {
        await write(put('vol1'), put('vol10'), put('vol'), put('vol1/x'), put('vol2'), put('voM'))
        expect((await store.read(`${prefix}vol1`)).items.map(({ key }) => key.slice(prefix.length))).toEqual([
          'vol1',
          'vol1/x',
          'vol10',
        ])
        expect((await store.read('')).items.length).toBeGreaterThanOrEqual(6)
        expect((await store.read(`${prefix}nothing`)).items).toEqual([])
      })

      test('see what was written before they began, at its revision', async () => {
        for (let round = 0; round < 20; round++) {
          const revision = await write(put('k', String(round)))
          const snapshot = await store.read(prefix)
          expect(snapshot.revision).toBe(revision)
          expect(snapshot.items.map(({ value }) => value)).toEqual([String(round)])
        }
      })

      test('of more keys than fit one page are one snapshot', async () => {
        const batches = Array.from({ length: 45 }, (_, batch) =>
          Array.from({ length: 128 }, (_, index) => put(`${batch}-${index}`, '0')),
        )
        await Promise.all(batches.map((batch) => write(...batch)))
        // Both ends of the range change in one transaction, over and over, while it is read.
        let reading = true
        const churn = (async () => {
          for (let round = 1; reading; round++)
            await write(put('0-0', String(round)), put('9-99', String(round)))
        })()
        for (let round = 0; round < 5; round++) {
          const snapshot = await store.read(prefix)
          expect(snapshot.items).toHaveLength(45 * 128)
          const [first, last] = ['0-0', '9-99'].map(
            (name) => snapshot.items.find(({ key }) => key === prefix + name)?.value,
          )
          expect(first).toBe(last)
          for (const { modRevision } of snapshot.items)
            expect(modRevision).toBeLessThanOrEqual(snapshot.revision)
        }
        reading = false
        await churn
      })

      test('give every value back as it was written', async () => {
        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (value) => {
            await write(put('k\u0000é', value))
            expect((await items()).map((item) => item.value)).toEqual([value])
          }),
          { numRuns: 40, examples: [[''], ['\u0000'], ['a\u0000b'], ['🔒\u2028\ufeff'], ['\ufeff']] },
        )
      })
    })

    describe('leases', () => {
      test('have ids in lower-case hex without leading zeros, positive in 64 bits, and last as long as asked or longer', async () => {
        for (const ttlMs of [1, 999, 1_000, 1_001, 60_000]) {
          const granted = await store.grantLease(ttlMs)
          expect(asLeaseId(granted.lease)).toBe(granted.lease)
          expect(BigInt(`0x${granted.lease}`)).toBeLessThan(2n ** 63n)
          expect(granted.ttlMs).toBeGreaterThanOrEqual(ttlMs)
          expect(await store.keepAlive(granted.lease)).toEqual(granted)
        }
      })

      test('take no revision', async () => {
        const before = await store.currentRevision()
        const { lease } = await store.grantLease(60_000)
        await store.keepAlive(lease)
        await store.revokeLease(lease)
        expect(await store.currentRevision()).toBe(before)
      })

      test('that expire take all their keys in one revision and one call', async () => {
        const { lease } = await store.grantLease(1_000)
        const revision = await write(put('a', '', lease), put('c', '', lease), put('b'))
        const other = await write(put('d', '', lease))
        const seen = watch(other)
        await seen.untilRevision((other + 1) as Revision)
        expect(seen.revisions).toHaveLength(1)
        expect(seen.revisions[0]?.revision).toBe(revision + 2)
        expect(new Set(seen.events)).toEqual(
          new Set(['a', 'c', 'd'].map((key) => ({ type: 'delete', key: prefix + key }))),
        )
        expect(await keys()).toEqual(['b'])
        expect(await store.keepAlive(lease)).toBeNull()
      })

      test('that are revoked take all their keys in one revision, and may be revoked again', async () => {
        const { lease } = await store.grantLease(60_000)
        const revision = await write(put('a', '', lease), put('b', '', lease))
        const seen = watch(revision)
        await store.revokeLease(lease)
        await store.revokeLease(lease)
        await seen.untilRevision((revision + 1) as Revision)
        expect(seen.revisions.map((call) => [call.revision, call.events.length])).toEqual([[revision + 1, 2]])
        expect(await store.currentRevision()).toBe(revision + 1)
        expect(await store.keepAlive(lease)).toBeNull()
      })

      test('live on while they are kept alive, and expire after that', async () => {
        const { lease, ttlMs } = await store.grantLease(2_000)
        const revision = await write(put('k', '', lease))
        const seen = watch(revision)
        const untilMs = performance.now() + 2 * ttlMs
        while (performance.now() < untilMs) {
          expect(await store.keepAlive(lease)).toEqual({ lease, ttlMs })
          await new Promise((resolve) => setTimeout(resolve, ttlMs / 5))
        }
        expect(seen.calls.filter(({ type }) => type === 'revision')).toEqual([])
        await seen.untilRevision((revision + 1) as Revision)
      })

      test('let a key go that is written anew without one', async () => {
        const { lease } = await store.grantLease(60_000)
        const { lease: second } = await store.grantLease(60_000)
        await write(put('free', '', lease), put('moved', '', lease), put('kept', '', lease))
        await write(put('free'), put('moved', '', second))
        expect((await items()).map((item) => item.lease)).toEqual([null, lease, second])
        await store.revokeLease(lease)
        expect(await keys()).toEqual(['free', 'moved'])
      })

      test('that are gone refuse a transaction that writes under them, whole', async () => {
        const { lease } = await store.grantLease(60_000)
        const before = await write(put('a'))
        await store.revokeLease(lease)
        const writes = [put('b'), remove('a'), put('c', '', lease)]
        await expect(store.transact({ compare: [], writes })).rejects.toBeInstanceOf(LeaseGone)
        await expect(
          store.transact({ compare: [], writes: [put('c', '', asLeaseId('7fffffffffffffff') ?? lease)] }),
        ).rejects.toBeInstanceOf(LeaseGone)
        expect(await keys()).toEqual(['a'])
        expect(await store.currentRevision()).toBe(before)
        const compare = [{ key: `${prefix}a`, createRevision: 0 }]
        expect((await store.transact({ compare, writes })).succeeded).toBe(false)
      })

      test('revoked beside writes under them leave no key behind', async () => {
        for (let round = 0; round < 10; round++) {
          const { lease } = await store.grantLease(60_000)
          const results = await Promise.allSettled([
            store.transact({ compare: [], writes: [put(`${round}-before`, '', lease)] }),
            store.revokeLease(lease),
            store.transact({ compare: [], writes: [put(`${round}-after`, '', lease)] }),
          ])
          for (const result of results)
            if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(LeaseGone)
        }
        expect(await keys()).toEqual([])
      })

      test('must have a time to live', async () => {
        for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
          await expect(store.grantLease(ttlMs)).rejects.toBeInstanceOf(InvariantViolation)
      })
    })

    describe('watches', () => {
      test('deliver the events after a revision in the past, and none at or before it', async () => {
        const first = await write(put('a', '1'))
        const second = await write(put('a', '2'), put('b'))
        const third = await write(remove('a'))
        const seen = watch(first)
        const fourth = await write(put('c'))
        await seen.untilRevision(fourth)
        expect(seen.revisions.map(({ revision }) => revision)).toEqual([second, third, fourth])
        expect(seen.events).toMatchObject([
          { type: 'put', kv: { key: `${prefix}a`, value: '2', createRevision: first, modRevision: second } },
          { type: 'put', kv: { key: `${prefix}b`, createRevision: second } },
          { type: 'delete', key: `${prefix}a` },
          { type: 'put', kv: { key: `${prefix}c`, value: 'c', createRevision: fourth, lease: null } },
        ])
      })

      test('carry on where a snapshot ended', async () => {
        await write(put('a'))
        const { revision } = await store.read(prefix)
        const seen = watch(revision)
        const next = await write(put('b'))
        await seen.untilRevision(next)
        expect(seen.revisions.map((call) => call.revision)).toEqual([next])
      })

      test('call nothing before they are returned', async () => {
        const first = await write(put('a'))
        await write(put('b'))
        const recorder = new WatchRecorder()
        watches.push(store.watch(prefix, first, recorder))
        expect(recorder.calls).toEqual([])
        await recorder.until(({ revisions }) => revisions.length > 0)
      })

      test('take the prefix exactly', async () => {
        const before = await store.currentRevision()
        const seen = watch(before, `${prefix}vol1`)
        await write(put('vol1', 'x'), put('vol2'))
        await write(put('vol'))
        await write(put('vol2'))
        const last = await write(put('vol10'), put('voM'))
        await seen.untilRevision(last)
        expect(seen.events.map((event) => (event.type === 'put' ? event.kv.key : event.key))).toEqual([
          `${prefix}vol1`,
          `${prefix}vol10`,
        ])
      })

      test('take several prefixes as one: a revision that touches two of them comes in one call', async () => {
        const before = await store.currentRevision()
        const seen = watch(before, [`${prefix}b/`, `${prefix}y/`])
        const first = await write(put('a/1'), put('b/1'), put('m/1'), put('y/1'), put('z/1'))
        const { lease } = await store.grantLease(60_000)
        const second = await write(put('y/2', '', lease), put('b/2', '', lease), put('m/2', '', lease))
        await store.revokeLease(lease)
        await seen.untilRevision((second + 1) as Revision)
        expect(
          seen.revisions.map(({ revision, events }) => [
            revision,
            events.map((event) => (event.type === 'put' ? event.kv.key : event.key)).toSorted(),
          ]),
        ).toEqual([
          [first, [`${prefix}b/1`, `${prefix}y/1`]],
          [second, [`${prefix}b/2`, `${prefix}y/2`]],
          [second + 1, [`${prefix}b/2`, `${prefix}y/2`]],
        ])
      })

      test('keep the order of the store over several prefixes', async () => {
        const before = await store.currentRevision()
        const seen = watch(before, [`${prefix}y/`, `${prefix}b/`])
        const order = ['y/1', 'b/1', 'm/1', 'b/2', 'y/2', 'm/2', 'y/3', 'b/3']
        let last = before
        for (const key of order) last = await write(put(key))
        await seen.untilRevision(last)
        expect(seen.events.map((event) => (event.type === 'put' ? event.kv.value : ''))).toEqual(
          order.filter((key) => !key.startsWith('m/')),
        )
      })

      test('tell the lease of a key', async () => {
        const { lease } = await store.grantLease(60_000)
        const revision = await write(put('a', '', lease))
        const seen = watch((revision - 1) as Revision)
        await seen.untilRevision(revision)
        expect(seen.events).toMatchObject([{ kv: { lease } }])
      })

      test('give every revision once, whole and in order, under 500 transactions at the same time', async () => {
        const before = await store.currentRevision()
        const early = watch(before)
        const results = await Promise.all(
          Array.from({ length: 500 }, (_, index) =>
            store.transact({
              compare: [],
              writes: [put(`${index % 50}`, String(index)), put('all', String(index))],
            }),
          ),
        )
        const late = watch(before)
        const revisions = results.map(({ revision }) => revision).toSorted((a, b) => a - b)
        expect(revisions).toEqual(Array.from({ length: 500 }, (_, index) => before + 1 + index))
        for (const seen of [early, late]) {
          await seen.untilRevision((before + 500) as Revision)
          expect(seen.revisions.map(({ revision }) => revision)).toEqual(revisions)
          for (const { revision, events } of seen.revisions) {
            expect(events).toHaveLength(2)
            const written = results.findIndex((result) => result.revision === revision)
            for (const event of events)
              expect(event).toMatchObject({
                type: 'put',
                kv: { value: String(written), modRevision: revision },
              })
          }
        }
      })

      test('keep their order when a listener writes', async () => {
        const before = await store.currentRevision()
        const recorder = new WatchRecorder()
        const answers: Promise<unknown>[] = []
        watches.push(
          store.watch(prefix, before, {
            revision: (revision, events) => {
              if (recorder.revisions.length < 10) answers.push(write(put('echo', String(revision))))
              recorder.revision(revision, events)
            },
            progress: (revision) => recorder.progress(revision),
            failed: (failure) => recorder.failed(failure),
          }),
        )
        const second = watch(before)
        await write(put('first'))
        await recorder.until(({ revisions }) => revisions.length === 11)
        await Promise.all(answers)
        await second.until(({ revisions }) => revisions.length === 11)
        const expected = Array.from({ length: 11 }, (_, index) => before + 1 + index)
        expect(recorder.revisions.map(({ revision }) => revision)).toEqual(expected)
        expect(second.revisions.map(({ revision }) => revision)).toEqual(expected)
      })

      test('say how far they are, where asked and able, and never before the events that they speak of', async () => {
        const before = await write(put('k', 'first'))
        const written: number[] = []
        for (let index = 0; index < 300; index++) written.push(await write(put('k', String(index))))
        const seen = watch(before)
        for (let index = 0; index < 50; index++) {
          seen.watch.requestProgress()
          written.push(await write(put('k', 'more')))
        }
        // Nothing of this watch's happens any more; a revision past all of its own still has to be told.
        const { revision: elsewhere } = await store.transact({
          compare: [],
          writes: [{ put: `/elsewhere${prefix}`, value: '' }],
        })
        seen.watch.requestProgress()
        await seen.until(({ calls }) =>
          calls.some((call) => call.type === 'progress' && call.revision >= elsewhere),
        )
        let delivered = 0
        for (const call of seen.calls) {
          if (call.type === 'revision') delivered++
          if (call.type === 'progress')
            expect(delivered).toBe(written.filter((revision) => revision <= call.revision).length)
        }
        expect(delivered).toBe(written.length)
      })

      test('call nothing after they are closed, also from inside a call, and may be closed again', async () => {
        const before = await store.currentRevision()
        // Several at once, so that more would follow the one that closes.
        await Promise.all(['x', 'y', 'z'].map((key) => write(put(key))))
        const recorder = new WatchRecorder()
        const opened: Watch = store.watch(prefix, before, {
          revision: (revision, events) => {
            recorder.revision(revision, events)
            opened.close()
          },
          progress: () => undefined,
          failed: (failure) => recorder.failed(failure),
        })
        const neverBegun = new WatchRecorder()
        store.watch(prefix, before, neverBegun).close()
        const other = watch(before)
        await write(put('a'))
        await write(put('b'))
        const last = await write(put('c'))
        await other.untilRevision(last)
        await recorder.until(({ revisions }) => revisions.length > 0)
        const { lease } = await store.grantLease(60_000)
        await store.revokeLease(lease)
        opened.close()
        opened.requestProgress()
        expect(recorder.calls).toHaveLength(1)
        expect(neverBegun.calls).toEqual([])
      })
    })

    describe('closing', () => {
      test('may be done again, ends watches without a word, and makes every call unavailable', async () => {
        const revision = await write(put('a'))
        const seen = watch(revision)
        await store.close()
        await store.close()
        for (const call of [
          () => store.read(prefix),
          () => store.currentRevision(),
          () => store.transact({ compare: [], writes: [put('b')] }),
          () => store.grantLease(1_000),
          () => store.keepAlive('1' as LeaseId),
          () => store.revokeLease('1' as LeaseId),
        ])
          await expect(call()).rejects.toBeInstanceOf(StoreUnavailable)
        expect(seen.calls.filter(({ type }) => type !== 'progress')).toEqual([])
        const late = watch(revision)
        await late.until(({ failures }) => failures.length === 1)
        expect(late.failures).toMatchObject([{ kind: 'lost' }])
      })
    })

    test('does what a simple model does, whatever the history', async () => {
      await modelRuns({ store, numRuns: ground.runs, prefix })
    })
  })
})
