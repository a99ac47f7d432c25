// Reads and writes a record of each kind before the gateway serves. A schema is compiled when it is first used, for milliseconds in which
// nothing else goes on: the first expiry and the first trouble would pay for it.

import type { FenceRecord } from '../core/fence-record.ts'
import type { Grant, LockRecord } from '../core/lock-record.ts'
import type { IncarnationId, LockName, Revision, SessionId } from '../core/names.ts'
import {
  bindingRecords,
  fenceRecords,
  gatewayRecords,
  lockRecords,
  sessionRecords,
  watermarks,
} from './records.ts'

const AT = '2000-01-01T00:00:00.000Z'
const SESSION = '1' as SessionId
const NAME = 'a' as LockName
const GATEWAY = 'a' as IncarnationId
const REVISION = 1 as Revision

const GRANT = {
  key: 'a',
  createRevision: REVISION,
  session: SESSION,
  mode: 'exclusive',
  openedAt: AT,
} as const
const SEALED = {
  state: 'sealed',
  cause: 'expired',
  sealedAt: AT,
  fence: SESSION,
  drainedAt: [GATEWAY],
} as const
/** Each with something that goes past the reading without a schema. */
const GRANTS: readonly Grant[] = [
  { ...GRANT, state: 'open', formerMode: 'exclusive' },
  { ...GRANT, state: 'changing', replaced: REVISION },
  { ...GRANT, ...SEALED, afterFences: [SESSION] },
]
const LOCK: LockRecord = { lock: NAME, highWater: REVISION, grants: GRANTS }

const FENCE: Omit<FenceRecord, 'progress'> = {
  id: SESSION,
  cause: 'expired',
  by: null,
  reason: null,
  holder: { id: 'a' },
  fenceInfo: { a: 'a' },
  plan: 'a',
  levels: [['a']],
  targets: ['a'],
  createdAt: AT,
  attempts: [
    { level: 0, fencer: 'a', number: 1, startedAt: AT, endedAt: AT, outcome: 'verified', output: '' },
  ],
  proofs: [{ fencer: 'a', proves: ['flushed'], sealedThrough: 0, observedAt: AT, observed: '', request: '' }],
}
const PROGRESS: readonly FenceRecord['progress'][] = [
  { state: 'due', level: 0 },
  { state: 'running', level: 0, claim: { incarnation: GATEWAY, lease: null } },
  { state: 'blocked', reason: 'a' },
  { state: 'closed', outcome: 'fenced', closedAt: AT, by: null, reason: null },
]

let isWarm = false

/** Once in a process. */
export function warmUp(): void {
  if (isWarm) return
  isWarm = true
  lockRecords.decode(lockRecords.encode(LOCK))
  for (const progress of PROGRESS) fenceRecords.decode(fenceRecords.encode({ ...FENCE, progress }))
  const session = { holder: { id: 'a' }, fenceInfo: {}, plan: null, targets: [], ttlMs: 1, openedAt: AT }
  sessionRecords.decode(sessionRecords.encode(session))
  bindingRecords.decode(bindingRecords.encode({ session: SESSION }))
  const formats = { reads: 1, writes: 1 }
  gatewayRecords.decode(
    gatewayRecords.encode({ state: 'serving', quietMs: 1, name: 'a', startedAt: AT, formats }),
  )
  watermarks.decode(watermarks.encode({ beat: 0, sealed: 0, open: [['a', 1, 'draining']] }))
}
