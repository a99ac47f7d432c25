// Fencers of the simulated backend, driven by the shipped sequencer: slow, fallible, and each proving something else. A
// `verify` sees the truth of one instant after it was called.

import { z } from 'zod'
import { createFencing, type Fencing } from '../../gateway/fencing/plans.ts'
import type { FencerRegistry } from '../../gateway/fencing/registry.ts'
import {
  type Attempt,
  defineFencer,
  type FencerDriver,
  type Proof,
  StrikeWithheld,
} from '../../gateway/spi/fencer.ts'
import type { SimulatedBackend } from './backend.ts'
import type { HistoryEvent } from './history.ts'
import { PLANS, type Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler, SimulatedProcess } from './scheduler.ts'

/** What a fencer can do to the world. */
export interface Strikes {
  readonly backend: SimulatedBackend
  /** kill -9 of the process with this pid. */
  readonly kill: (pid: number) => void
  readonly isDead: (pid: number) => boolean
}

export interface SimulatedFencingOptions extends Strikes {
  readonly process: SimulatedProcess
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly record: (event: HistoryEvent) => void
  readonly calm: () => boolean
}

interface Deed {
  readonly proves: readonly Proof[]
  readonly power?: boolean
  readonly accessOnly?: boolean
  readonly strike: (world: Strikes, session: string, pid: number) => void
  readonly isDone: (world: Strikes, session: string, pid: number) => boolean
}

const DEEDS: Readonly<Record<string, Deed>> = {
  kill: {
    proves: ['no-new-calls'],
    strike: ({ kill }, _session, pid) => kill(pid),
    isDone: ({ isDead }, _session, pid) => isDead(pid),
  },
  power: {
    proves: ['no-new-calls'],
    power: true,
    strike: ({ kill }, _session, pid) => kill(pid),
    isDone: ({ isDead }, _session, pid) => isDead(pid),
  },
  sweep: {
    proves: ['swept'],
    strike: ({ backend }, session) => backend.sweep(session),
    isDone: ({ backend }, session) => backend.openCalls(session, 'arrived') === 0,
  },
  block: {
    proves: ['blocks'],
    accessOnly: true,
    strike: ({ backend }, session) => backend.block(session),
    isDone: ({ backend }, session) => backend.isBlocked(session),
  },
  flush: {
    proves: ['flushed'],
    strike: ({ backend }, session) => backend.flush(session),
    isDone: ({ backend }, session) => backend.openCalls(session, 'sent') === 0,
  },
  broken: {
    proves: ['flushed'],
    strike: () => {
      throw new Error('nobody answers')
    },
    isDone: () => false,
  },
}

const NO_OPTIONS = z.strictObject({})
const FENCE_INFO = z.object({ pid: z.number() })

export function simulatedFencing(options: SimulatedFencingOptions): Fencing {
  const drivers = new Map(Object.entries(DEEDS).map(([id, deed]) => [id, driverOf(id, deed, options)]))
  const registry: FencerRegistry = {
    ids: [...drivers.keys()],
    driver: (id) => drivers.get(id) ?? null,
    optionFaults: () => [],
  }
  return createFencing({
    fencers: Object.fromEntries([...drivers.keys()].map((id) => [id, { driver: id, options: {} }])),
    plans: Object.fromEntries(
      Object.entries(PLANS).map(([plan, levels]) => [
        plan,
        {
          levels,
          attempts: 2,
          timeoutMs: 5_000,
          brakes: { atOnce: 2, powerPerHour: 2, backoffMs: 100, backoffMsMax: 1_000 },
        },
      ]),
    ),
    defaultPlan: options.profile.defaultPlan,
    registry,
    clock: options.process.clock,
  })
}

function driverOf(id: string, deed: Deed, options: SimulatedFencingOptions): FencerDriver {
  const { process, random, profile, scheduler, record, calm } = options
  const pause = () =>
    new Promise<void>((resolve) =>
      process.clock.after(random.between(1, calm() ? 50 : profile.fencerDelayMsMax), resolve),
    )
  const driver = defineFencer<unknown, { pid: number }>({
    id,
    summary: id,
    options: NO_OPTIONS,
    fenceInfo: FENCE_INFO,
    proves: () => deed.proves,
    power: deed.power ?? false,
    accessOnly: deed.accessOnly ?? false,
    target: ({ pid }) => String(pid),
    create: () => ({
      async fence({ pid }, attempt: Attempt) {
        await pause()
        if (!calm() && random.chance(profile.fencerFailureProbability)) throw new Error('it did not work')
        if (!attempt.mayStrike()) throw new StrikeWithheld('the claim is in doubt')
        record({
          kind: 'struck',
          atMs: scheduler.nowMs,
          gateway: process.name,
          session: attempt.fenceId,
          fencer: id,
          accessOnly: deed.accessOnly ?? false,
        })
        deed.strike(options, attempt.fenceId, pid)
        await pause()
      },
      async verify({ pid }, attempt: Attempt) {
        await pause()
        const session = attempt.fenceId
        const isDone = deed.isDone(options, session, pid)
        if (isDone) record({ kind: 'verified', atMs: scheduler.nowMs, session, fencer: id })
        await pause()
        return isDone
          ? { state: 'fenced', evidence: { observed: 'all gone', request: 'GET' } }
          : { state: 'not-fenced', reason: 'something is left' }
      },
      monitor: () => Promise.resolve(),
    }),
  })
  return driver as FencerDriver
}
