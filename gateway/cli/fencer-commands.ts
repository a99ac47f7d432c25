// `fencers`: which drivers there are, what they need, and whether a configured one could do its job. Never strikes.

import { z } from 'zod'
import { type Config, openInventory } from '../config/index.ts'
import { fillFenceInfo } from '../core/fence-info-template.ts'
import { describeIssues, schemaWords } from '../core/schema-words.ts'
import { createRedactor, infoSecrets, type Redactor } from '../fencing/redaction.ts'
import { type Attempt, FenceInfoFault, type Fencer, type FencerDriver } from '../spi/fencer.ts'
import type { Command } from './arguments.ts'
import { configOf, fileOf, unknownName } from './config-commands.ts'
import type { CommandDependencies } from './dependencies.ts'
import { CommandFailure, connect, JSON_OPTION, REMOTE_OPTIONS } from './remote.ts'
import { printable, table } from './table.ts'
import { asJson } from './watch-commands.ts'

export const fencersList: Command = {
  name: 'fencers list',
  summary: 'lists the fencing drivers',
  positionals: [],
  options: JSON_OPTION,
  run(invocation, { stdout, drivers }) {
    const items = drivers.map(({ id, summary }) => ({ driver: id, summary }))
    stdout.write(
      invocation.flag('json')
        ? asJson({ items })
        : table(
            ['DRIVER', 'SUMMARY'],
            items.map(({ driver, summary }) => [driver, summary]),
          ),
    )
    return Promise.resolve(0)
  },
}

export const fencersDescribe: Command = {
  name: 'fencers describe',
  summary: 'shows a driver’s options and what it needs of fenceInfo',
  positionals: ['NAME'],
  options: JSON_OPTION,
  run(invocation, { stdout, drivers }) {
    const driver = driverOf(invocation.positionals[0] ?? '', drivers)
    const options = schemaOf(driver.options)
    const fenceInfo = schemaOf(driver.fenceInfo)
    stdout.write(
      invocation.flag('json')
        ? asJson({ driver: driver.id, summary: driver.summary, options, fenceInfo })
        : `${driver.id}: ${driver.summary}\n\noptions\n${fields(options)}\nfenceInfo\n${fields(fenceInfo)}`,
    )
    return Promise.resolve(0)
  },
}

const State = z.looseObject({
  fencer: z.string(),
  driver: z.string(),
  state: z.string(),
  reason: z.string().nullable(),
  monitoredAt: z.string().nullable(),
  lastResortOf: z.array(z.string()),
})

export const fencersStatus: Command = {
  name: 'fencers status',
  summary: 'shows what the gateway found when it last asked its fencers whether they could do their job',
  positionals: [],
  options: { ...JSON_OPTION, ...REMOTE_OPTIONS },
  notes: 'Exits with 1 where one of them could not.',
  async run(invocation, dependencies) {
    const all = await connect(invocation, dependencies).list('/v1/fencers', State)
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson({ items: all })
        : table(
            ['FENCER', 'DRIVER', 'STATE', 'ASKED', 'LAST RESORT OF', 'WHY'],
            all.map(({ fencer, driver, state, monitoredAt, lastResortOf, reason }) => [
              fencer,
              driver,
              state,
              monitoredAt ?? 'never',
              lastResortOf.join(','),
              reason ?? '',
            ]),
          ),
    )
    return all.some(({ state }) => state === 'unhealthy') ? 1 : 0
  },
}

