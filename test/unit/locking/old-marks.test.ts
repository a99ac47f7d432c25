// What gateways leave in the store so that they can tell a restored one, and when it goes.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { encodeWitness } from '../../../gateway/locking/epoch-record.ts'
import { OldMarks } from '../../../gateway/locking/old-marks.ts'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { FarStore } from './far-store.ts'

const PREFIX = '/fencegate/marks/'
const DAY_MS = 86_400_000

let folder: string
let clock: ManualClock
let store: EmbeddedStore
let far: FarStore
let marks: OldMarks

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fencegate-marks-'))
  clock = new ManualClock()
  store = openEmbeddedStore({ path: folder, clock })
  far = new FarStore(store)
  marks = new OldMarks({ store: far.store, prefix: PREFIX, clock, own: () => `${PREFIX}own` })
  marks.start()
})
afterEach(async () => {
  marks.stop()
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

async function write(id: string, beat: number): Promise<void> {
  const value = encodeWitness(beat, new Date(clock.wallMs()).toISOString())
  await store.transact({ compare: [], writes: [{ put: PREFIX + id, value }] })
}

async function names(): Promise<readonly string[]> {
  // What a round began to write is written.
  await store.transact({ compare: [], writes: [] })
  for (let turns = 0; turns < 20; turns++) await clock.advance(0)
  return (await store.read(PREFIX)).items.map(({ key }) => key.slice(PREFIX.length))
}

it('keeps for 30 days what a gateway that went has left, so that it may come back, and not for ever', async () => {
  await write('gone', 1)
  await clock.advance(30 * DAY_MS)
  expect(await names()).toEqual(['gone'])
  await clock.advance(DAY_MS)
  expect(await names()).toEqual([])
})

it('never takes its own, nor one that is still written, nor one that does not say since when', async () => {
  await write('own', 1)
  await store.transact({ compare: [], writes: [{ put: `${PREFIX}old`, value: '{"version":1,"beat":3}' }] })
  for (let day = 0; day < 40; day++) {
    await write('living', day)
    await clock.advance(DAY_MS)
  }
  expect(await names()).toEqual(['living', 'old', 'own'])
})

it('takes none that it has not seen unchanged for hours, though clocks differ', async () => {
  await clock.advance(5 * 3_600_000)
  const longAgo = new Date(clock.wallMs() - 400 * DAY_MS).toISOString()
  for (let round = 0; round < 4; round++) {
    await store.transact({
      compare: [],
      writes: [{ put: `${PREFIX}clock-behind`, value: encodeWitness(round, longAgo) }],
    })
    await clock.advance(6 * 3_600_000)
    expect(await names()).toEqual(['clock-behind'])
  }
  await clock.advance(12 * 3_600_000)
  expect(await names()).toEqual([])
})

it('takes none that was written in the moment in which it would be deleted', async () => {
  await write('gone', 1)
  await clock.advance(30 * DAY_MS)
  let back = 0
  far.hold = async ({ writes }) => {
    if (writes.some((one) => 'delete' in one) && back++ === 0) await write('gone', 2)
  }
  await clock.advance(DAY_MS)
  expect(back).toBeGreaterThan(0)
  expect(await names()).toEqual(['gone'])
})

it('goes on where the store was deaf for a while', async () => {
  await write('gone', 1)
  await clock.advance(30 * DAY_MS)
  far.nextRead = () => Promise.reject(new StoreUnavailable('no answer'))
  far.loss = () => 'request'
  await clock.advance(DAY_MS)
  expect(await names()).toEqual(['gone'])
  far.loss = () => null
  await clock.advance(DAY_MS)
  expect(await names()).toEqual([])
})
