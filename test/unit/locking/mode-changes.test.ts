import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import { StoreUnavailable, type Transaction } from '../../../gateway/spi/store.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

async function rested(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await room.clock.advance(0)
}

function owners(): readonly (readonly string[])[] {
  return room.locking.plane.lock(VOLUME).owners.map(({ token, mode, state }) => [token, mode, state])
}

function waiters(): readonly string[] {
  return room.locking.plane.lock(VOLUME).waiters.map(({ session }) => session)
}

function fences(): readonly string[] {
  return room.locking.plane.fences({ limit: 10, after: null }).items.map(({ id }) => id)
}

function queues({ writes }: Transaction): boolean {
  return writes.some((write) => 'put' in write && write.put.includes('/locks/'))
}

async function reader(ttlMs?: number): Promise<{ session: SessionId; token: string }> {
  const session = await room.openSession(ttlMs)
  return { session, token: await room.take(session, 0, 'shared') }
}

describe('an upgrade', () => {
  it('of the only reader gets a larger token at once, under which alone calls are admitted from then on', async () => {
    const { session, token } = await reader()
    const grant = await room.change(session, token, 'exclusive')
    expect(grant).toMatchObject({ mode: 'exclusive', lock: VOLUME })
    expect(Number(grant.token)).toBeGreaterThan(Number(token))
    room.admit(grant.token, 'exclusive').ended()
    expect(room.verdict(token, 'shared')).toBe('stale-token')
    await rested()
    expect(owners()).toEqual([[grant.token, 'exclusive', 'open']])
    expect(fences()).toEqual([])
  })

  it('is refused at once, and costs the store nothing, where another reader is there and nobody waits', async () => {
    const [a, b] = [await reader(), await reader()]
    const before = await room.store.currentRevision()
    await expect(room.change(a.session, a.token, 'exclusive')).rejects.toMatchObject({
      code: 'mode-held',
      details: { holders: [b.session] },
    })
    expect(await room.store.currentRevision()).toBe(before)
    room.admit(a.token, 'shared').ended()
  })

  it('waits for the other readers, keeps later ones out, and gives up at its deadline with its grant untouched', async () => {
    const [a, b] = [await reader(), await reader()]
    const upgrading = room.change(a.session, a.token, 'exclusive', 5_000)
    await rested()
    const late = await room.openSession()
    expect((await room.acquire(late, 0, 'shared')).kind).toBe('held')
    upgrading.catch(() => undefined)
    await room.clock.advance(5_000)
    await expect(upgrading).rejects.toMatchObject({ code: 'mode-held' })
    await rested()
    expect(waiters()).toEqual([])
    expect(owners()).toEqual([
      [a.token, 'shared', 'open'],
      [b.token, 'shared', 'open'],
    ])
    room.admit(a.token, 'shared').ended()
  })

  it('is had when the last other reader goes', async () => {
    const [a, b] = [await reader(), await reader()]
    const upgrading = room.change(a.session, a.token, 'exclusive', 5_000)
    await rested()
    await room.locking.plane.release(VOLUME, b.session)
    await room.clock.advance(0)
    const grant = await upgrading
    room.admit(grant.token, 'exclusive').ended()
  })

  it('of a second reader is refused at once, and the first gets the lock when that one has gone', async () => {
    const [a, b] = [await reader(), await reader()]
    const first = room.change(a.session, a.token, 'exclusive', 60_000)
    await rested()
    await expect(room.change(b.session, b.token, 'exclusive', 60_000)).rejects.toMatchObject({
      code: 'mode-held',
      message: expect.stringContaining('to upgrade as well'),
    })
    await room.locking.plane.release(VOLUME, b.session)
    await room.clock.advance(0)
    expect((await first).mode).toBe('exclusive')
  })

  it('never overtakes a writer who waits', async () => {
    const a = await reader()
    const writer = await room.openSession()
    const writing = room.take(writer, 60_000)
    await rested()
    await expect(room.change(a.session, a.token, 'exclusive', 60_000)).rejects.toMatchObject({
      code: 'mode-held',
      details: { waiter: writer },
    })
    await room.locking.plane.release(VOLUME, a.session)
    await room.clock.advance(0)
    room.admit(await writing, 'exclusive').ended()
  })

  it('opens only after the calls under the shared token have ended, and a retry is answered with the same grant', async () => {
    const { session, token } = await reader()
    const entry = room.admit(token, 'shared')
    const upgrading = room.change(session, token, 'exclusive', 60_000)
    await rested()
    expect(owners().map(([, , state]) => state)).toEqual(['sealed', 'changing'])
    expect(room.verdict(owners()[1]?.[0] ?? '', 'exclusive')).toBe('handover')
    const retry = room.change(session, token, 'exclusive', 60_000)
    await rested()
    entry.ended()
    await room.clock.advance(0)
    const grant = await upgrading
    expect(await retry).toEqual(grant)
    expect(await room.change(session, token, 'exclusive')).toEqual(grant)
    expect(await room.change(session, grant.token, 'exclusive')).toEqual(grant)
  })

  it('says that it is under way where its own calls outlast the deadline, and lets nobody in', async () => {
    const { session, token } = await reader()
    const entry = room.admit(token, 'shared')
    const upgrading = room.change(session, token, 'exclusive')
    upgrading.catch(() => undefined)
    await room.clock.advance(2_500)
    await expect(upgrading).rejects.toMatchObject({ code: 'mode-pending' })
    expect((await room.acquire(await room.openSession(), 0, 'shared')).kind).toBe('held')
    await expect(room.acquire(session)).rejects.toMatchObject({ code: 'mode-pending' })
    entry.ended()
    await rested()
    expect((await room.change(session, token, 'exclusive')).mode).toBe('exclusive')
  })

  it('of a holder who dies in the middle has him fenced before the next is let in', async () => {
    const { session, token } = await reader(1_000)
    room.admit(token, 'shared')
    room.change(session, token, 'exclusive').catch(() => undefined)
    await rested()
    const next = room.acquire(await room.openSession(), 60_000)
    await room.clock.advance(1_500)
    expect(fences()).toEqual([session])
    await room.clock.advance(40_000)
    expect(owners().map(([, , state]) => state)).not.toContain('open')
    await room.locking.plane.confirmFence(session, { by: 'me', reason: 'it is dead' })
    await room.clock.advance(30_000)
    expect((await next).kind).toBe('granted')
  })

  it('is given up together with what it was to replace', async () => {
    const [a] = [await reader(), await reader()]
    const upgrading = room.change(a.session, a.token, 'exclusive', 60_000)
    await rested()
    await room.locking.plane.release(VOLUME, a.session)
    await expect(upgrading).rejects.toMatchObject({ code: 'token-mismatch' })
    await rested()
    expect(waiters()).toEqual([])
  })

  it('leaves no key behind where the store did not say whether it was written', async () => {
    const [a, b] = [await reader(), await reader()]
    room.far.loss = (transaction) => (queues(transaction) ? 'answer' : null)
    await expect(room.change(a.session, a.token, 'exclusive', 1_000)).rejects.toBeInstanceOf(StoreUnavailable)
    room.far.loss = () => null
    await room.clock.advance(2_000)
    expect(waiters()).toEqual([])
    await room.locking.plane.release(VOLUME, b.session)
    await rested()
    expect(owners()).toEqual([[a.token, 'shared', 'open']])
  })

  it('needs the session that holds the grant, and its token', async () => {
    const [a, b] = [await reader(), await reader()]
    await expect(room.change(b.session, a.token, 'exclusive')).rejects.toMatchObject({
      code: 'token-mismatch',
    })
    await expect(room.change('abc' as SessionId, a.token, 'exclusive')).rejects.toMatchObject({
      code: 'session-unknown',
    })
  })
})

