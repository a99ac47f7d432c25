// A gateway over real etcd members that die, stop, are cut off, compacted or full: within which time it stops admitting, and
// within which it serves again. Nobody who is alive is fenced, and nothing is lost.
//
// The times of the store are 0.3 of the shipped ones (10 s lease, 5 s for an answer, 2 s of silence); FENCEGATE_SCALE=1
// measures those, and prints the table that docs/operations.md shows.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { type Locking, startLocking } from '../../../gateway/locking/locking.ts'
import type { FencePlanner } from '../../../gateway/spi/fence-planner.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { type EtcdCluster, type EtcdMember, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { Relay } from './relay.ts'

const SCALE = Number(process.env['FENCEGATE_SCALE'] ?? 0.3)
const LEASE_MS = 10_000 * SCALE
const REQUEST_MS = 5_000 * SCALE
const SILENT_MS = 2_000 * SCALE
/** For timers, elections and processes that are late on a busy machine. */
const SLACK_MS = 2_500
const QUOTA_BYTES = 24 * 1024 * 1024
const PATIENT = { timeout: 60_000, interval: 20 }
const VOLUME = 'cinder/volume/1' as LockName
const NEVER = new AbortController().signal
const KILL: FencePlanner = {
  defaultPlan: 'kill',
  levels: () => [['kill']],
  checkFenceInfo: (_plan, fenceInfo) => ({ kind: 'complete', fenceInfo, targets: [] }),
}

interface Site {
  readonly etcd: EtcdCluster
  readonly relays: readonly Relay[]
  readonly prefix: string
  readonly locking: Locking
  /** What the gateway said of its view. */
  readonly said: string[]
  /** The one that the gateway's calls go to first. */
  readonly first: EtcdMember
}

interface Trouble {
  readonly name: string
  readonly members: 1 | 3
  readonly strike: (site: Site) => unknown
  /** Absent: the trouble passes by itself. */
  readonly heal?: (site: Site) => unknown
  /** From the stroke; counted in leases. */
  readonly healAfterLeases?: number
  /** `must`: the view cannot be current any more, so admission ends with the lease. `may`: another member takes over. */
  readonly stops: 'must' | 'may'
  /** What it then says. */
  readonly says?: RegExp
  /** From the healing, or the stroke where nothing heals. */
  readonly againWithinMs: number
}

/** Another member answers after one that keeps silent; then the watch begins again, and the lease is renewed. */
const FAILOVER_MS = SILENT_MS + 2 * REQUEST_MS + LEASE_MS / 4
/** The gateway comes back as somebody new, after the pause between two tries. */
const REJOIN_MS = LEASE_MS + 2 * REQUEST_MS

const frozen = new Set<EtcdMember>()

