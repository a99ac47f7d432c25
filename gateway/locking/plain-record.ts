// The lock records that this version writes nearly always, read without a schema: very many are read when a gateway starts, and one
// at each step of a lock. Whatever is not exactly so is nothing to this file, and left to the schema in records.ts.

import type { Grant, LockRecord, SealCause } from '../core/lock-record.ts'
import {
  asLeaseId,
  asLockName,
  type IncarnationId,
  type LeaseId,
  type LockMode,
  type Revision,
} from '../core/names.ts'

const RECORD_FIELDS = 4
const OPEN_FIELDS = 6
const SEALED_FIELDS = 9

/** The record in `json`, or null where it has anything that is not looked for here. */
export function plainLockRecord(json: unknown, version: number): LockRecord | null {
  if (!isObject(json)) return null
  const { lock, highWater, grants } = json
  if (json['version'] !== version || typeof lock !== 'string' || !isCount(highWater)) return null
  if (!Array.isArray(grants) || countOf(json) !== RECORD_FIELDS) return null
  const name = asLockName(lock)
  if (name === null) return null
  const read: Grant[] = []
  for (const one of grants) {
    const grant = plainGrant(one)
    if (grant === null) return null
    read.push(grant)
  }
  return { lock: name, highWater, grants: read }
}

function plainGrant(json: unknown): Grant | null {
  if (!isObject(json)) return null
  const { state, key, createRevision, session: lease, mode, openedAt } = json
  if (typeof key !== 'string' || !isRevision(createRevision) || typeof lease !== 'string') return null
  if (!isMode(mode) || typeof openedAt !== 'string') return null
  const session = asLeaseId(lease)
  if (session === null) return null
  const grant = { key, createRevision, session, mode, openedAt }
  if (state === 'open') return countOf(json) === OPEN_FIELDS ? { state, ...grant } : null
  return state === 'sealed' ? plainSealed(json, grant) : null
}

function plainSealed(
  json: Readonly<Record<string, unknown>>,
  grant: {
    readonly key: string
    readonly createRevision: Revision
    readonly session: LeaseId
    readonly mode: LockMode
    readonly openedAt: string
  },
): Grant | null {
  const { cause, sealedAt, fence, drainedAt } = json
  if (!isCause(cause) || typeof sealedAt !== 'string') return null
  if (fence !== null && typeof fence !== 'string') return null
  const sealed = { ...grant, state: 'sealed', cause, sealedAt, fence } as const
  if (!('drainedAt' in json)) return countOf(json) === SEALED_FIELDS ? sealed : null
  if (!Array.isArray(drainedAt) || !drainedAt.every(isIncarnation)) return null
  return countOf(json) === SEALED_FIELDS + 1 ? { ...sealed, drainedAt } : null
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

function isRevision(value: unknown): value is Revision {
  return isCount(value) && value >= 1
}

function isMode(value: unknown): value is LockMode {
  return value === 'exclusive' || value === 'shared'
}

function isCause(value: unknown): value is SealCause {
  return value === 'released' || value === 'expired' || value === 'revoked' || value === 'upgraded'
}

function isIncarnation(value: unknown): value is IncarnationId {
  return typeof value === 'string' && value.length > 0
}