export const fencersTest: Command = {
  name: 'fencers test',
  summary: 'asks a configured fencer whether it could do its job, and what it sees of a holder',
  positionals: ['NAME'],
  options: {
    config: { type: 'string', short: 'c', value: 'FILE', required: true, help: 'the configuration' },
    info: {
      type: 'string',
      value: 'KEY=VALUE',
      multiple: true,
      help: 'of a holder’s fenceInfo; may be repeated',
    },
    plan: {
      type: 'string',
      value: 'PLAN',
      help: 'fill the fenceInfo of this plan in, from --info and --holder',
    },
    holder: {
      type: 'string',
      value: 'KEY=VALUE',
      multiple: true,
      help: 'what the holder says of himself, for --plan: host=compute-3; may be repeated',
    },
    timeout: { type: 'string', value: 'SECONDS', help: 'how long to wait (default: 30)' },
    ...JSON_OPTION,
  },
  notes:
    'Only looks: it monitors, and with --info or --plan it verifies. It fences nobody. With --plan it goes the way of a session: the plan’s templates, the inventory, and what the driver demands.',
  async run(invocation, dependencies) {
    const config = configOf(fileOf(invocation), dependencies)
    const [name = ''] = invocation.positionals
    const configured = Object.hasOwn(config.fencers, name) ? config.fencers[name] : undefined
    if (configured === undefined) throw unknownName('fencer', name, Object.keys(config.fencers))
    const driver = driverOf(configured.driver, dependencies.drivers)
    const seconds = Number(invocation.text('timeout') ?? '30')
    if (!(seconds > 0 && seconds <= 3600)) throw new CommandFailure('--timeout takes seconds from 0 to 3600')

    const pairs = invocation.texts('info')
    const plan = invocation.text('plan')
    if (plan === undefined && invocation.texts('holder').length > 0)
      throw new CommandFailure('--holder is for the templates of a plan: name it with --plan')
    const told =
      plan === undefined
        ? textsOf(pairs)
        : filledInfo({ name, plan, config, pairs, holder: invocation.texts('holder') })
    const options = configured.options.reveal()
    // As in the records: an inventory may hold secrets that whoever rehearses a plan is not to see.
    const hide = infoSecrets(dependencies.drivers, config.fences.secretInfo).redactor(told)
    const hideOptions = createRedactor(options)
    const result = await look(driver, options, {
      info: plan === undefined && pairs.length === 0 ? null : infoOf(driver, told, hide),
      timeoutMs: seconds * 1000,
      redact: (text) => hideOptions(hide(text)),
      dependencies,
    })
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson(result)
        : [
            `fencer   ${name} (${driver.id})`,
            ...(result.target === null ? [] : [`target   ${result.target}`]),
            `monitor  ${result.monitor ?? 'ok'}`,
            ...(result.verify === null ? [] : [`verify   ${result.verify}`]),
            ...result.notes.map((note) => `note     ${note}`),
          ]
            .map((line) => `${printable(line)}\n`)
            .join(''),
    )
    return result.monitor === null ? 0 : 1
  },
}

interface Look {
  readonly target: string | null
  /** What is wrong with the fencer; null where nothing is. */
  readonly monitor: string | null
  readonly verify: string | null
  readonly notes: readonly string[]
}