const TROUBLES: readonly Trouble[] = [
  {
    name: 'the member that it speaks to is killed',
    members: 3,
    strike: ({ etcd, first }) => etcd.kill(first),
    stops: 'may',
    againWithinMs: FAILOVER_MS,
  },
  {
    name: 'the leader is killed',
    members: 3,
    strike: async ({ etcd }) => etcd.kill(await etcd.leader()),
    stops: 'may',
    againWithinMs: FAILOVER_MS,
  },
  {
    name: 'the leader changes',
    members: 3,
    strike: async ({ etcd }) => {
      const leader = await etcd.leader()
      await etcd.moveLeader(etcd.members.find((member) => member !== leader) ?? leader)
    },
    stops: 'may',
    againWithinMs: FAILOVER_MS,
  },
  {
    name: 'the member that it speaks to is stopped, and leads',
    members: 3,
    async strike({ etcd, first }) {
      await etcd.moveLeader(first)
      freeze(etcd, first)
    },
    stops: 'may',
    againWithinMs: FAILOVER_MS,
  },
  {
    name: 'the only member is stopped',
    members: 1,
    strike: ({ etcd, first }) => freeze(etcd, first),
    heal: ({ etcd, first }) => thaw(etcd, first),
    healAfterLeases: 1.5,
    stops: 'must',
    says: /no answer within|silent for|could not renew its lease/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'the network to the member that it speaks to is cut',
    members: 3,
    strike: ({ relays }) => relays[0]?.cut(),
    stops: 'may',
    againWithinMs: FAILOVER_MS,
  },
  {
    name: 'the network is cut for longer than its lease',
    members: 3,
    strike: ({ relays }) => each(relays, (relay) => relay.cut()),
    heal: ({ relays }) => each(relays, (relay) => relay.heal()),
    healAfterLeases: 2,
    stops: 'must',
    says: /silent for|could not renew its lease/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'its requests are lost',
    members: 3,
    strike: ({ relays }) => each(relays, (relay) => relay.loseRequests(true)),
    heal: ({ relays }) => each(relays, (relay) => relay.heal()),
    healAfterLeases: 1.5,
    stops: 'must',
    says: /silent for|could not renew its lease/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'the answers to it are lost',
    members: 3,
    strike: ({ relays }) => each(relays, (relay) => relay.loseAnswers(true)),
    heal: ({ relays }) => each(relays, (relay) => relay.heal()),
    healAfterLeases: 1.5,
    stops: 'must',
    says: /silent for|could not renew its lease/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'what it has not seen is compacted while it is cut off',
    members: 3,
    async strike({ etcd, relays, prefix }) {
      for (const relay of relays) relay.cut()
      let revision = 0
      for (let writes = 0; writes < 3; writes++) {
        const answer = await etcd.etcdctl(['put', `${prefix}/elsewhere`, String(writes), '-w=json'])
        revision = Number(/"revision":(\d+)/.exec(answer)?.[1])
      }
      await etcd.etcdctl(['compaction', String(revision)])
    },
    heal: ({ relays }) => each(relays, (relay) => relay.heal()),
    healAfterLeases: 1.5,
    stops: 'must',
    says: /silent for|could not renew its lease/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'its lease is revoked by a third hand',
    members: 3,
    strike: async ({ etcd, prefix }) => {
      const watermarks = await etcd.etcdctl(['get', '--prefix', `${prefix}/watermarks/`, '-w=json'])
      const lease = BigInt(/"lease":(\d+)/.exec(watermarks)?.[1] ?? '0')
      await etcd.etcdctl(['lease', 'revoke', lease.toString(16)])
    },
    stops: 'must',
    says: /the lease is over/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'the cluster has no quorum',
    members: 3,
    strike: ({ etcd, first }) => Promise.all(others(etcd, first).map((member) => etcd.kill(member))),
    heal: ({ etcd, first }) => Promise.all(others(etcd, first).map((member) => etcd.restart(member))),
    healAfterLeases: 1.5,
    stops: 'must',
    says: /no leader/,
    againWithinMs: REJOIN_MS,
  },
  {
    name: 'the disk of etcd is full',
    members: 1,
    async strike({ etcd }) {
      const filler = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock })
      clean.push(() => filler.close())
      const fill = () =>
        filler.transact({ compare: [], writes: [{ put: '/filler', value: 'x'.repeat(1_000_000) }] })
      await expect(untilFailure(fill)).rejects.toThrow(/database space exceeded/)
    },
    async heal({ etcd }) {
      const answer = await etcd.etcdctl(['get', '/', '-w=json'])
      await etcd.etcdctl(['compaction', /"revision":(\d+)/.exec(answer)?.[1] ?? ''])
      await etcd.etcdctl(['defrag'])
      await etcd.etcdctl(['alarm', 'disarm'])
    },
    healAfterLeases: 1.5,
    stops: 'must',
    says: /could not renew its lease: .*database space exceeded/,
    againWithinMs: REJOIN_MS,
  },
]

async function untilFailure(act: () => Promise<unknown>): Promise<never> {
  for (;;) await act()
}

function each(relays: readonly Relay[], act: (relay: Relay) => void): void {
  for (const relay of relays) act(relay)
}

function others(etcd: EtcdCluster, than: EtcdMember): EtcdMember[] {
  return etcd.members.filter((member) => member !== than)
}

function freeze(etcd: EtcdCluster, member: EtcdMember): void {
  etcd.freeze(member)
  frozen.add(member)
}

function thaw(etcd: EtcdCluster, member: EtcdMember): void {
  frozen.delete(member)
  etcd.thaw(member)
}

const clean: (() => unknown)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

let prefixes = 0

