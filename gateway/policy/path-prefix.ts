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
  for (const prefix of prefixes) if (isBelow(target, prefix)) return cutOff(target, prefix)
  return cutOff(target, NO_PREFIX)
}

const NO_PREFIX: readonly string[] = []

function isBelow({ segments }: CanonicalTarget, prefix: readonly string[]): boolean {
  for (let at = 0; at < prefix.length; at++) if (segments[at] !== prefix[at]) return false
  return true
}

/** Written out: copying what is there by itself costs several times as much, and this is done for every call. */
function cutOff(target: CanonicalTarget, prefix: readonly string[]): PrefixedTarget {
  return {
    ok: true,
    target: target.target,
    path: target.path,
    query: target.query,
    segments: prefix.length === 0 ? target.segments : target.segments.slice(prefix.length),
    encodedSlash: target.encodedSlash,
    trailingSlash: target.trailingSlash,
    prefix: prefix.length === 0 ? '' : `/${prefix.join('/')}`,
  }
}
