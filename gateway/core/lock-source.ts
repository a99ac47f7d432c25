// Locks that others keep in etcd in a layout of their own: which of their keys stands for which lock of ours, and what is
// known of whoever has one. Pure; the key's name is all that there is to go by.

import { asLockName, type LockName } from './names.ts'

export type Disappearance = 'released' | 'expired'

export interface LockSource {
  readonly name: string
  /** What their keys begin with. The rest is matched as a whole. */
  readonly prefix: string
  /** The first that matches counts. What none matches is no lock of ours. */
  readonly rules: readonly SourceRule[]
  /** Null: the configuration's default plan, unless `unfenced`. */
  readonly plan: string | null
  /** Nobody is fenced, whatever the default plan says. */
  readonly unfenced: boolean
  /** What it means that a key goes while its lease lives, and that it goes with its lease (or that it cannot be told). */
  readonly onDisappearance: { readonly keyDeleted: Disappearance; readonly leaseEnded: Disappearance }
}

export type FenceInfoValue = string | number | boolean

export interface SourceRule {
  /** Of the whole rest of the key, with named groups. */
  readonly match: RegExp
  /** Templates: `{group}` stands for what the group of that name has matched. */
  readonly lock: string
  readonly holder: string | null
  readonly fenceInfo: Readonly<Record<string, FenceInfoValue>>
}

/** A key of a source, read. */
export interface ForeignLock {
  readonly source: LockSource
  readonly lock: LockName
  readonly holder: { readonly id: string; readonly source: string }
  readonly fenceInfo: Readonly<Record<string, FenceInfoValue>>
}

const PLACEHOLDER = /\{([^{}]*)\}/g

/** Anchored at both ends, so that `…vol1` does not take `…vol10`. Throws a SyntaxError. */
export function wholeName(pattern: string): RegExp {
  // Alone first: what is added around it must not complete what is not a pattern by itself.
  const alone = new RegExp(pattern, 'u')
  return new RegExp(`^(?:${alone.source})$`, 'u')
}

export function groupsOf(match: RegExp): readonly string[] {
  // An alternative that is empty always matches, and then every group of the pattern has a name and no value.
  return Object.keys(new RegExp(`${match.source}|`, 'u').exec('')?.groups ?? {})
}

export function placeholdersOf(template: string): readonly string[] {
  return [...template.matchAll(PLACEHOLDER)].map(([, name]) => name ?? '')
}

/** Null for a key that no source claims, or that does not come to a lock's name. */
export function foreignLock(sources: readonly LockSource[], key: string): ForeignLock | null {
  const source = sources.find((other) => key.startsWith(other.prefix))
  if (source === undefined) return null
  const rest = key.slice(source.prefix.length)
  // It was not UTF-8: several keys would be read as this one.
  if (rest.includes('\u{FFFD}')) return null
  for (const rule of source.rules) {
    const found = rule.match.exec(rest)
    if (found === null) continue
    const fill = (template: string) =>
      template.replaceAll(PLACEHOLDER, (_, name: string) => found.groups?.[name] ?? '')
    const lock = asLockName(fill(rule.lock))
    if (lock === null) return null
    return {
      source,
      lock,
      holder: { id: rule.holder === null ? key : fill(rule.holder), source: source.name },
      fenceInfo: Object.fromEntries(
        Object.entries(rule.fenceInfo).map(([name, value]) => [
          name,
          typeof value === 'string' ? fill(value) : value,
        ]),
      ),
    }
  }
  return null
}

/** The same for the same sources: gateways with different ones must not serve beside each other. '' for none. */
export function agreedText(sources: readonly LockSource[]): string {
  if (sources.length === 0) return ''
  const parts = sources.map(({ rules, ...rest }) => ({
    ...rest,
    rules: rules.map(({ match, ...rule }) => ({ ...rule, match: match.source })),
  }))
  return JSON.stringify(parts.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
}