async function gatewayOn(
  etcd: EtcdCluster,
  {
    members = etcd.members,
    prefix = `/fencegate-${++prefixes}`,
  }: { members?: readonly EtcdMember[]; prefix?: string } = {},
): Promise<Site> {
  const relays: Relay[] = []
  for (const { endpoint } of members) {
    const relay = await Relay.open(endpoint)
    relays.push(relay)
    clean.push(() => relay.close())
  }
  const endpoints = relays.map(({ endpoint }) => endpoint)
  const timing = { requestTimeoutMs: REQUEST_MS, watchSilentMs: SILENT_MS }
  const store = openEtcdStore({ endpoints, clock: systemClock, probeKey: `${prefix}/`, ...timing })
  clean.push(() => store.close())
  const said: string[] = []
  // The members may still be busy with what was done to them before.
  const locking = await patiently(() =>
    startLocking({
      store,
      prefix,
      clock: systemClock,
      events: ({ type, detail }) => type === 'view.lost' && said.push(detail ?? ''),
      mark: { revision: 0, raise: () => Promise.resolve() },
      planner: KILL,
      name: 'gateway-1',
      newId: () => crypto.randomUUID(),
      quietMs: 500,
      leaseMs: LEASE_MS,
      drainMs: 1_000,
      parkedMax: 16,
      ttlMsMin: 1_000,
      ttlMsMax: 600_000,
      signing: null,
      onStopped: (reason) => {
        throw new Error(reason)
      },
    }),
  )
  clean.push(() => locking.close(0))
  return { etcd, relays, prefix, locking, said, first: members[0] ?? etcd.member(0) }
}

