// A policy in words, for `fencegate policies`: what it is for, and rule by rule what it makes of a call.

import type { Pack } from './pack.ts'
import type { RuleSource } from './schema.ts'

export interface RuleDescription {
  readonly id: string
  /** `*` for every method. */
  readonly methods: readonly string[]
  readonly paths: readonly string[]
  /** What else must hold, in a few words. */
  readonly conditions: readonly string[]
  readonly effect: RuleSource['effect']
  readonly locks: readonly string[]
  readonly job: string | null
  readonly reason: string | null
}

export interface PolicyDescription {
  readonly name: string
  readonly title: string
  readonly documentation: readonly string[]
  readonly notes: string | null
  readonly dialect: string
  readonly defaultLock: string
  readonly waitSeconds: number
  readonly quietSeconds: number | null
  readonly lockTemplates: Readonly<Record<string, string>>
  readonly variables: Readonly<Record<string, string>>
  readonly rules: readonly RuleDescription[]
}

export function describePolicy(pack: Pack): PolicyDescription {
  const { source } = pack
  return {
    name: pack.name,
    title: source.title,
    documentation: source.documentation,
    notes: source.notes ?? null,
    dialect: source.dialect,
    defaultLock: source.default_lock,
    waitSeconds: source.wait,
    quietSeconds: source.quiet ?? null,
    lockTemplates: source.locks,
    variables: source.variables,
    rules: source.rules.map((rule) => describeRule(rule, source.locks)),
  }
}

function describeRule(rule: RuleSource, templates: Readonly<Record<string, string>>): RuleDescription {
  return {
    id: rule.id,
    methods: rule.method === undefined ? ['*'] : listOf(rule.method),
    paths: listOf(rule.path),
    conditions: conditionsOf(rule),
    effect: rule.effect,
    locks: locksOf(rule, templates),
    job: rule.job === undefined ? null : typeof rule.job === 'string' ? rule.job : rule.job.kind,
    reason: rule.reason ?? null,
  }
}

function conditionsOf(rule: RuleSource): readonly string[] {
  const words: string[] = []
  for (const { method, matches } of [rule.soap, rule.zapi, rule.jsonrpc].filter((one) => one !== undefined)) {
    if (method !== undefined) words.push(`method ${shortened(listOf(method))}`)
    if (matches !== undefined) words.push(`method matches ${matches}`)
  }
  if (rule.json?.key !== undefined) words.push(`key ${shortened(listOf(rule.json.key))}`)
  for (const [place, keys] of Object.entries(rule.json?.only ?? {}))
    words.push(`json ${place} has nothing but ${shortened(listOf(keys))}`)
  for (const part of ['query', 'header', 'json', 'soap', 'zapi', 'jsonrpc', 'form'] as const) {
    const facet = rule[part]
    for (const [place, value] of Object.entries(facet?.match ?? {}))
      words.push(`${part} ${place} is ${String(value)}`)
    for (const place of facet?.has ?? []) words.push(`has ${part} ${place}`)
    for (const place of facet?.absent ?? []) words.push(`has no ${part} ${place}`)
  }
  for (const [name, pattern] of Object.entries(rule.where ?? {})) words.push(`${name} matches ${pattern}`)
  return words
}

function locksOf(rule: RuleSource, templates: Readonly<Record<string, string>>): readonly string[] {
  if (rule.effect !== 'mutate') return []
  const locks = rule.locks === undefined ? [] : Array.isArray(rule.locks) ? rule.locks : [rule.locks]
  if (locks.length === 0) return ['(default)']
  return locks.map((lock) => {
    const written = typeof lock === 'string' ? lock : lock.lock
    const suffix = typeof lock !== 'string' && lock.mode === 'shared' ? ' (shared)' : ''
    return `${templates[written] ?? written}${suffix}`
  })
}

function shortened(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 3).join(', ')} and ${names.length - 3} others`
}

function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
