// `sources:`: locks that others keep in etcd in a layout of their own. What the section looks like, what it means beside the
// rest of the configuration, and what the other rooms get of it.

import { z } from 'zod'
import { groupsOf, type LockSource, placeholdersOf, wholeName } from '../core/lock-source.ts'
import type { FaultText, Path } from './document.ts'
import { named, strict, text } from './fields.ts'

const disappearance = z.enum(['released', 'expired'], { error: 'released or expired' })

const pattern = text('a regular expression, of the whole name', 1024).refine(
  (value) => compiled(value) !== null,
  { error: 'a regular expression, with named groups such as (?<id>[0-9a-f-]{36})' },
)

const rule = strict(
  {
    match: pattern,
    /** `{group}` stands for what the group of that name has matched. */
    lock: text('the name of a lock, such as cinder/volume/{id}', 1024),
    holder: text('who has such a lock, for people', 256).optional(),
    /** What the plan's fencers need to find and stop the holder. */
    fenceInfo: z
      .record(z.string(), z.union([z.string().max(1024), z.number(), z.boolean()]), {
        error: 'names with a text, a number, true or false each',
      })
      .default({}),
  },
  'a section with match and lock',
)

const source = strict(
  {
    prefix: text('what all keys of the source begin with, such as /tooz/locks', 512),
    locks: z
      .array(rule, { error: 'a list of sections with match and lock' })
      .min(1, { error: 'at least one section with match and lock' })
      .max(100, { error: 'at most 100 sections' }),
    plan: text('the name of a plan').optional(),
    /** Its holders are not fenced, whatever the default plan says. */
    unfenced: z.boolean({ error: 'true or false' }).default(false),
    onDisappearance: strict(
      { keyDeleted: disappearance.default('released'), leaseEnded: disappearance.default('expired') },
      'a section with keyDeleted and leaseEnded',
    ).prefault({}),
  },
  'a section with prefix and locks',
)
  .refine((value) => value.plan === undefined || !value.unfenced, {
    error: 'plan or unfenced, not both',
    path: ['unfenced'],
  })
  .transform(({ plan, ...rest }) => ({ ...rest, plan: plan ?? null }))

export const sourcesSection = named(source, 'sources by name').default({})

export type SourcesConfig = z.output<typeof sourcesSection>

export function lockSources(sources: SourcesConfig): readonly LockSource[] {
  return Object.entries(sources).map(([name, { locks, ...rest }]) => ({
    ...rest,
    name,
    rules: locks.map(({ match, lock, holder, fenceInfo }) => ({
      match: wholeName(match),
      lock,
      holder: holder ?? null,
      fenceInfo,
    })),
  }))
}

export interface SourcesAsked {
  readonly sources: SourcesConfig
  /** Of our own keys; null where nobody else can reach the store. */
  readonly ownPrefix: string | null
  readonly defaultPlan: string | null
  readonly fault: (path: Path, text: FaultText) => void
  readonly warn: (path: Path, message: string) => void
}

/** Names of plans are left to the caller, who knows how to say which there are. */
export function checkSources({ sources, ownPrefix, defaultPlan, fault, warn }: SourcesAsked): void {
  const all = Object.entries(sources)
  if (all.length > 0 && ownPrefix === null)
    fault(['sources'], {
      message: 'sources are locks that others keep in etcd, and nobody else reaches the embedded store',
      expected: 'no sources, or a store in etcd',
    })
  const taken = ownPrefix === null ? [] : [{ what: 'store.etcd.prefix', prefix: `${ownPrefix}/` }]
  for (const [name, { prefix, locks, plan, unfenced }] of all) {
    const other = taken.find(
      (earlier) => earlier.prefix.startsWith(prefix) || prefix.startsWith(earlier.prefix),
    )
    if (other !== undefined)
      fault(['sources', name, 'prefix'], {
        message: `keys under ${prefix} and under ${other.prefix} (${other.what}) cannot be told apart`,
        expected: 'prefixes of which none begins with another',
      })
    taken.push({ what: `sources.${name}`, prefix })
    for (const [index, rule] of locks.entries())
      checkTemplates(['sources', name, 'locks', index], rule, fault)
    if (plan === null && !unfenced && defaultPlan !== null && locks.some((rule) => isEmpty(rule.fenceInfo)))
      warn(
        ['sources', name],
        `its holders are fenced by the defaultPlan ${defaultPlan}, and some of its locks have no fenceInfo that says whom: where the plan needs it, each expiry will wait for an operator; say plan and fenceInfo, or unfenced: true`,
      )
  }
}

type Rule = SourcesConfig[string]['locks'][number]

function checkTemplates(path: Path, rule: Rule, fault: SourcesAsked['fault']): void {
  const match = compiled(rule.match)
  if (match === null) return
  const groups = groupsOf(match)
  const templates: [Path, unknown][] = [
    [[...path, 'lock'], rule.lock],
    [[...path, 'holder'], rule.holder],
    ...Object.entries(rule.fenceInfo).map(([name, value]): [Path, unknown] => [
      [...path, 'fenceInfo', name],
      value,
    ]),
  ]
  for (const [place, template] of templates)
    for (const name of typeof template === 'string' ? placeholdersOf(template) : [])
      if (!groups.includes(name))
        fault(place, {
          message: `{${name}} stands for no group of match`,
          expected:
            groups.length === 0
              ? 'a group such as (?<id>…) in match'
              : `one of ${groups.map((group) => `{${group}}`).join(', ')}`,
        })
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0
}

function compiled(value: string): RegExp | null {
  try {
    return wholeName(value)
  } catch {
    // What is wrong with it is said by the schema.
    return null
  }
}
