// Prefixes as ranges of bytes, which is how both stores keep their keys.

import { invariant } from '../core/invariant.ts'
import type { Prefixes } from '../spi/store.ts'

export interface KeyRange {
  /** The first key of the range. */
  readonly start: Buffer
  /** The first key past it, or null where the range goes on to the last key. */
  readonly end: Buffer | null
}

/** All keys that begin with `prefix`, and no other; the empty prefix stands for all keys. */
export function prefixRange(prefix: string): KeyRange {
  invariant(prefix.isWellFormed(), `a prefix must be well-formed Unicode: ${JSON.stringify(prefix)}`)
  const start = Buffer.from(prefix)
  if (start.length === 0) return { start, end: null }
  const end = Buffer.from(start)
  const last = end.length - 1
  // UTF-8 has no byte 0xff: one more in the last place never carries.
  end.writeUInt8(end.readUInt8(last) + 1, last)
  return { start, end }
}

/** In the order of their keys, and none twice: a prefix that lies under another is left out. */
export function prefixRanges(prefixes: Prefixes): readonly [KeyRange, ...KeyRange[]] {
  const all = typeof prefixes === 'string' ? [prefixes] : [...new Set(prefixes)]
  const ranges = all
    .filter((prefix) => !all.some((other) => other !== prefix && prefix.startsWith(other)))
    .map(prefixRange)
    .toSorted((a, b) => Buffer.compare(a.start, b.start))
  const [first, ...others] = ranges
  invariant(first !== undefined, 'at least one prefix is needed')
  return [first, ...others]
}

/** From the first key of the first range to the last key of the last, with all that lies between. */
export function coveringRange(ranges: readonly [KeyRange, ...KeyRange[]]): KeyRange {
  return { start: ranges[0].start, end: (ranges.at(-1) ?? ranges[0]).end }
}

export function inRange({ start, end }: KeyRange, key: Buffer): boolean {
  return Buffer.compare(key, start) >= 0 && (end === null || Buffer.compare(key, end) < 0)
}
