import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Revision } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { Replica } from '../../../gateway/locking/replica.ts'
import { View } from '../../../gateway/locking/view.ts'
import { type Snapshot, StoreUnavailable } from '../../../gateway/spi/store.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { FarStore } from './far-store.ts'

const ROOT = '/fencegate/'

let folder: string
let clock: ManualClock
let store: EmbeddedStore
let far: FarStore
let view: View
let replica: Replica
let applied: number[]
let regressed: number[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fencegate-replica-'))
  clock = new ManualClock()
  store = openEmbeddedStore({ path: folder, clock })
  far = new FarStore(store)
  applied = []
  regressed = []
  view = new View({
    layout: new Layout(ROOT),
    clock,
    onChange: ({ revision }) => applied.push(revision),
    onSealed: () => undefined,
    onNarrowed: () => undefined,
    onClosed: () => undefined,
  })
  replica = new Replica({
    store: far.store,
    prefixes: [ROOT],
    view,
    clock,
    events: () => undefined,
    onRegressed: (revision) => regressed.push(revision),
  })
})

afterEach(async () => {
  replica.stop()
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

async function write(key: string): Promise<Revision> {
  const { revision } = await store.transact({ compare: [], writes: [{ put: ROOT + key, value: '' }] })
  return revision
}

describe('a view that is loaded again', () => {
  it('is fed by one watch, also where an earlier attempt to load it fails only later', async () => {
    await replica.start()
    const late = Promise.withResolvers<Snapshot>()
    far.nextRead = () => late.promise
    far.breakWatches()
    await clock.advance(50)
    // What a gateway does whose lease is over: it joins anew, and does not wait for what is under way.
    await replica.reload()
    late.reject(new StoreUnavailable('no answer within 5,000 ms'))
    await clock.advance(10_000)
    expect(far.watches).toBe(1)

    applied.length = 0
    const first = await write('a')
    const second = await write('b')
    await clock.advance(0)
    expect(applied).toEqual([first, second])
  })

  it('is not loaded from a store that went back behind what it had applied', async () => {
    const before = await store.read(ROOT)
    await write('a')
    const last = await write('b')
    await replica.start()
    expect(view.applied).toBe(last)

    far.nextRead = () => Promise.resolve(before)
    far.breakWatches()
    await clock.advance(50)
    expect(regressed).toEqual([before.revision])
    expect(replica.live).toBe(false)
    await clock.advance(60_000)
    expect(replica.live).toBe(false)
    expect(far.watches).toBe(0)
  })
})
