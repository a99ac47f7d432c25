// Records, a journal in memory, and fencers that do what a test says: what the tests of this room are made of.

import { z } from 'zod'
import type { FenceAttempt, FenceProof, FenceRecord } from '../../../gateway/core/fence-record.ts'
import { asLeaseId, type IncarnationId, type Revision, type SessionId } from '../../../gateway/core/names.ts'
import type { SessionCounts } from '../../../gateway/core/storm.ts'
import {
  createFencing,
  type Fencing,
  type FencingLimits,
  NO_LIMITS,
  type PlanSettings,
} from '../../../gateway/fencing/plans.ts'
import type { FencerRegistry } from '../../../gateway/fencing/registry.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'
import type { FenceJournal, JournaledFence, Neighbour } from '../../../gateway/spi/fence-journal.ts'
import type { Attempt, FencerDriver, Proof, Verification } from '../../../gateway/spi/fencer.ts'

// The brands are the locking room's to give; tests have no such room.
const incarnations = z.string().transform((text) => text as IncarnationId)
const revisions = z.number().transform((value) => value as Revision)

export function incarnation(name: string): IncarnationId {
  return incarnations.parse(name)
}

export function revision(value: number): Revision {
  return revisions.parse(value)
}

export function sessionId(hex: string): SessionId {
  const id = asLeaseId(hex)
  if (id === null) throw new Error(`${hex} is no lease id`)
  return id
}

export function aRecord(parts: Partial<FenceRecord> = {}): FenceRecord {
  return {
    id: sessionId('a1'),
    cause: 'expired',
    by: null,
    reason: null,
    holder: { id: 'nova-1' },
    fenceInfo: { target: 'nova-1' },
    plan: 'plan',
    levels: [['one']],
    targets: [],
    createdAt: '2030-01-01T00:00:00.000Z',
    progress: { state: 'due', level: 0 },
    attempts: [],
    proofs: [],
    ...parts,
  }
}

export function anAttempt(parts: Partial<FenceAttempt> = {}): FenceAttempt {
  const at = '2030-01-01T00:00:00.000Z'
  return {
    level: 0,
    fencer: 'kill',
    number: 1,
    startedAt: at,
    endedAt: at,
    outcome: 'failed',
    output: '',
    ...parts,
  }
}

export function aProof(fencer: string, observed = 'gone'): FenceProof {
  const observedAt = '2030-01-01T00:00:00.000Z'
  return {
    fencer,
    proves: ['no-new-calls'],
    sealedThrough: revision(7),
    observedAt,
    observed,
    request: 'look',
  }
}

/** One store for any number of gateways; each takes its own journal of it. */
export class MemoryFences {
  readonly #records = new Map<string, JournaledFence>()
  readonly #listeners = new Set<() => void>()
  readonly gone = new Set<string>()
  writes = 0
  /** Many live ones, so that nothing is a storm where a test does not say so. */
  sessions: SessionCounts = { alive: 1_000, ending: 0 }
  neighbours: readonly Neighbour[] = []
  #revision = 10

  put(record: FenceRecord): void {
    this.#records.set(record.id, { record, modRevision: revision(++this.#revision) })
    this.changed()
  }

