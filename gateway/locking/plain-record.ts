// The lock records and watermarks that this version writes nearly always, read without a schema: very many are read when a gateway
// starts, and one at each step of a lock. Whatever is not exactly so is nothing to this file, and left to the schema in records.ts.

import type { Grant, LockRecord } from '../core/lock-record.ts'
import { asLeaseId, asLockName } from '../core/names.ts'
import type { Watermark } from './records.ts'

const RECORD_FIELDS = 4
const OPEN_FIELDS = 6
const SEALED_FIELDS = 9
const WATERMARK_FIELDS = 4

/** The record in `json`, or null where it has anything that is not looked for here. */
export function plainLockRecord(json: unknown, version: number): LockRecord | null {
  if (!isObject(json)) return null
  const { lock, highWater, grants } = json
  if (json['version'] !== version || typeof lock !== 'string' || !isCount(highWater)) return null
  if (!Array.isArray(grants) || countOf(json) !== RECORD_FIELDS) return null
  const name = asLockName(lock)
  if (name === null) return null
  // As they were parsed: nothing has to be left out of them.
  return areGrants(grants) ? { lock: name, highWater, grants } : null
}

/** The watermark in `json`, or null where it has anything that is not looked for here, such as a grant that has not drained. */
export function plainWatermark(json: unknown, version: number): Watermark | null {
  if (!isObject(json) || json['version'] !== version || countOf(json) !== WATERMARK_FIELDS) return null
  const { beat, sealed, open } = json
  if (!isCount(beat) || !isCount(sealed) || !Array.isArray(open) || open.length > 0) return null
  return { beat, sealed, open: [] }
}

function areGrants(grants: readonly unknown[]): grants is readonly Grant[] {
  return grants.every(isPlainGrant)
}

function isPlainGrant(json: unknown): boolean {
  if (!isObject(json)) return false
  const { state, key, createRevision, session, mode, openedAt } = json
  if (typeof key !== 'string' || !isCount(createRevision) || createRevision < 1) return false
  if (typeof session !== 'string' || asLeaseId(session) === null) return false
  if ((mode !== 'exclusive' && mode !== 'shared') || typeof openedAt !== 'string') return false
  if (state === 'open') return countOf(json) === OPEN_FIELDS
  return state === 'sealed' && isPlainSealed(json)
}

function isPlainSealed(json: Readonly<Record<string, unknown>>): boolean {
  const { cause, sealedAt, fence, drainedAt } = json
  if (!isCause(cause) || typeof sealedAt !== 'string') return false
  if (fence !== null && typeof fence !== 'string') return false
  if (!('drainedAt' in json)) return countOf(json) === SEALED_FIELDS
  if (!Array.isArray(drainedAt) || !drainedAt.every(isIncarnation)) return false
  return countOf(json) === SEALED_FIELDS + 1
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function countOf(json: Readonly<Record<string, unknown>>): number {
  let count = 0
  for (const _ in json) count++
  return count
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isCause(value: unknown): boolean {
  return value === 'released' || value === 'expired' || value === 'revoked' || value === 'upgraded'
}

function isIncarnation(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0
}
