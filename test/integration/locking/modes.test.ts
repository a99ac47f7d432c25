import { type ChildProcess, spawn } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { Member, VOLUME } from './members.ts'

describe.skipIf(!etcdAvailable())('changes of mode over several gateways on one etcd', () => {
  let etcd: EtcdCluster
  let prefixes = 0
  let prefix: string
  let members: Member[] = []
  let foreign: ChildProcess | null = null

  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd.stop())

  afterEach(async () => {
    foreign?.kill('SIGINT')
    foreign = null
    for (const member of members) await member.close()
    members = []
  })

  async function two(): Promise<[Member, Member]> {
    prefix = `/modes-${++prefixes}`
    const [a, b] = [await Member.join(etcd, prefix, 'a'), await Member.join(etcd, prefix, 'b')]
    members = [a, b]
    return [a, b]
  }

  /** `etcdctl lock` on the same name; `has`: whether it believes that it has the lock. */
  async function lockByHand(seenBy: Member): Promise<{ has: () => boolean }> {
    const name = `${prefix}/locks/${encodeURIComponent(VOLUME)}`
    const waiting = seenBy.locking.plane.lock(VOLUME).waiters.length
    const child = spawn('etcdctl', ['--endpoints', etcd.endpoints.join(','), 'lock', name], {
      env: { ...process.env, ETCDCTL_API: '3' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    foreign = child
    let printed = ''
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
    await expect
      .poll(() => seenBy.locking.plane.lock(VOLUME).waiters.length, { timeout: 5_000 })
      .toBe(waiting + 1)
    return { has: () => printed.includes(name) }
  }

  it('an upgrade waits for the shared calls that another gateway has open', async () => {
    const [a, b] = await two()
    const session = await a.openSession()
    const token = await a.take(session, 'shared')
    const entry = await b.admit(token, 'shared')
    const upgrading = a.change(session, token, 'exclusive', 5_000)
    await expect
      .poll(() => b.locking.plane.lock(VOLUME).owners.map(({ state }) => state))
      .toEqual(['sealed', 'changing'])
    await expect(b.admit(token, 'shared')).rejects.toThrow('stale-token')
    entry.ended()
    const upgraded = await upgrading
    ;(await b.admit(upgraded, 'exclusive')).ended()
    expect(await b.change(session, token, 'exclusive')).toBe(upgraded)
  })

  it('of two upgrades through two gateways at once one is refused, and the other had when that reader goes', async () => {
    const [a, b] = await two()
    const sessions = [await a.openSession(), await b.openSession()] as const
    const tokens = [await a.take(sessions[0], 'shared'), await b.take(sessions[1], 'shared')] as const
    const outcomes = [
      a.change(sessions[0], tokens[0], 'exclusive', 20_000),
      b.change(sessions[1], tokens[1], 'exclusive', 20_000),
    ]
    const refused = await Promise.any(
      outcomes.map(async (outcome, at) => {
        const error: unknown = await outcome.then(
          () => null,
          (reason: unknown) => reason,
        )
        if (error === null) throw new Error('it was had')
        expect(error).toMatchObject({ code: 'mode-held' })
        return at
      }),
    )
    await a.locking.plane.release(VOLUME, refused === 0 ? sessions[0] : sessions[1])
    const upgraded = await outcomes[1 - refused]
    ;(await a.admit(upgraded ?? '', 'exclusive')).ended()
  })

  it('an upgrade keeps etcdctl out from first to last, and gives way to one that waits already', async () => {
    const [a, b] = await two()
    const session = await a.openSession()
    const first = await a.take(session, 'shared')
    const token = await b.change(session, first, 'exclusive')
    const client = await lockByHand(b)
    // Down again: its key, which is older than that of etcdctl, has to stay.
    expect(await a.change(session, token, 'shared')).toBe(token)
    await expect(b.change(session, token, 'exclusive', 10_000)).rejects.toMatchObject({ code: 'mode-held' })
    ;(await b.admit(token, 'shared')).ended()
    expect(client.has()).toBe(false)
    await b.locking.plane.release(VOLUME, session)
    await expect.poll(client.has, { timeout: 5_000 }).toBe(true)
  })

  it('a downgrade lets a reader in only when all gateways have ended what needed the lock exclusively', async () => {
    const [a, b] = await two()
    const session = await a.openSession()
    const token = await a.take(session, 'exclusive')
    const entry = await b.admit(token, 'exclusive')
    expect(await a.change(session, token, 'shared')).toBe(token)
    const reading = b.take(await b.openSession(), 'shared', 10_000)
    await expect.poll(() => a.locking.plane.lock(VOLUME).waitingOn).toEqual(['gateway b has calls open'])
    await expect(b.admit(token, 'exclusive')).rejects.toThrow('wrong-lock')
    entry.ended()
    ;(await a.admit(await reading, 'shared')).ended()
  })

  it('a downgraded grant survives its gateway, and nobody gets in while what that one had open may go on', async () => {
    const [a, b] = await two()
    const session = await b.openSession()
    const token = await a.take(session, 'exclusive')
    await a.admit(token, 'exclusive')
    await a.change(session, token, 'shared')
    const beginMs = performance.now()
    await a.close()
    members = [b]
    const reading = b.take(await b.openSession(), 'shared', 20_000)
    const readerToken = await reading
    expect(performance.now() - beginMs).toBeGreaterThan(1_900)
    ;(await b.admit(token, 'shared')).ended()
    ;(await b.admit(readerToken, 'shared')).ended()
  })
})