describe('a downgrade', () => {
  it('keeps the token, and takes effect at once', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const grant = await room.change(session, token, 'shared')
    expect(grant).toMatchObject({ token, mode: 'shared' })
    expect(await room.change(session, token, 'shared')).toEqual(grant)
    expect(room.verdict(token, 'exclusive')).toBe('wrong-lock')
    room.admit(token, 'shared').ended()
    expect(await room.acquire(session, 0, 'shared')).toMatchObject({ kind: 'granted', grant: { token } })
  })

  it('lets readers in only when the calls that needed the lock exclusively are over', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const [exclusive, shared] = [room.admit(token, 'exclusive'), room.admit(token, 'shared')]
    await room.change(session, token, 'shared')
    const joining = room.take(await room.openSession(), 60_000, 'shared')
    await rested()
    expect(owners()).toEqual([[token, 'shared', 'open']])
    expect(exclusive.sealed).toBe(true)
    expect(exclusive.recheck()?.code).toBe('wrong-lock')
    expect(shared.recheck()).toBe(null)
    exclusive.ended()
    await room.clock.advance(0)
    room.admit(await joining, 'shared').ended()
    shared.ended()
  })

  it('gives up what does not end, and then waits the quiet time', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    room.admit(token, 'exclusive')
    await room.change(session, token, 'shared')
    const joining = room.acquire(await room.openSession(), 60_000, 'shared')
    await room.clock.advance(24_900)
    expect(owners()).toHaveLength(1)
    await room.clock.advance(200)
    expect((await joining).kind).toBe('granted')
  })

  it('gives the lock to no writer in between, and lets in no reader from behind him', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const before = room.take(await room.openSession(), 60_000, 'shared')
    await rested()
    const writer = await room.openSession()
    const writing = room.take(writer, 60_000)
    await rested()
    await room.change(session, token, 'shared')
    await rested()
    const readerToken = await before
    const late = await room.openSession()
    expect((await room.acquire(late, 0, 'shared')).kind).toBe('held')
    expect(waiters()).toEqual([writer])
    expect(owners()).toEqual([
      [token, 'shared', 'open'],
      [readerToken, 'shared', 'open'],
    ])
    for (const { session: holder } of room.locking.plane.lock(VOLUME).owners)
      void room.locking.plane.release(VOLUME, holder)
    await room.clock.advance(1_000)
    room.admit(await writing, 'exclusive').ended()
  })

  it('can be followed by an upgrade, and that by a downgrade', async () => {
    const session = await room.openSession()
    let token = await room.take(session)
    for (let turns = 0; turns < 3; turns++) {
      await room.change(session, token, 'shared')
      token = (await room.change(session, token, 'exclusive')).token
    }
    room.admit(token, 'exclusive').ended()
    await room.locking.plane.release(VOLUME, session)
    await rested()
    expect(room.locking.plane.lock(VOLUME).phase).toBe('free')
    expect((await room.store.read('/fencegate/locks/')).items).toEqual([])
  })
})