  /** As they are now. */
  all(): ReadonlyMap<string, JournaledFence> {
    return new Map(this.#records)
  }

  record(id = 'a1'): FenceRecord {
    const found = this.#records.get(id)
    if (found === undefined) throw new Error(`no fence ${id}`)
    return found.record
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  journal(self: string): TestJournal {
    const state: TestJournal['state'] = {
      mayStrike: true,
      sealed: Promise.resolve(revision(99)),
      refuseWrites: 0,
      lostAnswers: 0,
      losesAnswerOf: (_record: FenceRecord) => true,
      reversed: false,
      lagging: null,
    }
    const seen = () => state.lagging ?? this.#records
    const journal: FenceJournal = {
      incarnation: incarnation(self),
      lease: null,
      list: () => (state.reversed ? [...seen().values()].reverse() : [...seen().values()]),
      get: (id) => seen().get(id) ?? null,
      sessions: () => this.sessions,
      neighbours: () => this.neighbours,
      replace: async (record, modRevision) => {
        await Promise.resolve()
        if (state.refuseWrites > 0) {
          state.refuseWrites--
          throw new (await import('../../../gateway/spi/store.ts')).StoreUnavailable('no quorum')
        }
        if (this.#records.get(record.id)?.modRevision !== modRevision) return null
        this.writes++
        this.put(record)
        if (state.lostAnswers > 0 && state.losesAnswerOf(record)) {
          state.lostAnswers--
          throw new (await import('../../../gateway/spi/store.ts')).StoreUnavailable('answer lost')
        }
        return this.#records.get(record.id) ?? null
      },
      onChange: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      mayStrike: () => state.mayStrike,
      isLive: (who) => !this.gone.has(who),
      sealedEverywhere: (_session, signal) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          state.sealed.then(resolve, reject)
        }),
    }
    return Object.assign(journal, { state })
  }
}

export type TestJournal = FenceJournal & {
  readonly state: {
    mayStrike: boolean
    sealed: Promise<Revision>
    /** So many writes are refused without being made; so many are made and their answer is lost. */
    refuseWrites: number
    lostAnswers: number
    losesAnswerOf: (record: FenceRecord) => boolean
    /** It has its fences in another order than other gateways. */
    reversed: boolean
    /** What its view shows meanwhile; null: what there is. */
    lagging: ReadonlyMap<string, JournaledFence> | null
  }
}

export interface Script {
  readonly proves?: readonly Proof[]
  readonly power?: boolean
  readonly accessOnly?: boolean
  readonly options?: Readonly<Record<string, unknown>>
  fence?(attempt: Attempt): Promise<void>
  verify?(attempt: Attempt): Promise<Verification>
  monitor?(signal: AbortSignal): Promise<void>
}

export const SEEN: Verification = { state: 'fenced', evidence: { observed: 'gone', request: 'look' } }
export const ALIVE: Verification = { state: 'not-fenced', reason: 'still there' }

/** A fencing of scripted fencers, one driver for each; what each was asked stands in `log`. */
export function scripted(
  clock: Clock,
  scripts: Readonly<Record<string, Script>>,
  plan: Partial<PlanSettings> & { readonly levels: PlanSettings['levels'] },
  limits: FencingLimits = NO_LIMITS,
): { readonly fencing: Fencing; readonly log: string[] } {
  const log: string[] = []
  const drivers = new Map<string, FencerDriver>()
  for (const [name, script] of Object.entries(scripts)) {
    drivers.set(name, {
      id: name,
      summary: name,
      options: z.record(z.string(), z.unknown()),
      fenceInfo: z.object({ target: z.string() }),
      proves: () => script.proves ?? ['no-new-calls'],
      power: script.power ?? false,
      accessOnly: script.accessOnly ?? false,
      target: () => name,
      create: () => ({
        async fence(_info, attempt) {
          log.push(`${name} fence ${attempt.number}`)
          await script.fence?.(attempt)
        },
        async verify(_info, attempt) {
          log.push(`${name} verify ${attempt.number}`)
          return (await script.verify?.(attempt)) ?? SEEN
        },
        async monitor({ signal }) {
          log.push(`${name} monitor`)
          await script.monitor?.(signal)
        },
      }),
    })
  }
  const registry: FencerRegistry = {
    ids: [...drivers.keys()],
    driver: (id) => drivers.get(id) ?? null,
    optionFaults: () => [],
  }
  const fencers = Object.fromEntries(
    Object.entries(scripts).map(([name, script]) => [name, { driver: name, options: script.options ?? {} }]),
  )
  const brakes = { atOnce: 4, powerPerHour: 4, backoffMs: 1_000, backoffMsMax: 8_000, ...plan.brakes }
  const settings = { attempts: 3, timeoutMs: 10_000, ...plan, brakes }
  const plans = { plan: settings }
  const fencing = createFencing({ fencers, plans, defaultPlan: null, registry, clock, limits })
  return { fencing, log }
}
