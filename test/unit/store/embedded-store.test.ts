// What only the embedded store promises: restarts, leases against a clock of the test's own, a bounded history.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LeaseId, Revision } from '../../../gateway/core/names.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { WatchRecorder } from '../../support/watch-recorder.ts'

let path = ''
let clock: ManualClock
const stores: EmbeddedStore[] = []
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fencegate-embedded-'))
  clock = new ManualClock()
})
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  rmSync(path, { recursive: true, force: true })
})

function open(options: Partial<Parameters<typeof openEmbeddedStore>[0]> = {}): EmbeddedStore {
  const store = openEmbeddedStore({ path, clock, ...options })
  stores.push(store)
  return store
}

async function put(store: EmbeddedStore, key: string, lease?: LeaseId): Promise<Revision> {
  const write = lease === undefined ? { put: key, value: '' } : { put: key, value: '', lease }
  return (await store.transact({ compare: [], writes: [write] })).revision
}

async function remove(store: EmbeddedStore, key: string): Promise<Revision> {
  return (await store.transact({ compare: [], writes: [{ delete: key }] })).revision
}

async function keys(store: EmbeddedStore): Promise<readonly string[]> {
  return (await store.read('')).items.map(({ key }) => key)
}

describe('over a restart', () => {
  test('keys, leases and revisions stay as they are, also the revision of a deletion', async () => {
    const first = open({ path: join(path, 'new', 'folders') })
    const { lease } = await first.grantLease(10_000)
    await put(first, '/a', lease)
    await put(first, '/b')
    const revision = await remove(first, '/b')
    const before = await first.read('')
    await first.close()

    const second = open({ path: join(path, 'new', 'folders') })
    expect(await second.currentRevision()).toBe(revision)
    expect(await second.read('')).toEqual(before)
    expect(await second.keepAlive(lease)).toEqual({ lease, ttlMs: 10_000 })
    expect(await put(second, '/c', lease)).toBe(revision + 1)
  })

  test('a store that was emptied goes on counting', async () => {
    const first = open()
    for (let round = 0; round < 5; round++) {
      await put(first, '/a')
      await remove(first, '/a')
    }
    const revision = await first.currentRevision()
    expect(revision).toBe(11)
    await first.close()
    expect(await put(open(), '/a')).toBe(revision + 1)
  })

  test('every lease has its full TTL again, however long the outage was', async () => {
    const first = open()
    const { lease } = await first.grantLease(10_000)
    await put(first, '/a', lease)
    await clock.advance(9_000)
    await first.close()
    await clock.advance(3_600_000)

    const second = open()
    await clock.advance(9_999)
    expect(await keys(second)).toEqual(['/a'])
    await clock.advance(1)
    expect(await keys(second)).toEqual([])
    expect(await second.keepAlive(lease)).toBeNull()
    await second.close()
    expect(await open().keepAlive(lease)).toBeNull()
  })

  test('a watch from before it is told that the history is gone, one from the present goes on', async () => {
    const first = open()
    await put(first, '/a')
    const revision = await put(first, '/b')
    await first.close()
    const second = open()
    const past = new WatchRecorder()
    second.watch('', (revision - 1) as Revision, past)
    const present = new WatchRecorder()
    second.watch('', revision, present)
    await past.until(({ failures }) => failures.length > 0)
    expect(past.calls).toMatchObject([{ type: 'failed', kind: 'compacted' }])
    await put(second, '/c')
    expect(present.revisions).toMatchObject([{ revision: revision + 1 }])
    expect(past.calls).toHaveLength(1)
  })
})

