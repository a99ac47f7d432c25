// What was bound through one gateway, at another on the same etcd: at once, and no longer than the session lives.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SessionId } from '../../../gateway/core/names.ts'
import { callerDigest } from '../../../gateway/locking/caller-digest.ts'
import type { AdmissionResult } from '../../../gateway/spi/gate.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { Member, VOLUME } from './members.ts'

const patient = { timeout: 15_000, interval: 20 }

describe.skipIf(!etcdAvailable())('callers of several gateways on one etcd', () => {
  let etcd: EtcdCluster
  let one: Member
  let two: Member
  let prefixes = 0

  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd.stop())
  afterEach(async () => {
    await one.close()
    await two.close()
  })

  async function join(): Promise<void> {
    const prefix = `/fencegate-callers-${++prefixes}`
    one = await Member.join(etcd, prefix, 'one')
    two = await Member.join(etcd, prefix, 'two')
  }

  /** Without a token, on a session of the backend. */
  async function call(member: Member, cookie: string): Promise<AdmissionResult> {
    const result = await member.locking.gate.admit(
      {
        backend: 'vc',
        method: 'POST',
        target: '/',
        rule: 'r',
        locks: [{ name: VOLUME, mode: 'exclusive' }],
        tokens: [],
        waitMs: 5_000,
        quietMs: 1_000,
        caller: { realm: 'vc', claims: [{ by: 'session', value: cookie }], implicit: true },
      },
      null,
    )
    if (result.kind === 'admitted') result.entry.ended()
    return result
  }

  const learn = (member: Member, session: SessionId, cookie: string) =>
    member.locking.callers.learn(session, 'vc', { sessions: [cookie], collect: { keys: cookie }, note: {} })

  it('a login through one, and the very next call through the other', async () => {
    await join()
    for (let round = 0; round < 5; round++) {
      const session = await one.openSession()
      expect(await learn(one, session, `cookie-${round}`)).toBeNull()
      await one.take(session, 'exclusive')
      const admitted = await call(two, `cookie-${round}`)
      expect(admitted).toMatchObject({ kind: 'admitted' })
      await one.locking.plane.closeSession(session)
      const after = await call(two, `cookie-${round}`)
      // By what that gateway has seen of the end so far.
      const code = after.kind === 'refused' ? after.refusal.code : after.kind
      expect(['missing-token', 'stale-token']).toContain(code)
    }
  })

  it('two that bind the same at once: one of them is told that it is taken', async () => {
    await join()
    const sessions = [await one.openSession(), await two.openSession()] as const
    const bound = await Promise.allSettled([
      one.locking.plane.bind({ session: sessions[0], realm: 'vc', by: 'login', value: 'nova' }),
      two.locking.plane.bind({ session: sessions[1], realm: 'vc', by: 'login', value: 'nova' }),
    ])
    expect(bound.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(bound.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'binding-taken' },
    })
  })

  it('many logins of one session through both, none of which is lost from its record', async () => {
    await join()
    const session = await one.openSession()
    const learnt = await Promise.all(
      Array.from({ length: 12 }, (_, i) => learn(i % 2 === 0 ? one : two, session, `c${i}`)),
    )
    expect(learnt.filter((refusal) => refusal !== null)).toEqual([])
    const keys = Array.from({ length: 12 }, (_, i) => `c${i}`)
    await expect
      .poll(() => one.locking.plane.session(session)?.fenceInfo['keys'], patient)
      .toEqual(expect.arrayContaining(keys))
    expect(await one.take(session, 'exclusive')).toMatch(/^\d+$/)
  })

  it('a key that does not hang on the lease of the session that it names is nobody’s', async () => {
    await join()
    const session = await one.openSession()
    await one.take(session, 'exclusive')
    const put = `/fencegate-callers-${prefixes}/bindings/${callerDigest('vc', 'session', 'forged')}`
    await one.store.transact({
      compare: [],
      writes: [{ put, value: JSON.stringify({ version: 1, session }) }],
    })
    expect(await call(two, 'forged')).toMatchObject({ kind: 'refused', refusal: { code: 'missing-token' } })
  })

  it('a session that expired is known by nothing any more, and what it had opened is still in its record', async () => {
    await join()
    const session = await one.openSession(2_000)
    await learn(two, session, 'cookie')
    await one.take(session, 'exclusive')
    await one.store.revokeLease(session)
    await expect.poll(async () => (await call(two, 'cookie')).kind, patient).toBe('refused')
    expect(two.locking.journal.get(session)?.record.fenceInfo).toEqual({ keys: ['cookie'] })
    expect(await learn(one, session, 'late')).toMatchObject({ code: 'view-not-current' })
  })
})
