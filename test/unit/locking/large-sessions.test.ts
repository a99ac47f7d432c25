import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openRoom, type TestRoom } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

function open(fenceInfo: Readonly<Record<string, unknown>>) {
  return room.locking.plane.openSession({ ttlMs: 60_000, holder: { id: 'h' }, fenceInfo, plan: null })
}

describe('a session whose record is large', () => {
  it('is refused before anything of it is in the store: its fence could not be written down', async () => {
    const revision = await room.store.currentRevision()
    await expect(open({ x: 'x'.repeat(65_536) })).rejects.toMatchObject({
      code: 'too-large',
      message: expect.stringMatching(/at most 65,?536$/),
    })
    expect(await room.store.currentRevision()).toBe(revision)
    await room.take(await room.openSession())
  })

  it('is counted in bytes of UTF-8', async () => {
    await expect(open({ x: '木'.repeat(22_000) })).rejects.toMatchObject({ code: 'too-large' })
  })

  it('is taken below that', async () => {
    expect((await open({ x: 'x'.repeat(65_000) })).session).not.toBe('')
  })
})