describe('leases', () => {
  test('expire at their deadline and not before, each in one revision', async () => {
    const store = open()
    const short = await store.grantLease(5_000)
    const long = await store.grantLease(5_001)
    await put(store, '/a', short.lease)
    await put(store, '/b', short.lease)
    const revision = await put(store, '/c', long.lease)
    const seen = new WatchRecorder()
    store.watch('', revision, seen)
    await clock.advance(4_999)
    expect(await keys(store)).toEqual(['/a', '/b', '/c'])
    await clock.advance(1)
    expect(await keys(store)).toEqual(['/c'])
    await clock.advance(1)
    expect(seen.revisions.map((call) => [call.revision, call.events.length])).toEqual([
      [revision + 1, 2],
      [revision + 2, 1],
    ])
  })

  test('that end in the same instant end in a revision each', async () => {
    const store = open()
    const leases = [await store.grantLease(5_000), await store.grantLease(5_000)]
    for (const { lease } of leases) await put(store, `/${lease}`, lease)
    const seen = new WatchRecorder()
    store.watch('', await store.currentRevision(), seen)
    await clock.advance(5_000)
    expect(seen.revisions.map(({ events }) => events.length)).toEqual([1, 1])
  })

  test('that are kept alive count anew from then', async () => {
    const store = open()
    const { lease } = await store.grantLease(5_000)
    await put(store, '/a', lease)
    for (let round = 0; round < 10; round++) {
      await clock.advance(4_999)
      expect(await store.keepAlive(lease)).toEqual({ lease, ttlMs: 5_000 })
    }
    await clock.advance(4_999)
    expect(await keys(store)).toEqual(['/a'])
    await clock.advance(1)
    expect(await keys(store)).toEqual([])
  })

  test.each([
    { stalledAtMs: 2_000, stallMs: 60_000 },
    { stalledAtMs: 4_900, stallMs: 60_000 },
    // Shorter than the time that was left, so that no deadline is over when the process goes on.
    { stalledAtMs: 100, stallMs: 4_500 },
  ])('get the time back in which the process stood still ($stallMs ms at $stalledAtMs ms)', async (stall) => {
    const store = open()
    const { lease } = await store.grantLease(5_000)
    await put(store, '/a', lease)
    await clock.advance(stall.stalledAtMs)
    await clock.stall(stall.stallMs)
    expect(await keys(store)).toEqual(['/a'])
    await clock.advance(5_000 - stall.stalledAtMs - 1)
    expect(await keys(store)).toEqual(['/a'])
    // What is given back may be more than the stop by the wait that it fell into, and no more.
    await clock.advance(1_001)
    expect(await keys(store)).toEqual([])
  })

  test('are not given a stop back twice', async () => {
    const store = open()
    const { lease } = await store.grantLease(5_000)
    await clock.advance(1_000)
    await clock.stall(60_000)
    expect(await store.keepAlive(lease)).toEqual({ lease, ttlMs: 5_000 })
    await clock.advance(4_999)
    expect(await store.keepAlive(lease)).not.toBeNull()
    await clock.advance(5_000)
    expect(await store.keepAlive(lease)).toBeNull()
  })

  test('have ids from the given randomness, never 0, negative, or one that is there already', async () => {
    const bytes = [0n, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn, 0x2an]
    const store = open({
      random: (count) => {
        const buffer = Buffer.alloc(count)
        buffer.writeBigUInt64BE(bytes.shift() ?? 0n)
        return buffer
      },
    })
    expect((await store.grantLease(1_000)).lease).toBe('7fffffffffffffff')
    expect((await store.grantLease(1_000)).lease).toBe('2a')
  })

  test('leave no timer behind once they are over or the store is closed', async () => {
    const store = open()
    const { lease } = await store.grantLease(5_000)
    await store.grantLease(1_000)
    await clock.advance(1_000)
    await store.revokeLease(lease)
    expect(clock.pendingTimers).toBe(0)
    await store.grantLease(5_000)
    await store.close()
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('the history', () => {
  test('is bounded: a watch from before it is told so, one from within it gets everything', async () => {
    const store = open({ history: { revisionsMax: 10, bytesMax: 1_000_000 } })
    const follower = new WatchRecorder()
    store.watch('', await store.currentRevision(), follower)
    let last = await store.currentRevision()
    for (let index = 0; index < 30; index++) last = await put(store, `/${index}`)
    const within = new WatchRecorder()
    store.watch('', (last - 10) as Revision, within)
    const before = new WatchRecorder()
    store.watch('', (last - 11) as Revision, before)
    await before.until(({ calls }) => calls.length > 0)
    expect(before.calls).toMatchObject([{ type: 'failed', kind: 'compacted' }])
    expect(within.revisions).toHaveLength(10)
    expect(follower.revisions).toHaveLength(30)
  })

  test('is bounded by its bytes too', async () => {
    const store = open({ history: { revisionsMax: 1_000, bytesMax: 100_000 } })
    const begin = await store.currentRevision()
    const writes = [{ put: '/a', value: 'x'.repeat(20_000) }]
    for (let index = 0; index < 5; index++) await store.transact({ compare: [], writes })
    const seen = new WatchRecorder()
    store.watch('', begin, seen)
    await seen.until(({ calls }) => calls.length > 0)
    expect(seen.failures).toMatchObject([{ kind: 'compacted' }])
  })
})

describe('opening', () => {
  test('the same folder twice in one process is refused', () => {
    open()
    expect(() => open()).toThrow(`${join(path, 'fencegate.db')}: another gateway has it open`)
  })

  test('a file with a newer schema is refused, with both versions, and left as it is', () => {
    const file = join(path, 'fencegate.db')
    const newer = new DatabaseSync(file)
    newer.exec('CREATE TABLE of_the_future (x); PRAGMA user_version = 2')
    newer.close()
    expect(() => open()).toThrow(/fencegate\.db: it has schema version 2, and this gateway knows 1/)
    const again = new DatabaseSync(file)
    expect(again.prepare('SELECT name FROM sqlite_master').all()).toEqual([{ name: 'of_the_future' }])
    again.close()
  })

  test('a file that is no database is refused by its name', () => {
    writeFileSync(join(path, 'fencegate.db'), 'this is a note and not a database'.repeat(100))
    expect(() => open()).toThrow(/cannot open the store .*fencegate\.db: file is not a database/)
  })
})

test('what waits when the store is closed is written first', async () => {
  const store = open()
  const written = Promise.all([put(store, '/a'), put(store, '/b')])
  await store.close()
  expect(await written).toEqual([2, 3])
  expect(await keys(open())).toEqual(['/a', '/b'])
})
