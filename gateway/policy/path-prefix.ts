// An API that stands below a prefix, as devstack puts Cinder below /volume: its rules are the same there.

import type { CanonicalTarget } from './target.ts'

/** A target, and what of its path stands before the paths of rules. */
export interface PrefixedTarget extends CanonicalTarget {
  /** Such as `/volume`; empty without one. */
  readonly prefix: string
}

/** The prefixes of a pack, the longest first. */
export function splitPrefixes(written: readonly string[]): readonly (readonly string[])[] {
  return written.map((prefix) => prefix.slice(1).split('/')).toSorted((a, b) => b.length - a.length)
}

/** What is forwarded stays the whole of it; what rules see begins behind the prefix. */
export function belowPrefix(
  target: CanonicalTarget,
  prefixes: readonly (readonly string[])[],
): PrefixedTarget {
  const { segments } = target
  const found = prefixes.find((prefix) => prefix.every((segment, at) => segments[at] === segment))
  return found === undefined
    ? { ...target, prefix: '' }
    : { ...target, segments: segments.slice(found.length), prefix: `/${found.join('/')}` }
}