async function look(
  driver: FencerDriver,
  options: unknown,
  about: {
    readonly info: unknown
    readonly timeoutMs: number
    readonly redact: Redactor
    readonly dependencies: CommandDependencies
  },
): Promise<Look> {
  const { redact } = about
  const { clock } = about.dependencies
  const notes: string[] = []
  const note = (line: string): void => void notes.push(redact(line).slice(0, 4096))
  const over = new AbortController()
  const timer = clock.after(about.timeoutMs, () => over.abort(new Error('no answer in time')))
  const late = new Promise<never>((_resolve, reject) => {
    over.signal.addEventListener('abort', () => reject(new Error('no answer in time')), { once: true })
  })
  // Handled wherever it is raced; this keeps a late rejection from counting as unhandled.
  late.catch(() => undefined)
  const fencer = driver.create(driver.options.parse(options), { clock, note })
  try {
    const monitor = await Promise.race([fencer.monitor({ clock, note, signal: over.signal }), late]).then(
      () => null,
      (error: unknown) => redact(error instanceof Error ? error.message : String(error)),
    )
    if (about.info === null) return { target: null, monitor, verify: null, notes }
    const target = redact(`${driver.id}:${driver.target(about.info)}`)
    const refusal = refusalOf(fencer, about.info)
    const fault = refusal === null ? null : redact(refusal)
    if (fault !== null)
      return { target, monitor: monitor ?? fault, verify: `no session would be opened: ${fault}`, notes }
    const attempt: Attempt = {
      clock,
      note,
      fenceId: 'test',
      number: 1,
      signal: over.signal,
      // Looking is all that this command ever does.
      mayStrike: () => false,
      deadlineMs: clock.monotonicMs() + about.timeoutMs,
    }
    const verify = await Promise.race([fencer.verify(about.info, attempt), late]).then(
      (seen) =>
        seen.state === 'fenced'
          ? `fenced: ${seen.evidence.observed} (${seen.evidence.request})`
          : `${seen.state}: ${seen.reason}`,
      (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`,
    )
    return { target, monitor, verify: redact(verify), notes }
  } finally {
    timer.cancel()
    await fencer.close?.()
  }
}

/** What the fencer, as it is configured, could not act on. */
function refusalOf(fencer: Fencer<unknown>, info: unknown): string | null {
  try {
    fencer.check?.(info)
    return null
  } catch (error) {
    if (error instanceof FenceInfoFault) return error.message
    throw error
  }
}

function driverOf(id: string, drivers: readonly FencerDriver[]): FencerDriver {
  const driver = drivers.find((candidate) => candidate.id === id)
  if (driver === undefined)
    throw unknownName(
      'driver',
      id,
      drivers.map((candidate) => candidate.id),
    )
  return driver
}

/** As the plan makes it of what a holder says; a failure says what no session could be opened for. */
function filledInfo(asked: {
  readonly name: string
  readonly plan: string
  readonly config: Config
  readonly pairs: readonly string[]
  readonly holder: readonly string[]
}): Readonly<Record<string, unknown>> {
  const { name, plan, config } = asked
  const found = Object.hasOwn(config.plans, plan) ? config.plans[plan] : undefined
  if (found === undefined) throw unknownName('plan', plan, Object.keys(config.plans))
  if (!found.levels.flat().includes(name))
    throw new CommandFailure(`${name} is in no level of plan ${plan}: ${found.levels.flat().join(', ')} are`)
  const broken: string[] = []
  const host =
    config.inventory === undefined ? () => null : openInventory(config.inventory, (line) => broken.push(line))
  const filled = fillFenceInfo(found.fenceInfo, {
    holder: textsOf(asked.holder),
    fenceInfo: textsOf(asked.pairs),
    host,
  })
  if (filled.kind === 'faulty')
    throw new CommandFailure(
      `plan ${plan} would refuse such a session: ${[...filled.faults, ...broken].join('; ')} (say more with --holder KEY=VALUE or --info KEY=VALUE)`,
    )
  return filled.fenceInfo
}

function textsOf(pairs: readonly string[]): Record<string, unknown> {
  const texts: Record<string, unknown> = {}
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new CommandFailure(`"${pair}" is not KEY=VALUE: write --info pid=4711`)
    texts[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return texts
}

/** `pid=7` may mean the number or the text: the driver's schema decides, the number first. */
function infoOf(driver: FencerDriver, texts: Readonly<Record<string, unknown>>, redact: Redactor): unknown {
  const typed = Object.fromEntries(
    Object.entries(texts).map(([key, value]) => [
      key,
      /^(-?\d{1,15}|true|false)$/.test(String(value)) ? JSON.parse(String(value)) : value,
    ]),
  )
  const first = driver.fenceInfo.safeParse(typed, { error: schemaWords })
  if (first.success) return first.data
  const second = driver.fenceInfo.safeParse(texts)
  if (second.success) return second.data
  const faults = describeIssues(first.error.issues)
  throw new CommandFailure(
    `--info does not satisfy ${driver.id}: ${redact(faults)} (see: fencegate fencers describe ${driver.id})`,
  )
}

const JsonSchema = z.looseObject({
  properties: z.record(z.string(), z.looseObject({})).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.unknown().optional(),
})

function schemaOf(schema: z.ZodType): unknown {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
}

function fields(schema: unknown): string {
  const read = JsonSchema.safeParse(schema)
  const properties = Object.entries(read.data?.properties ?? {})
  if (properties.length === 0)
    return typeof read.data?.additionalProperties === 'object' ? '  any keys\n' : '  none\n'
  return table(
    ['  NAME', 'TYPE', 'NEEDED', 'MEANING'],
    properties.map(([name, terms]) => [
      `  ${name}`,
      typeof terms['type'] === 'string' ? terms['type'] : 'several',
      read.data?.required?.includes(name) === true ? 'yes' : 'no',
      typeof terms['description'] === 'string' ? terms['description'] : '',
    ]),
  )
}
