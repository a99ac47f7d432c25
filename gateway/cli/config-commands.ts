// `serve`, `check`, `explain`, `policies`: what begins with a configuration file.

import { type Config, type ConfigFault, formatFault, formatFaults, nearest } from '../config/index.ts'
import { REFUSALS } from '../core/verdict.ts'
import { type Classification, callHead } from '../spi/policy.ts'
import type { Command, Invocation, OptionTerms } from './arguments.ts'
import type { CommandDependencies } from './dependencies.ts'
import { CommandFailure, JSON_OPTION } from './remote.ts'
import { printable, table } from './table.ts'
import { asJson } from './watch-commands.ts'

const FILE: OptionTerms = { type: 'string', short: 'c', value: 'FILE', help: 'the configuration' }

export const serve: Command = {
  name: 'serve',
  summary: 'runs the gateway',
  positionals: [],
  options: { config: { ...FILE, required: true } },
  run(invocation, dependencies) {
    const file = fileOf(invocation)
    const config = configOf(file, dependencies, (warning) =>
      dependencies.stderr.write(`warning: ${formatFault(warning)}\n`),
    )
    return dependencies.serve({ config, file, reload: () => dependencies.loadConfig(file) })
  },
}

export const check: Command = {
  name: 'check',
  summary: 'validates a configuration and prints all that is wrong with it',
  positionals: [],
  options: { config: { ...FILE, required: true }, ...JSON_OPTION },
  notes: 'Exits with 0 where the configuration can be served, warnings or not, else with 1.',
  run(invocation, dependencies) {
    const { stdout } = dependencies
    const file = fileOf(invocation)
    const result = dependencies.loadConfig(file)
    const faults = result.kind === 'faulty' ? result.faults : []
    if (invocation.flag('json'))
      stdout.write(asJson({ valid: result.kind === 'loaded', faults, warnings: result.warnings }))
    else {
      stdout.write(formatFaults(faults))
      for (const warning of result.warnings) stdout.write(`warning: ${formatFault(warning)}\n`)
      if (result.kind === 'loaded') stdout.write(`${file} is valid\n`)
    }
    return Promise.resolve(result.kind === 'loaded' ? 0 : 1)
  },
}

export const explain: Command = {
  name: 'explain',
  summary: 'says which rule a call meets, what it needs, and why no other rule did',
  positionals: ['METHOD', 'URL'],
  options: {
    config: { ...FILE, required: true },
    header: {
      type: 'string',
      short: 'H',
      value: 'NAME:VALUE',
      multiple: true,
      help: 'a header field; may be repeated',
    },
    data: { type: 'string', short: 'd', value: 'BODY', help: 'the body' },
    ...JSON_OPTION,
  },
  notes: 'URL is that of a backend listener of the configuration, or BACKEND:/path.',
  run(invocation, dependencies) {
    const config = configOf(fileOf(invocation), dependencies)
    const [method = '', url = ''] = invocation.positionals
    const { backend, target } = findBackend(url, config)
    const policy = dependencies.policyOf(config, backend)
    const data = Buffer.from(invocation.text('data') ?? '')
    const length = data.length === 0 ? {} : { 'content-length': String(data.length) }
    const headers = { ...length, ...headersOf(invocation.texts('header')) }
    const head = callHead(method.toUpperCase(), target, headers)
    const needed = policy.bodyBytesNeeded(head)
    const body = needed === 0 ? null : data
    if (body !== null && body.length > needed)
      throw new CommandFailure(
        `the policy ${policy.name} reads bodies of at most ${needed} bytes: this one is too-large`,
      )
    const { classification, trace } = policy.explain(head, body)
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson({ backend, policy: policy.name, ...flat(classification), trace })
        : describe(backend, policy.name, classification, trace),
    )
    return Promise.resolve(0)
  },
}

const POLICY_OPTIONS = { config: { ...FILE, help: 'a configuration with packs of its own' }, ...JSON_OPTION }

export const policiesList: Command = {
  name: 'policies list',
  summary: 'lists the policies that a backend can name',
  positionals: [],
  options: POLICY_OPTIONS,
  run(invocation, dependencies) {
    const items = catalogOf(invocation, dependencies).list()
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson({ items })
        : table(
            ['POLICY', 'SUMMARY'],
            items.map(({ name, summary }) => [name, summary]),
          ),
    )
    return Promise.resolve(0)
  },
}

