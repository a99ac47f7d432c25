import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import type { LedgerEntry } from '../../../gateway/spi/gate.ts'
import { openRoom, type TestRoom, VOLUME } from './room.ts'

let room: TestRoom

beforeEach(async () => {
  room = await openRoom()
})
afterEach(() => room.close())

function call(token: string): LedgerEntry {
  const result = room.locking.gate.admit(
    {
      backend: 'cinder',
      method: 'POST',
      target: '/v3/p/volumes/1/action',
      rule: 'volume.read',
      locks: [{ name: VOLUME, mode: 'shared' }],
      tokens: [{ lock: null, token: Number(token), signature: null }],
      waitMs: 0,
      quietMs: null,
    },
    null,
  )
  if (result instanceof Promise || result.kind !== 'admitted') throw new Error('not admitted')
  return result.entry
}

/** What the sequencer does, with a fencer that proves that everything forwarded is over. */
async function fence(session: SessionId): Promise<void> {
  const { journal } = room.locking
  const sealedThrough = await journal.sealedEverywhere(session, new AbortController().signal)
  const due = journal.get(session)
  if (due === null) throw new Error('no fence is due')
  const proof = {
    fencer: 'kill',
    proves: ['flushed' as const],
    sealedThrough,
    observedAt: '',
    observed: 'restarted',
    request: 'look',
  }
  const progress = {
    state: 'closed' as const,
    outcome: 'fenced' as const,
    closedAt: '',
    by: null,
    reason: null,
  }
  await journal.replace({ ...due.record, progress, proofs: [proof] }, due.modRevision)
}

describe('a proof about the calls of a reader', () => {
  it('goes on to count when another reader gives his grant back after it', async () => {
    const [expiring, other] = [await room.openSession(1_000), await room.openSession()]
    const entry = call(await room.take(expiring, 0, 'shared'))
    await room.take(other, 0, 'shared')
    await room.clock.advance(2_000)
    await fence(expiring)
    await room.locking.plane.release(VOLUME, other)
    await room.clock.advance(0)
    expect(room.locking.plane.lock(VOLUME).phase).toBe('handover')
    entry.unknown('the answer was lost')
    await room.clock.advance(0)
    await room.clock.advance(0)
    expect(room.locking.plane.lock(VOLUME)).toMatchObject({ phase: 'free', waitingOn: [] })
  })
})
