// The configured fencers and plans, put together and checked: what the sequencer runs and sessions are checked against.

import { createHash } from 'node:crypto'
import { type FenceInfoSources, type FenceInfoTemplate, fillFenceInfo } from '../core/fence-info-template.ts'
import type { FencePlanLevels } from '../core/fence-record.ts'
import { describeIssue, schemaWords } from '../core/schema-words.ts'
import type { Clock } from '../spi/clock.ts'
import type { FenceInfoCheck, FencePlanner } from '../spi/fence-planner.ts'
import { FenceInfoFault, type Fencer, type FencerDriver, type Proof } from '../spi/fencer.ts'
import { createRedactor, type InfoSecrets, infoSecrets, type Redactor } from './redaction.ts'
import type { FencerRegistry } from './registry.ts'

export interface FencerSettings {
  readonly driver: string
  readonly options: Readonly<Record<string, unknown>>
}

export interface PlanSettings {
  readonly levels: FencePlanLevels
  /** For each level: how long it is waited before it begins; none where absent. */
  readonly delaysMs?: readonly number[]
  /** Nobody is struck. */
  readonly dryRun?: boolean
  /** Other living sessions that a power fence may take with it without an operator; any number where absent. */
  readonly blastRadiusMax?: number | undefined
  /** Put over what the holder says. */
  readonly fenceInfo?: FenceInfoTemplate
  /** Of each fencer, before its level has failed. */
  readonly attempts: number
  /** Of one attempt, act and verify; waiting for the seal does not count. */
  readonly timeoutMs: number
  readonly brakes: {
    /** Fences of this plan that run at the same time, at all gateways. */
    readonly atOnce: number
    readonly powerPerHour: number
    readonly backoffMs: number
    readonly backoffMsMax: number
  }
}

export const PLAN_DEFAULTS: Omit<PlanSettings, 'levels'> = {
  attempts: 3,
  timeoutMs: 60_000,
  brakes: { atOnce: 4, powerPerHour: 4, backoffMs: 1_000, backoffMsMax: 60_000 },
}

/** Beside the brakes of each plan. */
export interface FencingLimits {
  /** Power fences of all plans in any hour; null: each plan's own brakes are all there is. */
  readonly powerPerHour: number | null
  /** By the fencer's name. */
  readonly fencers: Readonly<Record<string, FencerLimits>>
}

export interface FencerLimits {
  /** Fences for which it is at work at the same time, at all gateways; any number where absent. */
  readonly atOnce?: number | undefined
  /** Fences for which it strikes in any hour, of all gateways; any number where absent. */
  readonly perHour?: number | undefined
}

export const NO_LIMITS: FencingLimits = { powerPerHour: null, fencers: {} }

export interface FencingOptions {
  readonly fencers: Readonly<Record<string, FencerSettings>>
  readonly plans: Readonly<Record<string, PlanSettings>>
  readonly defaultPlan: string | null
  readonly registry: FencerRegistry
  readonly clock: Clock
  /** What the inventory says of a host; null where it does not know it. Absent: there is no inventory. */
  readonly inventory?: FenceInfoSources['host']
  /** Absent: none. */
  readonly limits?: FencingLimits
  /** Keys of fenceInfo that are secret, beside those that drivers mark and those that sound like it. */
  readonly secretInfo?: readonly string[]
  /** What a fencer notes outside of an attempt; redacted already. */
  readonly note?: (fencer: string, line: string) => void
}

export interface ConfiguredFencer {
  readonly name: string
  readonly driver: FencerDriver
  readonly fencer: Fencer<unknown>
  readonly proves: readonly Proof[]
  readonly power: boolean
  readonly asksOperator: boolean
  readonly redact: Redactor
}

export interface Fencing extends FencePlanner {
  readonly secrets: InfoSecrets
  readonly limits: FencingLimits
  readonly fencers: readonly ConfiguredFencer[]
  /** Names of the plans. */
  readonly plans: readonly string[]
  fencer(name: string): ConfiguredFencer | null
  /** How a plan is to be run; the defaults, where the record's plan is no longer configured. */
  settings(plan: string | null): Omit<PlanSettings, 'levels'>
  /** Names of the incarnations that the plan would strike. Throws where the fenceInfo does not satisfy it. */
  targetsOf(plan: string, fenceInfo: Readonly<Record<string, unknown>>): readonly string[]
  /** Frees what the fencers hold. Idempotent. */
  close(): Promise<void>
}

