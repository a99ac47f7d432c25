// Prefixes as ranges of bytes, which is how both stores keep their keys.

import { invariant } from '../core/invariant.ts'

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
