// Whose call it is that bears no token: over many histories, no call gets in under a grant that is not its sender's.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BindingWay, type CallerClaim, callerValue } from '../../../gateway/core/caller.ts'
import type { LockMode, LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { AdmissionRequest, AdmissionResult } from '../../../gateway/spi/gate.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import fc from '../../support/fast-check.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const NEVER = new AbortController().signal
const LOCKS = ['a', 'b'] as LockName[]

let folder: string
let store: EmbeddedStore
let locking: Locking

async function open(signing: Parameters<typeof startLocking>[0]['signing'] = null): Promise<void> {
  const clock = new ManualClock()
  store = openEmbeddedStore({ path: folder, clock })
  let ids = 0
  locking = await startLocking({
    store,
    prefix: '/fencegate',
    clock,
    events: () => undefined,
    mark: { revision: 0, raise: () => Promise.resolve() },
    planner: {
      defaultPlan: null,
      levels: () => null,
      checkFenceInfo: () => ({ kind: 'faulty', faults: [] }),
    },
    name: 'one',
    newId: () => `i${++ids}`,
    quietMs: 1_000,
    leaseMs: 10_000,
    drainMs: 1_000,
    parkedMax: 4,
    ttlMsMin: 1_000,
    ttlMsMax: 3_600_000,
    signing,
    onStopped: () => undefined,
  })
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fencegate-callers-'))
})
afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

async function openSession(id = 'h'): Promise<SessionId> {
  const asked = { ttlMs: 60_000, holder: { id }, fenceInfo: {}, plan: null }
  return (await locking.plane.openSession(asked)).session
}

async function take(
  session: SessionId,
  lock: LockName,
  mode: LockMode = 'exclusive',
): Promise<number | null> {
  const result = await locking.plane.acquire({ lock, session, mode, waitMs: 0, note: null }, NEVER)
  return result.kind === 'granted' ? Number(result.grant.token) : null
}

async function call(
  claims: readonly CallerClaim[],
  about: Partial<AdmissionRequest> & { implicit?: boolean } = {},
): Promise<AdmissionResult> {
  const { implicit = true, ...rest } = about
  const result = await locking.gate.admit(
    {
      backend: 'vc',
      method: 'POST',
      target: '/',
      rule: 'r',
      locks: [{ name: 'a' as LockName, mode: 'exclusive' }],
      tokens: [],
      waitMs: 0,
      quietMs: 1_000,
      caller: { realm: 'vc', claims, implicit },
      ...rest,
    },
    null,
  )
  if (result.kind === 'admitted') result.entry.ended()
  return result
}

const verdict = async (result: Promise<AdmissionResult>): Promise<string> => {
  const settled = await result
  return settled.kind === 'admitted' ? 'admitted' : settled.refusal.code
}
const bind = (session: SessionId, by: BindingWay, value: string) =>
  locking.plane.bind({ session, realm: 'vc', by, value })

