import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

function refusal(token: string) {
  const preview = room.locking.gate.preview({
    backend: 'cinder',
    method: 'POST',
    target: '/',
    rule: 'any',
    locks: [{ name: VOLUME, mode: 'exclusive' }],
    tokens: [{ lock: null, token: Number(token), signature: null }],
    waitMs: 0,
    quietMs: 20_000,
  })
  return preview.verdict
}

describe('whoever presents the token of a grant that is over', () => {
  it('is told how it ended while its last call drains, and not that he is the owner', async () => {
    const session = await room.openSession()
    const token = await room.take(session)
    const entry = room.admit(token, 'exclusive')
    await room.locking.plane.release(VOLUME, session)
    const said = refusal(token)
    expect(said).toMatchObject({ code: 'stale-token', token })
    expect(said?.detail).toContain('was given back, and the lock is being handed over')
    expect(said).not.toHaveProperty('owner')
    entry.ended()
  })

  it('is told of the handover where it is that of another grant', async () => {
    const [first, second] = [await room.openSession(), await room.openSession()]
    const old = await room.take(first)
    await room.locking.plane.release(VOLUME, first)
    const token = await room.take(second, 5_000)
    expect(refusal(old)).toMatchObject({ owner: { token } })
    const entry = room.admit(token, 'exclusive')
    await room.locking.plane.release(VOLUME, second)
    expect(refusal(old)?.detail).toContain('the lock is being handed over')
    expect(refusal(old)).not.toHaveProperty('owner')
    entry.ended()
  })
})