async function take(locking: Locking, session: SessionId, waitMs: number): Promise<number> {
  const result = await locking.plane.acquire(
    { lock: VOLUME, session, mode: 'exclusive', waitMs, note: null },
    NEVER,
  )
  if (result.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(result)}`)
  return Number(result.grant.token)
}

async function openSession(locking: Locking): Promise<SessionId> {
  const asked = { ttlMs: 300_000, holder: { id: 'h' }, fenceInfo: {}, plan: null }
  return (await locking.plane.openSession(asked)).session
}

/** Asks the gate every few milliseconds, as a busy holder does. */
class Probe {
  readonly reasons = new Set<string>()
  readonly #locking: Locking
  readonly #token: number
  readonly #timer: NodeJS.Timeout
  #refusedAtMs: number | null = null
  #admittedAtMs = Number.POSITIVE_INFINITY
  #lastAdmittedAtMs = 0
  #verdicts = new Set<string>()

  constructor(locking: Locking, token: number) {
    this.#locking = locking
    this.#token = token
    this.#timer = setInterval(() => void this.#ask(), 5)
  }

  get verdicts(): readonly string[] {
    return [...this.#verdicts]
  }

  get refusedAtMs(): number | null {
    return this.#refusedAtMs
  }

  /** Of the last call that was let through. */
  get lastAdmittedAtMs(): number {
    return this.#lastAdmittedAtMs
  }

  /** Of the last refusal's end; infinite while it is refused. */
  get admittedAtMs(): number {
    return this.#admittedAtMs
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #ask(): Promise<void> {
    const result = await this.#locking.gate.admit(
      {
        backend: 'b',
        method: 'POST',
        target: '/',
        rule: 'r',
        locks: [{ name: VOLUME, mode: 'exclusive' }],
        tokens: [{ lock: null, token: this.#token, signature: null }],
        waitMs: 0,
        quietMs: 500,
      },
      null,
    )
    const nowMs = performance.now()
    if (result.kind === 'admitted') {
      result.entry.ended()
      this.#lastAdmittedAtMs = nowMs
      if (this.#admittedAtMs === Number.POSITIVE_INFINITY) this.#admittedAtMs = nowMs
      return
    }
    this.#refusedAtMs ??= nowMs
    this.#admittedAtMs = Number.POSITIVE_INFINITY
    this.#verdicts.add(result.refusal.code)
    this.reasons.add(result.refusal.detail)
  }
}

const figures: string[] = []
const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

async function endure(site: Site, trouble: Trouble): Promise<void> {
  const { locking, said } = site
  const session = await openSession(locking)
  const token = await take(locking, session, 0)
  const probe = new Probe(locking, token)
  clean.push(() => probe.stop())
  await expect.poll(() => probe.admittedAtMs, PATIENT).toBeLessThan(Number.POSITIVE_INFINITY)
  // Past the first renewal, as most of a gateway's life is.
  await wait(LEASE_MS / 3)

  await trouble.strike(site)
  const struckAtMs = performance.now()
  if (trouble.heal !== undefined) {
    await wait((trouble.healAfterLeases ?? 0) * LEASE_MS)
    if (trouble.stops === 'must') expect(probe.admittedAtMs, 'still admits').toBe(Number.POSITIVE_INFINITY)
    await trouble.heal(site)
  } else if (trouble.stops === 'must') await expect.poll(() => probe.refusedAtMs, PATIENT).not.toBeNull()
  // What might still fail would within these.
  else await wait(LEASE_MS + REQUEST_MS)
  const healedAtMs = trouble.heal === undefined ? struckAtMs : performance.now()
  await expect.poll(() => probe.admittedAtMs, PATIENT).toBeLessThan(Number.POSITIVE_INFINITY)
  probe.stop()
  const { refusedAtMs } = probe
  const stoppedMs = refusedAtMs === null ? null : Math.round(refusedAtMs - struckAtMs)
  const againMs = refusedAtMs === null ? 0 : Math.round(probe.admittedAtMs - healedAtMs)
  figures.push(
    `${trouble.name}: stopped after ${stoppedMs ?? '–'} ms, served again after ${againMs} ms; ${[...said, ...probe.reasons].join(' | ')}`,
  )

  if (trouble.stops === 'must') expect(stoppedMs).toBeLessThan(LEASE_MS + SLACK_MS)
  expect(againMs).toBeLessThan(trouble.againWithinMs + SLACK_MS)
  expect(probe.verdicts.filter((code) => code !== 'view-not-current')).toEqual([])
  if (trouble.says !== undefined) expect([...said, ...probe.reasons].join('\n')).toMatch(trouble.says)

  // The holder lives: it is not fenced, has its grant, and gives it on as ever.
  const { plane } = locking
  expect(plane.fences({ limit: 10, after: null }).items).toEqual([])
  expect(plane.lock(VOLUME).owners).toMatchObject([{ session, token: String(token), state: 'open' }])
  expect(await patiently(() => plane.keepAlive(session))).not.toBeNull()
  const next = await patiently(() => openSession(locking))
  const taking = patiently(() => take(locking, next, 30_000))
  await patiently(() => plane.release(VOLUME, session))
  expect(await taking).toBeGreaterThan(token)
}

/** As a client of the control API does on a 503. */
async function patiently<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (attempt === 20) throw error
      await wait(100)
    }
  }
}

describe.skipIf(!etcdAvailable())('a gateway over etcd', () => {
  afterAll(() => {
    if (process.env['FENCEGATE_SCALE'] !== undefined) process.stdout.write(`${figures.join('\n')}\n`)
  })

  for (const members of [3, 1] as const)
    describe(`of ${members} member(s)`, () => {
      let etcd: EtcdCluster
      beforeAll(async () => {
        etcd = await startEtcd({ members, ...(members === 1 ? { quotaBytes: QUOTA_BYTES } : {}) })
      }, 90_000)
      afterAll(() => etcd.stop())
      afterEach(async () => {
        for (const member of frozen) thaw(etcd, member)
        for (const member of etcd.members) if (!etcd.runs(member)) await etcd.restart(member)
      })

      test.each(
        TROUBLES.filter((trouble) => trouble.members === members).map(
          (trouble) => [trouble.name, trouble] as const,
        ),
      )(
        '%s: stops in time, serves again in time, and fences nobody',
        async (_name, trouble) => endure(await gatewayOn(etcd), trouble),
        120_000,
      )

      if (members === 3)
        test('lets no gateway on a member that lags admit the old owner after the new one', async () => {
          const far = etcd.member(2)
          const near = await gatewayOn(etcd, { members: others(etcd, far) })
          const late = await gatewayOn(etcd, { members: [far], prefix: near.prefix })
          const session = await openSession(near.locking)
          const old = await take(near.locking, session, 0)
          const probe = new Probe(late.locking, old)
          clean.push(() => probe.stop())
          await expect.poll(() => probe.lastAdmittedAtMs, PATIENT).toBeGreaterThan(0)
          freeze(etcd, far)
          await patiently(() => near.locking.plane.release(VOLUME, session))
          const releasedAtMs = performance.now()
          const next = await patiently(() => openSession(near.locking))
          const token = await take(near.locking, next, 60_000)
          const grantedAtMs = performance.now()
          // Not before the lease of the one that lags was over, and its quiet time.
          expect(grantedAtMs - releasedAtMs).toBeGreaterThan(500)
          expect(probe.lastAdmittedAtMs).toBeLessThan(grantedAtMs)
          thaw(etcd, far)
          const seen = new Probe(late.locking, token)
          clean.push(() => seen.stop())
          await expect.poll(() => seen.lastAdmittedAtMs, PATIENT).toBeGreaterThan(0)
          await expect.poll(() => probe.verdicts, PATIENT).toContain('stale-token')
          expect(probe.lastAdmittedAtMs).toBeLessThan(grantedAtMs)
        }, 120_000)
    })
})