describe('a caller without a token', () => {
  it('is admitted under his own grant and no other, whatever his calls bear', {
    timeout: 120_000,
  }, async () => {
    const way = fc.constantFrom<BindingWay>('login', 'session', 'address')
    const mark = fc.record({ by: way, value: fc.constantFrom('x', 'y') })
    const who = fc.nat(1)
    const lock = fc.constantFrom(...LOCKS)
    const named = fc.option(who, { nil: undefined, freq: 2 })
    const locks = fc.constantFrom<LockName[]>(...LOCKS.map((name) => [name]), LOCKS)
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ do: fc.constant('bind' as const), who, mark }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('take' as const), who, lock }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), who, lock }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), who }) },
      {
        weight: 7,
        arbitrary: fc.record({
          do: fc.constant('call' as const),
          marks: fc.array(mark, { maxLength: 2 }),
          named,
          token: fc.option(who, { nil: undefined, freq: 1 }),
          locks,
        }),
      },
    )
    await open()
    let admitted = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
        const sessions: (SessionId | null)[] = [await openSession(), await openSession()]
        const over: SessionId[] = []
        const bound = new Map<string, SessionId>()
        const held = new Map<LockName, { session: SessionId; token: number }>()
        for (const now of steps) {
          if (now.do === 'call') {
            const named = now.named === undefined ? undefined : (sessions[now.named] ?? over[0])
            const owners = now.marks.map(({ by, value }) => bound.get(`${by}:${value}`))
            const known = [
              ...(named === undefined ? [] : [named]),
              ...owners.filter((one) => one !== undefined),
            ]
            const tokens = now.locks.flatMap((lock) => {
              const token = now.token === undefined ? undefined : held.get(lock)?.token
              return token === undefined ? [] : [{ lock, token, signature: null }]
            })
            const claims: CallerClaim[] = [...now.marks]
            if (named !== undefined) claims.unshift({ by: 'header', value: named })
            const locks = now.locks.map((name) => ({ name, mode: 'exclusive' as const }))
            const result = await call(claims, { locks, tokens })
            if (result.kind === 'refused') continue
            admitted++
            const holders = new Set(now.locks.map((lock) => held.get(lock)?.session))
            expect(holders).not.toContain(undefined)
            if (tokens.length === 0) {
              // One sender, who holds it all.
              expect(new Set(known)).toEqual(holders)
              // Not by his machine alone, where the session that it came on is nobody's.
              const stranger = now.marks.some(
                ({ by, value }) => by === 'session' && !bound.has(`${by}:${value}`),
              )
              if (stranger) expect(named).toBeDefined()
            } else {
              const meant = named === undefined ? known : known.filter((one) => !over.includes(one))
              for (const one of named !== undefined && over.includes(named) ? [] : meant)
                if (!now.marks.some(({ by, value }) => by === 'session' && !bound.has(`${by}:${value}`)))
                  expect(holders).toEqual(new Set([one]))
            }
            continue
          }
          const session = sessions[now.who] ?? null
          if (session === null) continue
          if (now.do === 'bind') {
            const key = `${now.mark.by}:${now.mark.value}`
            const taken = bound.has(key) && bound.get(key) !== session
            const outcome = await bind(session, now.mark.by, now.mark.value).then(
              () => 'bound',
              (error: { code?: string }) => error.code,
            )
            expect(outcome).toBe(taken ? 'binding-taken' : 'bound')
            if (!taken) bound.set(key, session)
          } else if (now.do === 'take') {
            const token = await take(session, now.lock)
            if (token !== null) held.set(now.lock, { session, token })
          } else if (now.do === 'release') {
            await locking.plane.release(now.lock, session)
            if (held.get(now.lock)?.session === session) held.delete(now.lock)
          } else {
            await locking.plane.closeSession(session)
            sessions[now.who] = null
            over.push(session)
            for (const [key, owner] of bound) if (owner === session) bound.delete(key)
            for (const [lock, owner] of held) if (owner.session === session) held.delete(lock)
          }
        }
        for (const session of sessions) if (session !== null) await locking.plane.closeSession(session)
      }),
      { numRuns: 60 },
    )
    expect(admitted).toBeGreaterThan(10)
  })

  it('is nobody where implicit tokens are off, and the token that he sends must be his own', async () => {
    await open()
    const [one, two] = [await openSession(), await openSession()]
    await bind(one, 'login', 'nova')
    const token = await take(one, 'a' as LockName)
    const other = await take(two, 'b' as LockName)
    const nova: CallerClaim[] = [{ by: 'login', value: 'nova' }]
    const tokens = [{ lock: null, token: token ?? 0, signature: null }]
    expect(await verdict(call(nova, { implicit: false }))).toBe('missing-token')
    expect(await verdict(call(nova, { implicit: false, tokens }))).toBe('admitted')
    const foreign = [{ lock: null, token: other ?? 0, signature: null }]
    const locks = [{ name: 'b' as LockName, mode: 'exclusive' as const }]
    expect(await verdict(call(nova, { implicit: false, tokens: foreign, locks }))).toBe('caller-conflict')
    expect(await verdict(call([], { implicit: false, tokens: foreign, locks }))).toBe('admitted')
  })

  it('whose grant has just been given back is told that it is over or lacking, and never let in', async () => {
    await open()
    const one = await openSession()
    await bind(one, 'login', 'nova')
    const nova: CallerClaim[] = [{ by: 'login', value: 'nova' }]
    await take(one, 'a' as LockName)
    const held = locking.gate.admit(
      {
        backend: 'vc',
        method: 'POST',
        target: '/',
        rule: 'r',
        locks: [{ name: 'a' as LockName, mode: 'exclusive' }],
        tokens: [],
        waitMs: 0,
        quietMs: 1_000,
        caller: { realm: 'vc', claims: nova, implicit: true },
      },
      null,
    )
    expect((await held).kind).toBe('admitted')
    // Its call is still under way: the lock is sealed, and stays so.
    await locking.plane.release('a' as LockName, one)
    expect(['stale-token', 'missing-token']).toContain(await verdict(call(nova)))
  })

  it('needs no signature, which somebody who sends a token does', async () => {
    await open({ required: true, verify: () => false, sign: () => 'c2ln' })
    const one = await openSession()
    await bind(one, 'login', 'nova')
    const token = await take(one, 'a' as LockName)
    expect(await verdict(call([{ by: 'login', value: 'nova' }]))).toBe('admitted')
    const tokens = [{ lock: null, token: token ?? 0, signature: null }]
    expect(await verdict(call([{ by: 'login', value: 'nova' }], { tokens }))).toBe('bad-token')
  })

  it('reads with a shared grant and does not write with it', async () => {
    await open()
    const one = await openSession()
    await bind(one, 'login', 'nova')
    await take(one, 'a' as LockName, 'shared')
    const nova: CallerClaim[] = [{ by: 'login', value: 'nova' }]
    const shared = [{ name: 'a' as LockName, mode: 'shared' as const }]
    expect(await verdict(call(nova, { locks: shared }))).toBe('admitted')
    expect(await verdict(call(nova))).toBe('wrong-lock')
  })
})

describe('the spelling of a mark', () => {
  it.each([
    ['session', '"52-a"', '52-a'],
    ['session', '""', null],
    ['address', '::ffff:10.0.0.7', '10.0.0.7'],
    ['address', 'FE80::0:1', 'fe80::1'],
    ['address', '10.0.0.007', null],
    ['address', 'host', null],
    ['certificate', `${'AB:'.repeat(31)}AB`, 'ab'.repeat(32)],
    ['certificate', 'abcd', null],
    ['login', '', null],
    ['login', 'Nova', 'Nova'],
  ] as const)('%s %s is %s', (by, written, value) => {
    expect(callerValue(by, written)).toBe(value)
  })
})
