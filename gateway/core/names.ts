// The branded words of the protocol: what they are, and how each is checked at the rim.

import type { Brand } from './brand.ts'

/** A position in the store's one total order of writes; an integer from 1, below 2^53. */
export type Revision = Brand<number, 'Revision'>

/** A lease of the store, in lower-case hex without leading zeros (`%x`, as etcd's own locks write it). */
export type LeaseId = Brand<string, 'LeaseId'>

/** A holder's session. It is named by its lease: one session, one lease, one incarnation of a holder. */
export type SessionId = LeaseId

/** A lock's name: UTF-8, `/`-separated, 1 to 1,024 bytes. */
export type LockName = Brand<string, 'LockName'>

/** A fencing token as clients see it: an integer from 1, below 2^53 (see token.ts for its make-up). */
export type Token = Brand<number, 'Token'>

/** One registration of one gateway process; random, never used again. */
export type IncarnationId = Brand<string, 'IncarnationId'>

export type LockMode = 'exclusive' | 'shared'

export const LOCK_NAME_BYTES_MAX = 1024

/** What is wrong with a lock name, or null where it can be used. */
export function lockNameFault(name: string): string | null {
  if (name.length === 0) return 'a lock name must not be empty'
  // A UTF-16 unit is at most three bytes of UTF-8, so short names need no count.
  if (name.length * 3 > LOCK_NAME_BYTES_MAX && utf8Length(name) > LOCK_NAME_BYTES_MAX)
    return `a lock name has at most ${LOCK_NAME_BYTES_MAX} bytes`
  // One pass, as this is done for every call. The name's ends count as slashes: no part may be empty.
  let before = SLASH
  let hasSurrogates = false
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit < 0x20 || unit === 0x7f) return 'a lock name must not contain control characters'
    if (unit === SLASH && before === SLASH) return EMPTY_PART
    if (unit >= 0xd800 && unit <= 0xdfff) hasSurrogates = true
    before = unit
  }
  if (before === SLASH) return EMPTY_PART
  return hasSurrogates && !name.isWellFormed() ? 'a lock name must be well-formed Unicode' : null
}

const SLASH = 0x2f
const EMPTY_PART = 'a lock name is made of non-empty parts with single slashes between them'

/** The name as a lock name, or null where `lockNameFault` finds something. */
export function asLockName(name: string): LockName | null {
  return lockNameFault(name) === null ? (name as LockName) : null
}

export function asLeaseId(text: string): LeaseId | null {
  return /^[1-9a-f][0-9a-f]{0,15}$/.test(text) ? (text as LeaseId) : null
}

function utf8Length(text: string): number {
  let bytes = 0
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return bytes
}
