// What is said of a stale token is made once, and said for as long as it is so.

import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LockName } from '../../../gateway/core/names.ts'
import type { Refusal } from '../../../gateway/core/verdict.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

function refusal(token: string, name = VOLUME): Refusal {
  const result = room.locking.gate.admit(
    {
      backend: 'cinder',
      method: 'POST',
      target: '/',
      rule: 'any',
      locks: [{ name, mode: 'exclusive' }],
      tokens: [{ lock: null, token: Number(token), signature: null }],
      waitMs: 0,
      quietMs: 20_000,
    },
    null,
  )
  if (result instanceof Promise || result.kind !== 'refused') throw new Error('not refused')
  return result.refusal
}

/** A token that its session has given back. */
async function spent(): Promise<string> {
  const session = await room.openSession()
  const token = await room.take(session)
  await room.locking.plane.release(VOLUME, session)
  await expect.poll(() => room.locking.plane.lock(VOLUME).phase).toBe('free')
  return token
}

test('who asks again is told the very same', async () => {
  const old = await spent()
  const free = refusal(old)
  expect(free).toMatchObject({ code: 'stale-token', token: old, isLasting: true })
  expect(refusal(old)).toBe(free)
  const token = await room.take(await room.openSession())
  await expect.poll(() => refusal(old).isLasting).toBe(true)
  const held = refusal(old)
  expect(held.owner).toMatchObject({ token, holder: 'cinder-volume-1' })
  expect(refusal(old)).toBe(held)
})

test('every change of the owner is told at once', async () => {
  const old = await spent()
  const owners: (string | undefined)[] = [refusal(old).owner?.token]
  const tokens: (string | undefined)[] = [undefined]
  for (let turn = 0; turn < 3; turn++) {
    const session = await room.openSession()
    tokens.push(await room.take(session))
    owners.push(refusal(old).owner?.token, refusal(old).owner?.token)
    tokens.push(tokens.at(-1))
    await room.locking.plane.release(VOLUME, session)
    await expect.poll(() => room.locking.plane.lock(VOLUME).phase).toBe('free')
    owners.push(refusal(old).owner?.token, refusal(old).owner?.token)
    tokens.push(undefined, undefined)
  }
  expect(owners).toEqual(tokens)
})

test('the end of the owner is no hindrance to the one who comes after him', async () => {
  const first = await room.openSession()
  const second = await room.openSession()
  const old = await spent()
  await room.take(first)
  await expect.poll(() => refusal(old).isLasting).toBe(true)
  const waiting = room.take(second, 10_000)
  // A lock that somebody waits for is not at rest: it is looked at each time.
  await expect.poll(() => refusal(old).isLasting).toBeUndefined()
  await room.locking.plane.release(VOLUME, first)
  const token = await waiting
  expect(refusal(old).owner?.token).toBe(token)
  room.admit(token, 'exclusive').ended()
})

test('a token is told of the lock that the call needs, whatever it was told of another', async () => {
  const old = await spent()
  const other = 'cinder/volume/2' as LockName
  for (const name of [VOLUME, other, VOLUME]) expect(refusal(old, name).lock).toBe(name)
  await room.take(await room.openSession())
  await expect.poll(() => refusal(old).isLasting).toBe(true)
  expect(refusal(old, other).owner).toBeUndefined()
  expect(refusal(old).owner).toBeDefined()
})

/** Writes one record anew, whoever may have written it. */
async function rewrite(key: string, from: string, to: string): Promise<void> {
  const found = (await room.store.read('/fencegate')).items.find(
    (item) => item.key.includes(key) && item.value.includes(from),
  )
  if (found === undefined) throw new Error(`no record of ${key} says ${from}`)
  const value = found.value.replace(from, to)
  await room.store.transact({ compare: [], writes: [{ put: found.key, value }] })
}

test('what others write of the owner is read anew', async () => {
  const old = await spent()
  const session = await room.openSession()
  await room.take(session)
  await expect.poll(() => refusal(old).isLasting).toBe(true)
  const before = refusal(old)
  await rewrite(session, 'cinder-volume-1', 'cinder-volume-2')
  await expect.poll(() => refusal(old).owner?.holder).toBe('cinder-volume-2')
  const since = before.owner?.since ?? ''
  await rewrite('', `"openedAt":"${since}"`, '"openedAt":"2001-02-03T04:05:06.789Z"')
  await expect.poll(() => refusal(old).owner?.since).toBe('2001-02-03T04:05:06.789Z')
  expect(refusal(old).isLasting).toBe(true)
  expect(before.owner).toMatchObject({ holder: 'cinder-volume-1', since })
})