export const policiesDescribe: Command = {
  name: 'policies describe',
  summary: 'shows a policy with its rules',
  positionals: ['NAME'],
  options: POLICY_OPTIONS,
  run(invocation, dependencies) {
    const [name = ''] = invocation.positionals
    const catalog = catalogOf(invocation, dependencies)
    const found = catalog.describe(name)
    if (found === null)
      throw unknownName(
        'policy',
        name,
        catalog.list().map((policy) => policy.name),
      )
    dependencies.stdout.write(invocation.flag('json') ? asJson(found.json) : `${found.text.trimEnd()}\n`)
    return Promise.resolve(0)
  },
}

/** A failure with all its faults where it has some. Of warnings `serve` and `check` tell: elsewhere they are not what was asked. */
export function configOf(
  file: string,
  dependencies: CommandDependencies,
  tell: (warning: ConfigFault) => unknown = () => undefined,
): Config {
  const result = dependencies.loadConfig(file)
  for (const warning of result.warnings) tell(warning)
  if (result.kind === 'loaded') return result.config
  throw new CommandFailure(`${formatFaults(result.faults)}${file} cannot be used until this is corrected`)
}

export function fileOf(invocation: Invocation): string {
  return invocation.text('config') ?? ''
}

export function unknownName(what: string, name: string, known: readonly string[]): CommandFailure {
  const meant = nearest(name, known)
  const there = known.length === 0 ? 'there is none' : `there are ${known.join(', ')}`
  return new CommandFailure(
    `there is no ${what} "${name}": ${there}${meant === null ? '' : `; did you mean "${meant}"?`}`,
  )
}

function catalogOf(invocation: Invocation, dependencies: CommandDependencies) {
  const file = invocation.text('config')
  return dependencies.policies(file === undefined ? null : configOf(file, dependencies))
}

function findBackend(url: string, config: Config): { readonly backend: string; readonly target: string } {
  const names = Object.keys(config.backends)
  const short = /^([A-Za-z0-9][A-Za-z0-9._-]*):(\/(?!\/).*)$/s.exec(url)
  if (short !== null) {
    const [, backend = '', target = ''] = short
    if (!names.includes(backend)) throw unknownName('backend', backend, names)
    return { backend, target }
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new CommandFailure(
      `"${url}" is neither a URL nor BACKEND:/path; there are the backends ${names.join(', ')}`,
    )
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const number = Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port)
  const here = Object.entries(config.backends).filter(([, { listen }]) => listen.port === number)
  const found =
    here.find(([, { listen }]) => listen.host === host) ?? (here.length === 1 ? here[0] : undefined)
  if (found === undefined)
    throw new CommandFailure(
      `no backend listens at ${hostname}:${number}; write BACKEND:/path with one of ${names.join(', ')}`,
    )
  // As written, not as the URL parser would clean it: the policy judges what a client sends.
  const target = /^https?:\/\/[^/?#]*([^#]*)/is.exec(url)?.[1] ?? ''
  return { backend: found[0], target: target.startsWith('/') ? target : `/${target}` }
}

function headersOf(fields: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const field of fields) {
    const colon = field.indexOf(':')
    if (colon < 1) throw new CommandFailure(`"${field}" is not a header field: write -H "Name: value"`)
    const name = field.slice(0, colon).trim().toLowerCase()
    const value = field.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return headers
}

function flat(classification: Classification) {
  if (classification.kind === 'refused')
    return { verdict: classification.refusal.code, why: classification.refusal.detail }
  const { effect, rule, locks, waitMs, target } = classification
  return { effect, rule, locks, wait: waitMs / 1000, target }
}

function describe(
  backend: string,
  policy: string,
  classification: Classification,
  trace: readonly string[],
): string {
  const lines = [`backend  ${backend}`, `policy   ${policy}`]
  if (classification.kind === 'refused') {
    const { code, detail } = classification.refusal
    lines.push(`verdict  ${code}: ${detail}; ${REFUSALS[code].remedy}`)
  } else {
    const { effect, rule, locks, waitMs, target } = classification
    lines.push(`target   ${target}`, `rule     ${rule}`, `effect   ${effect}`)
    for (const lock of locks) lines.push(`lock     ${lock.name} (${lock.mode})`)
    if (effect === 'mutate') lines.push(`wait     ${waitMs / 1000}s during a handover`)
  }
  for (const line of trace) lines.push(`why      ${line}`)
  return lines.map((line) => `${printable(line)}\n`).join('')
}
