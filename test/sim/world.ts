// One run: everything that a seed decides, from the first process to the verdict of the checker. The same seed gives the
// same history, event by event.

import { createHash } from 'node:crypto'
import type { LockName } from '../../gateway/core/names.ts'
import { bumpEpoch, EpochRefused } from '../../gateway/locking/epoch-bump.ts'
import { epochKeys, findEpoch } from '../../gateway/locking/epoch-record.ts'
import { Layout } from '../../gateway/locking/layout.ts'
import { fenceRecords } from '../../gateway/locking/records.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import { SimulatedBackend } from './backend.ts'
import { check, type Violation } from './checker.ts'
import { ForeignHolder, SOURCE } from './foreign.ts'
import { Gateways } from './gateways.ts'
import type { HistoryEvent } from './history.ts'
import { Holder } from './holder.ts'
import { Logins } from './logins.ts'
import { historyMarks, Marks } from './marks.ts'
import { markVersions } from './next-version.ts'
import { observe } from './observer.ts'
import { Operator } from './operator.ts'
import { CALM, drawProfile, PREFIX, type Profile } from './profile.ts'
import { Random } from './random.ts'
import { Scheduler, SimulatedProcess } from './scheduler.ts'
import { type Backup, SharedState, SimulatedStore } from './store.ts'

export interface Run {
  readonly seed: number
  readonly profile: Profile
  readonly history: readonly HistoryEvent[]
  /** Of the history; equal for equal seeds. */
  readonly hash: string
  readonly steps: number
  readonly marks: Marks
  readonly violations: readonly Violation[]
}

/** Time for leases, quiet times, fences and operators, one after another, for a queue of holders. */
const SETTLE_MS = 60_000
const LAPSE_MS = 30_000
const PROBE_WAIT_MS = 30_000
/** How far back a restored store goes at most, and how long it is watched then. */
const BACKUP_MS = 30_000
const RESTORED_MS = 25_000
const BUMP_MS = 60_000

