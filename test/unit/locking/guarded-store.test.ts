import { afterEach, beforeEach, expect, it } from 'vitest'
import { guardStore } from '../../../gateway/locking/guarded-store.ts'
import { type Store, StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom } from './room.ts'

const REASON = 'it went back'

let room: TestRoom
let forbidden: string | null
let store: Store

beforeEach(async () => {
  room = await openRoom()
  forbidden = null
  store = guardStore(room.store, () => forbidden)
})
afterEach(() => room.close())

const write = (key: string) => ({ compare: [], writes: [{ put: key, value: '' }] })

it('takes no write of any kind while it is forbidden, and reads all the same', async () => {
  const { lease } = await store.grantLease(60_000)
  forbidden = REASON
  const before = await store.currentRevision()
  const writes: readonly (() => Promise<unknown>)[] = [
    () => store.transact(write('/a')),
    () => store.transactEach([write('/a'), write('/b')]),
    () => store.grantLease(60_000),
    () => store.keepAlive(lease),
    () => store.revokeLease(lease),
  ]
  for (const each of writes) await expect(each()).rejects.toThrow(new StoreUnavailable(REASON))
  expect(await store.currentRevision()).toBe(before)
  expect((await store.read('/a')).items).toEqual([])
})

it('lets every write through while it is not', async () => {
  await store.transact(write('/a'))
  expect(await store.transactEach([write('/b'), write('/c')])).toMatchObject([
    { succeeded: true },
    { succeeded: true },
  ])
  const { lease } = await store.grantLease(60_000)
  expect(await store.keepAlive(lease)).toMatchObject({ lease })
  await store.revokeLease(lease)
})