describe('the queue', () => {
  it('is served first come, first served, and no reader passes a writer who waits', async () => {
    const owner = await room.openSession()
    await room.take(owner)
    const order: string[] = []
    const waiting: { session: SessionId; got: Promise<unknown> }[] = []
    for (const mode of ['shared', 'shared', 'exclusive', 'shared', 'exclusive'] as const) {
      const session = await room.openSession()
      const got = room
        .take(session, 600_000, mode)
        .then((token) =>
          order.push(
            `${mode} ${waiting.findIndex((one) => one.session === session)} ${token === '' ? '' : 'ok'}`,
          ),
        )
      waiting.push({ session, got })
      await rested()
    }
    await room.locking.plane.release(VOLUME, owner)
    for (const { session, got } of waiting) {
      await room.clock.advance(0)
      await rested()
      await got
      await room.locking.plane.release(VOLUME, session)
    }
    expect(order).toEqual(['shared 0 ok', 'shared 1 ok', 'exclusive 2 ok', 'shared 3 ok', 'exclusive 4 ok'])
  })
})

describe('a release', () => {
  it('of which neither view nor store can tell what it is about is refused, and takes nothing later', async () => {
    const session = await room.openSession()
    room.far.nextRead = () => Promise.reject(new StoreUnavailable('no answer'))
    await expect(room.locking.plane.release(VOLUME, session)).rejects.toBeInstanceOf(StoreUnavailable)
    const token = await room.take(session)
    await room.clock.advance(5_000)
    expect(owners()).toEqual([[token, 'exclusive', 'open']])
  })
})

it('lets a reader’s try wait for the store where another reader is just being let in', async () => {
  const [first, second] = [await room.openSession(), await room.openSession()]
  let lost = 0
  room.far.loss = ({ writes }) =>
    writes.some((write) => 'put' in write && write.put.includes('/lock-records/')) && lost++ === 0
      ? 'request'
      : null
  const letIn = room.take(first, 5_000, 'shared')
  while (lost === 0) await room.clock.advance(0)
  const tried = room.acquire(second, 0, 'shared')
  await room.clock.advance(1_000)
  await letIn
  expect((await tried).kind).toBe('granted')
})

it('fails a reader’s try at once while another reader waits behind a writer', async () => {
  const [holder, writer, reader] = [
    await room.openSession(),
    await room.openSession(),
    await room.openSession(),
  ]
  await room.take(holder, 0, 'shared')
  const waiting = room.acquire(writer, 60_000)
  await room.clock.advance(0)
  const { revision } = await room.store.transact({ compare: [], writes: [] })
  expect((await room.acquire(reader, 0, 'shared')).kind).toBe('held')
  expect((await room.store.transact({ compare: [], writes: [] })).revision).toBeLessThanOrEqual(revision)
  await room.locking.plane.release(VOLUME, holder)
  expect((await waiting).kind).toBe('granted')
})

it('deletes the key of an upgrade that nobody waits for any more and whose shared grant is over', async () => {
  const session = await room.openSession()
  const put = `/fencegate/locks/${encodeURIComponent(VOLUME)}/upgrade/${session}`
  const value = JSON.stringify({ replaces: 1, request: 'of a gateway that is gone' })
  await room.store.transact({ compare: [], writes: [{ put, value, lease: session }] })
  await room.clock.advance(100)
  expect((await room.store.read('/fencegate/locks/')).items).toEqual([])
})