/** Null where the seed's run is of another theme than the one that is wanted. */
export async function simulate(seed: number): Promise<Run>
export async function simulate(seed: number, theme: string | null): Promise<Run | null>
export async function simulate(seed: number, theme: string | null = null): Promise<Run | null> {
  const history: HistoryEvent[] = []
  const marks = new Marks()
  const mark = historyMarks(marks)
  const record = (event: HistoryEvent) => {
    history.push(event)
    mark(event)
    if (event.kind === 'registered' && gateways.registered(event.gateway) && profile.hasty && !calm)
      operator.vouchInHaste(event.gateway, event.incarnation)
  }
  const crashed = (gateway: string | null, error: unknown) =>
    record({
      kind: 'crashed',
      atMs: scheduler.nowMs,
      gateway,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
  const scheduler = new Scheduler((error) => crashed(null, error))
  const random = new Random(seed)
  const profile = drawProfile(random)
  if (theme !== null && profile.theme !== theme) return null
  const layout = new Layout(PREFIX, profile.sourced ? [SOURCE] : [])
  let calm = false
  /** What revisions of the store are as tokens. */
  let toPosition = (revision: number): number => revision
  const isCalm = () => calm
  const { sharedStore } = profile
  const state = new SharedState({
    scheduler,
    random,
    marks,
    onCommit: (committed) => {
      observe(committed, layout, record, scheduler.nowMs, {
        sharedStore,
        position: (revision) => toPosition(revision),
      })
      markVersions(committed, marks)
    },
  })
  const backend = new SimulatedBackend({ scheduler, random, profile, marks, record })
  const gateways = new Gateways({
    scheduler,
    random,
    profile,
    state,
    faults: () => (calm ? CALM : profile.network),
    marks,
    record,
    strikes: {
      backend,
      kill: (pid) => {
        for (const holder of holders) holder.kill(pid)
      },
      isDead: (pid) => holders.every((holder) => holder.isDead(pid)),
    },
    calm: isCalm,
  })
  let ids = 0
  const common = { scheduler, random, profile, marks, gateways, backend, calm: isCalm }
  const holders = Array.from(
    { length: profile.holders },
    (_, index) =>
      new Holder({ ...common, name: `holder-${index + 1}`, record, crashed, nextId: () => ++ids }),
  )
  new Logins({
    scheduler,
    random: new Random(seed + 2 ** 40),
    gateways,
    holders,
    record,
    position: (revision) => toPosition(revision),
  })
  const foreign = Array.from(
    { length: profile.foreignHolders },
    (_, index) => new ForeignHolder({ ...common, name: `foreign-${index + 1}`, state, layout }),
  )
  const over = backend.over.bind(backend)
  const operator = new Operator({ scheduler, random, profile, marks, gateways, record, calm: isCalm, over })

  const repeat = (meanMs: number | null, act: () => void) => {
    if (meanMs === null) return
    const next = () =>
      scheduler.after(-Math.log(1 - random.unit()) * meanMs, () => {
        if (calm) return
        act()
        next()
      })
    next()
  }
  const { everyMs } = profile
  repeat(everyMs.crash, () => gateways.crash())
  repeat(everyMs.close, () => gateways.close())
  repeat(everyMs.stop, () => gateways.stop())
  repeat(everyMs.partition, () => gateways.partition())
  repeat(everyMs.cut, () => gateways.cut('lost'))
  repeat(everyMs.compaction, () => {
    state.compactedThrough = state.revision
    gateways.cut('compacted')
  })
  repeat(everyMs.stand, () => gateways.stand())
  repeat(everyMs.clockJump, () => gateways.jumpClock())
  repeat(everyMs.order, () => operator.order())
  repeat(everyMs.wave, () => {
    marks.hit('most holders fell silent together')
    for (const holder of holders) if (random.chance(0.9)) holder.fallSilent()
  })
  const endOutage = () => {
    if (state.up) return
    state.comeUp('again')
    gateways.cutAll(0.2)
  }
  repeat(everyMs.outage, () => {
    if (!state.up) return
    marks.hit('store without quorum')
    state.goDown()
    scheduler.after(random.between(200, random.chance(0.5) ? 3_000 : 20_000), endOutage)
  })

  const release = catchUnhandled((error) => crashed(null, error))
  try {
    const never = () => false
    await scheduler.run(profile.chaosMs, never)
    if (profile.restored && (await goBack())) {
      if (!profile.bumped) return judged()
      await beginEpoch()
      await scheduler.run(scheduler.nowMs + profile.chaosMs, never)
    }
    calm = true
    if (sharedStore) endOutage()
    gateways.healAll()
    await scheduler.run(scheduler.nowMs + SETTLE_MS, never)
    tellBlocked()
    record({ kind: 'settled', atMs: scheduler.nowMs, mayBlock: profile.quietMs === null })
    for (const holder of [...holders, ...foreign]) holder.retire()
    await scheduler.run(scheduler.nowMs + LAPSE_MS, never)
    tellBlocked()
    let open = profile.locks.length
    for (const lock of profile.locks) void probe(lock as LockName).finally(() => open--)
    await scheduler.run(scheduler.nowMs + 2 * PROBE_WAIT_MS, () => open === 0)
  } finally {
    release()
  }
  return judged()

  /** False where some gateway had not seen enough to notice it: that is no promise. */
  async function goBack(): Promise<boolean> {
    endOutage()
    const backup: Backup = state.backUp()
    // Until every disk has seen more than the backup.
    await scheduler.run(scheduler.nowMs + BACKUP_MS, () => gateways.lowestMark > backup.revision + 3)
    if (gateways.lowestMark <= backup.revision) return false
    record({ kind: 'restored', atMs: scheduler.nowMs, from: state.revision, to: backup.revision })
    state.goDown()
    state.restore(backup)
    await scheduler.run(scheduler.nowMs + random.between(100, profile.bumped ? 500 : 6_000), () => false)
    state.comeUp('again')
    gateways.cutAll(0.3)
    // An operator who knows what he does is quick, and calls of before are still on their way.
    const seenMs = profile.bumped ? random.between(0, 1_000) : RESTORED_MS
    await scheduler.run(scheduler.nowMs + seenMs, () => false)
    return true
  }

  /** As an operator is told to: gateways and holders are stopped, the epoch begun, and all started again. */
  async function beginEpoch(): Promise<void> {
    gateways.halt()
    for (const holder of holders) holder.stop()
    const { disk } = gateways
    const process = new SimulatedProcess({
      name: 'operator',
      scheduler,
      random,
      rate: 1,
      slowness: { requests: 1, watches: 1 },
    })
    const store = new SimulatedStore({
      state,
      process,
      scheduler,
      random,
      faults: () => CALM,
      shared: sharedStore,
      deafProbability: () => 0,
      onRead: () => undefined,
    })
    let begun = false
    const word = { by: 'operator', reason: 'the disk broke', above: 0, again: false }
    const newId = () => `epoch-${scheduler.steps}`
    const bump = async (): Promise<void> => {
      try {
        await bumpEpoch({ store, prefix: PREFIX, mark: disk, clock: process.clock, newId, ...word })
        begun = true
      } catch (error) {
        if (!(error instanceof StoreUnavailable) && !(error instanceof EpochRefused)) throw error
        scheduler.after(1_000, () => void bump())
      }
    }
    void bump().catch((error: unknown) => crashed('operator', error))
    await scheduler.run(scheduler.nowMs + BUMP_MS, () => begun)
    if (!begun) return
    const keys = epochKeys(layout.root)
    const { epochs } = findEpoch(state.read(keys.record), keys)
    toPosition = (revision) => epochs.position(revision)
    const { items } = state.read(layout.root)
    const fences = items.flatMap(({ key, value }) => {
      const meaning = layout.meaning(key)
      const fence = meaning.kind === 'fence' ? fenceRecords.decode(value) : null
      return fence === null ? [] : [{ session: fence.id, state: fence.progress.state }]
    })
    const sessions = items.flatMap(({ key, lease }) => {
      const meaning = layout.meaning(key)
      return meaning.kind === 'session' ? [meaning.session] : lease === null ? [] : [lease]
    })
    record({ kind: 'bumped', atMs: scheduler.nowMs, epoch: epochs.epoch, fences, sessions })
    gateways.go()
  }

  /** One gateway that says so is enough: what another counts, a gateway cannot judge. */
  function tellBlocked(): void {
    for (const lock of profile.locks)
      for (const { locking } of gateways.all) {
        const info = locking?.plane.lock(lock as LockName)
        if (info?.phase !== 'blocked') continue
        record({ kind: 'blocked', atMs: scheduler.nowMs, lock, reason: info.waitingOn.join('; ') })
        break
      }
  }

  async function probe(lock: LockName): Promise<void> {
    let granted = false
    let detail = 'no answer'
    try {
      const asked = gateways.any()
      if (asked === null) detail = 'no gateway serves'
      else {
        const { plane } = asked.locking
        const { session } = await plane.openSession({
          ttlMs: 120_000,
          holder: { id: 'probe' },
          fenceInfo: { pid: 1 },
          plan: null,
        })
        const request = { lock, session, mode: 'exclusive', waitMs: PROBE_WAIT_MS, note: null } as const
        granted = (await plane.acquire(request, new AbortController().signal)).kind === 'granted'
        detail = granted ? '' : JSON.stringify(plane.lock(lock))
      }
    } catch (error) {
      detail = String(error)
    }
    record({ kind: 'probed', atMs: scheduler.nowMs, lock, granted, detail })
  }

  function judged(): Run {
    const hash = createHash('sha256')
    for (const event of history) hash.update(`${JSON.stringify(event)}\n`)
    const violations = check(history, { whole: true })
    return { seed, profile, history, hash: hash.digest('hex'), steps: scheduler.steps, marks, violations }
  }
}

/** In production the process ends at such an error; here it is a finding. */
function catchUnhandled(found: (error: unknown) => void): () => void {
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', found)
  return () => {
    process.removeListener('unhandledRejection', found)
    for (const listener of others) process.on('unhandledRejection', listener)
  }
}