/** All that is wrong with the configured fencers and plans, one line each. */
export class FencingFault extends Error {
  override readonly name = 'FencingFault'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

/** Throws `FencingFault`. Does no I/O. */
export function createFencing(options: FencingOptions): Fencing {
  const faults: string[] = []
  const fencers = new Map<string, ConfiguredFencer>()
  for (const [name, settings] of Object.entries(options.fencers)) {
    const found = options.registry.optionFaults(settings.driver, settings.options)
    const driver = options.registry.driver(settings.driver)
    faults.push(...found.map((fault) => `fencers.${[name, ...fault.path].join('.')}: ${fault.message}`))
    if (found.length === 0 && driver !== null) fencers.set(name, configure(name, driver, settings, options))
  }
  for (const [name, plan] of Object.entries(options.plans)) {
    if (plan.levels.length === 0) faults.push(`plans.${name}.levels: a plan has at least one level`)
    for (const [index, level] of plan.levels.entries()) {
      const place = `plans.${name}.levels.${index}`
      if (level.length === 0) faults.push(`${place}: a level has at least one fencer`)
      if (new Set(level).size < level.length) faults.push(`${place}: a fencer stands twice in this level`)
      for (const fencer of level) {
        if (options.fencers[fencer] === undefined) faults.push(`${place}: there is no fencer ${fencer}`)
      }
    }
  }
  if (options.defaultPlan !== null && options.plans[options.defaultPlan] === undefined) {
    faults.push(`defaultPlan: there is no plan ${options.defaultPlan}`)
  }
  if (faults.length > 0) throw new FencingFault(faults)

  const secrets = infoSecrets(
    [...fencers.values()].map(({ driver }) => driver),
    options.secretInfo ?? [],
  )
  const check = (
    plan: string,
    fenceInfo: Readonly<Record<string, unknown>>,
    moment: 'opening' | 'due' = 'opening',
  ): FenceInfoCheck => {
    const levels = options.plans[plan]?.levels
    if (levels === undefined) return { kind: 'faulty', faults: [`there is no fence plan ${plan}`] }
    const inPlan = new Set(levels.flat())
    const checked = checkInfo([...fencers.values()], inPlan, fenceInfo, moment)
    // A driver may quote what it was told.
    const redact = secrets.redactor(checked.kind === 'complete' ? checked.fenceInfo : fenceInfo)
    return checked.kind === 'complete'
      ? { ...checked, targets: checked.targets.map((target) => withoutSecrets(target, redact)) }
      : { kind: 'faulty', faults: checked.faults.map(redact) }
  }

  return {
    defaultPlan: options.defaultPlan,
    secrets,
    limits: options.limits ?? NO_LIMITS,
    fencers: [...fencers.values()],
    plans: Object.keys(options.plans),
    levels: (plan) => options.plans[plan]?.levels ?? null,
    terms(plan) {
      const settings = options.plans[plan]
      if (settings === undefined) return null
      return { delaysMs: settings.delaysMs ?? [], dryRun: settings.dryRun ?? false }
    },
    fillFenceInfo: (plan, said) =>
      fillFenceInfo(options.plans[plan]?.fenceInfo ?? {}, {
        ...said,
        host: options.inventory ?? (() => null),
      }),
    checkFenceInfo: check,
    targetsOf(plan, fenceInfo) {
      const checked = check(plan, fenceInfo, 'due')
      if (checked.kind === 'faulty') throw new FenceInfoFault(checked.faults.join('; '))
      return checked.targets
    },
    fencer: (name) => fencers.get(name) ?? null,
    settings: (plan) => (plan === null ? undefined : options.plans[plan]) ?? PLAN_DEFAULTS,
    async close() {
      await Promise.all([...fencers.values()].map(async ({ fencer }) => await fencer.close?.()))
    },
  }
}

function configure(
  name: string,
  driver: FencerDriver,
  settings: FencerSettings,
  { clock, note }: FencingOptions,
): ConfiguredFencer {
  const parsed = driver.options.parse(settings.options)
  const redact = createRedactor(settings.options)
  const context = { clock, note: (line: string) => note?.(name, redact(line)) }
  const fencer = driver.create(parsed, context)
  const power = driver.cutsPower?.(parsed) ?? driver.power === true
  const asksOperator = driver.asksOperator?.(parsed) === true
  return { name, driver, fencer, proves: driver.proves(parsed), power, asksOperator, redact }
}

/**
 * The plan's own fencers must be satisfied. The others complete what they recognise, so that an operator can later have
 * the session fenced by another plan: at that moment it is too late to ask which process a pid stood for.
 */
function checkInfo(
  all: readonly ConfiguredFencer[],
  inPlan: ReadonlySet<string>,
  fenceInfo: Readonly<Record<string, unknown>>,
  moment: 'opening' | 'due',
): FenceInfoCheck {
  const faults: string[] = []
  const targets = new Set<string>()
  let completed = fenceInfo
  for (const { name, driver } of all) {
    const required = inPlan.has(name)
    const parsed = driver.fenceInfo.safeParse(completed, { error: schemaWords })
    if (!parsed.success) {
      const found = parsed.error.issues.map((issue) => describeIssue(issue, `${name} (${driver.id}): `))
      if (required) faults.push(...found)
      continue
    }
    if (moment === 'opening' && driver.complete !== undefined) {
      try {
        completed = { ...completed, ...record(driver.complete(parsed.data)) }
      } catch (error) {
        if (!(error instanceof FenceInfoFault)) throw error
        if (required) faults.push(`${name} (${driver.id}): ${error.message}`)
      }
    }
  }
  // Only now: what one driver has filled in may be part of another's target.
  if (moment === 'opening') faults.push(...checkFaults(all, inPlan, completed))
  if (faults.length > 0) return { kind: 'faulty', faults: [...new Set(faults)] }
  for (const { name, driver } of all) {
    if (!inPlan.has(name)) continue
    const target = driver.target(driver.fenceInfo.parse(completed))
    if (target !== '') targets.add(`${driver.id}:${target}`)
  }
  return { kind: 'complete', fenceInfo: completed, targets: [...targets] }
}

/** What the fencers of the plan, as they are configured, could not act on. */
function checkFaults(
  all: readonly ConfiguredFencer[],
  inPlan: ReadonlySet<string>,
  fenceInfo: Readonly<Record<string, unknown>>,
): readonly string[] {
  return all.flatMap(({ name, driver, fencer }) => {
    const parsed = driver.fenceInfo.safeParse(fenceInfo)
    if (!inPlan.has(name) || !parsed.success) return []
    try {
      fencer.check?.(parsed.data)
      return []
    } catch (error) {
      if (!(error instanceof FenceInfoFault)) throw error
      return [`${name} (${driver.id}): ${error.message}`]
    }
  })
}

/** Targets are compared, and stand in records and answers: one with a secret in it is told apart by its hash. */
function withoutSecrets(target: string, redact: Redactor): string {
  return redact(target) === target ? target : createHash('sha256').update(target).digest('hex')
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
