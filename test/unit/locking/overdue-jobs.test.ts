// Jobs that outlast the drain limit: the lock says so, and keeps saying which they were.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LedgerEntry } from '../../../gateway/spi/gate.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

const DRAIN_MS = 5_000
const WORD = { by: 'ann', reason: 'the array has no such task', incarnations: null, token: null }

let room: TestRoom
let beside: TestRoom

beforeEach(async () => {
  room = await openRoom({ shared: true })
  beside = await openRoom({ shared: true, beside: room, name: 'gateway-2' })
})
afterEach(async () => {
  await beside.locking.close(0)
  await room.locking.close(0)
  await beside.close()
  await room.close()
})

function seen(by: TestRoom) {
  return by.locking.plane.lock(VOLUME)
}

/** Both gateways watch jobs under a grant that was released. */
async function released(...jobs: readonly (readonly [TestRoom, string])[]): Promise<readonly LedgerEntry[]> {
  const session = await room.openSession(600_000)
  const token = await room.take(session)
  await room.clock.advance(0)
  const entries = jobs.map(([by, job]) => {
    const entry = by.admit(token, 'exclusive')
    entry.job(job, { kind: 'vsphere-task', task: job })
    return entry
  })
  await room.locking.plane.release(VOLUME, session)
  await room.clock.advance(0)
  return entries
}

describe('a job that is not over when the drain limit is', () => {
  it('blocks the lock at every gateway, with its name, until it is seen to be over', async () => {
    const [entry] = await released([beside, 'task-7'])
    expect([seen(room).phase, seen(beside).phase]).toEqual(['handover', 'handover'])
    await room.clock.advance(DRAIN_MS + 100)
    for (const by of [room, beside]) {
      expect(seen(by)).toMatchObject({
        phase: 'blocked',
        owners: [{ jobs: [{ job: 'task-7', backend: 'cinder' }] }],
      })
      expect(seen(by).waitingOn.join()).toMatch(/task-7 at cinder/)
      expect(by.told.filter(({ type }) => type === 'lock.blocked')).toHaveLength(1)
    }
    entry?.ended()
    await room.clock.advance(1_000)
    expect([seen(room).phase, seen(beside).phase]).toEqual(['free', 'free'])
  })

  it('can be vouched for, but no other gateway’s that is not overdue', async () => {
    await released([beside, 'task-7'], [room, 'task-8'])
    await expect(room.locking.plane.vouch({ lock: VOLUME, ...WORD })).rejects.toMatchObject({
      code: 'nothing-unknown',
    })
    await room.clock.advance(DRAIN_MS + 500)
    expect(seen(room).owners).toMatchObject([{ jobs: [{ job: expect.stringMatching(/task-/) }, {}] }])
    const { vouched } = await room.locking.plane.vouch({ lock: VOLUME, ...WORD })
    expect(vouched.map(({ gateway }) => gateway)).toEqual(['gateway-1', 'gateway-2'])
    await room.clock.advance(1_000)
    expect([seen(room).phase, seen(beside).phase]).toEqual(['free', 'free'])
  })

  it('that was not written down is as one that just runs to the other gateways', async () => {
    beside.far.loss = ({ writes }) =>
      writes.some((write) => 'put' in write && write.put.includes('/lock-records/')) ? 'request' : null
    await released([beside, 'task-7'])
    await room.clock.advance(DRAIN_MS + 500)
    expect([seen(room).phase, seen(beside).phase]).toEqual(['handover', 'blocked'])
    await expect(room.locking.plane.vouch({ lock: VOLUME, ...WORD })).rejects.toMatchObject({
      code: 'nothing-unknown',
    })
    beside.far.loss = () => null
    await room.clock.advance(1_000)
    expect(seen(room).phase).toBe('blocked')
  })

  it('names no more than sixteen, and one of each gateway', async () => {
    const many = Array.from({ length: 20 }, (_, index) => [room, `task-${index}`] as const)
    await released(...many, [beside, 'task-of-the-other'])
    await room.clock.advance(DRAIN_MS + 1_000)
    const jobs = seen(room).owners[0]?.jobs ?? []
    expect(jobs.length).toBeGreaterThanOrEqual(16)
    expect(jobs.length).toBeLessThanOrEqual(17)
    expect(jobs.map(({ job }) => job)).toContain('task-of-the-other')
  })

  it('is still named when its gateway is gone, whose quiet time then stands for it', async () => {
    await released([beside, 'task-7'])
    await room.clock.advance(DRAIN_MS + 500)
    beside.far.loss = () => 'request'
    for (const { key, lease } of (await room.store.read('/fencegate/watermarks/gateway-2')).items)
      if (lease !== null && key !== '') await room.store.revokeLease(lease)
    await room.clock.advance(1_000)
    expect(seen(room)).toMatchObject({ phase: 'handover', owners: [{ jobs: [{ job: 'task-7' }] }] })
    await room.clock.advance(21_000)
    expect(seen(room).phase).toBe('free')
    beside.far.loss = () => null
  })
})
