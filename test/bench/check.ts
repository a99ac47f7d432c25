// The check alone: what the gate's decision, the entry in the ledger and the entry's end cost, with very many locks
// open. Started by measure/check.ts as `node --expose-gc check.ts LOCKS SAMPLES CALLS`; it writes one line `RESULT {…}`
// and ends.

import { invariant } from '../../gateway/core/invariant.ts'
import {
  asLeaseId,
  asLockName,
  type LeaseId,
  type LockName,
  type Revision,
} from '../../gateway/core/names.ts'
import { LockGate } from '../../gateway/locking/gate.ts'
import { Layout } from '../../gateway/locking/layout.ts'
import { Ledger } from '../../gateway/locking/ledger.ts'
import { parkingLimits } from '../../gateway/locking/parking.ts'
import { lockRecords, sessionRecords } from '../../gateway/locking/records.ts'
import { View } from '../../gateway/locking/view.ts'
import type { Clock } from '../../gateway/spi/clock.ts'
import type { AdmissionRequest, Gate } from '../../gateway/spi/gate.ts'
import type { KeyValue } from '../../gateway/spi/store.ts'
import type { CheckFigures, CheckResult } from './measure/check.ts'
import { median } from './median.ts'

/** Few at a time: in the gateway a request has just been made, and is in the cache; the locks are what is far away. */
const PREPARED = 256
/** Prime to every number of locks that one would ask for: the walk meets each lock before it meets one again. */
const STRIDE = 40_503
const HOT_LOCKS = 1_000
const OPENED_AT = '2030-01-01T00:00:00.000Z'

const lockCount = Number(process.argv[2] ?? 100_000)
const sampleCount = Number(process.argv[3] ?? 3)
const callsPerSample = Number(process.argv[4] ?? 1_000_000)

const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** A gate with `lockCount` locks, each held by one of a thousand sessions. */
function openGate(): { readonly gate: Gate; readonly ledger: Ledger; readonly loadMs: number } {
  const layout = new Layout('/bench')
  const ledger = new Ledger({
    clock,
    events: () => undefined,
    drainMs: 60_000,
    recheck: () => null,
    lease: () => ({ valid: () => true }),
    onProgress: () => undefined,
  })
  const view = new View({
    layout,
    clock,
    onChange: () => undefined,
    onSealed: () => undefined,
    onNarrowed: () => undefined,
    onClosed: () => undefined,
  })
  const items: KeyValue[] = []
  for (let i = 0; i < 1_000; i++) {
    items.push(keyValue(layout.canary(leaseOf(i)), '', i + 1, leaseOf(i)))
    const session = {
      holder: { id: `host-${i}` },
      fenceInfo: {},
      plan: null,
      targets: [],
      ttlMs: 60_000,
      openedAt: OPENED_AT,
    }
    items.push(keyValue(layout.session(leaseOf(i)), sessionRecords.encode(session), i + 1, null))
  }
  for (let i = 0; i < lockCount; i++) {
    const lock = nameOf(i)
    const session = leaseOf(i % 1_000)
    const key = layout.waiter(lock, 'exclusive', session)
    const createRevision = tokenOf(i)
    items.push(keyValue(key, '', createRevision, session))
    const grant = {
      state: 'open',
      key,
      createRevision,
      session,
      mode: 'exclusive',
      openedAt: OPENED_AT,
    } as const
    const record = { lock, highWater: createRevision, grants: [grant] }
    // One like it has gone through the check of what is written; a million need not.
    const value = i === 0 ? lockRecords.encode(record) : JSON.stringify({ ...record, version: 1 })
    items.push(keyValue(layout.lockRecord(lock), value, createRevision, null))
  }
  const before = process.cpuUsage()
  view.load({ revision: revision(10_000_000), items })
  const { user, system } = process.cpuUsage(before)
  // The view's currency is one look at the clock, as in the gateway.
  const deadlineMs = clock.monotonicMs() + 3_600_000
  const gate = new LockGate({
    view,
    ledger,
    clock,
    stale: (nowMs) => (nowMs < deadlineMs ? null : 'the lease is over'),
    catchUp: async () => true,
    signing: null,
    parking: parkingLimits(1_024, undefined),
  })
  return { gate, ledger, loadMs: (user + system) / 1000 }
}

function keyValue(key: string, value: string, at: number, lease: LeaseId | null): KeyValue {
  return { key, value, createRevision: revision(at), modRevision: revision(at), lease }
}

function revision(number: number): Revision {
  return number as Revision
}

function tokenOf(i: number): Revision {
  return revision(2_000 + 2 * i)
}

function leaseOf(i: number): LeaseId {
  const lease = asLeaseId((0x694d00000000 + i).toString(16))
  invariant(lease !== null, 'a lease id of the benchmark is malformed')
  return lease
}

/** A new string each time, as from a parser: a string that the map has seen before brings its hash with it. */
function nameOf(i: number): LockName {
  const hex = (0x9e3779b1 * (i + 1)).toString(16).padStart(16, '0')
  const name = asLockName(
    `cinder/volume/${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-8000-${String(i).padStart(12, '0')}`,
  )
  invariant(name !== null, 'a lock name of the benchmark is malformed')
  return name
}

/**
 * The next requests of a walk over the first `reach` locks, in an order that no cache of the processor likes; names are
 * made anew each time.
 */
function prepare(walk: Walk): readonly AdmissionRequest[] {
  const requests: AdmissionRequest[] = []
  for (let i = 0; i < PREPARED; i++) {
    const index = walk.at
    walk.at = (walk.at + STRIDE) % walk.reach
    requests.push({
      backend: 'cinder',
      method: 'POST',
      target: '/v3/project/volumes/id/action',
      rule: 'volume-action',
      locks: [{ name: nameOf(index), mode: 'exclusive' }],
      tokens: [{ lock: null, token: tokenOf(index) + walk.tokenShift, signature: null }],
      waitMs: 0,
      quietMs: null,
    })
  }
  return requests
}

interface Walk {
  readonly reach: number
  readonly tokenShift: number
  at: number
}

interface Measurement {
  readonly title: string
  readonly judged?: boolean
  readonly reach?: number
  readonly tokenShift?: number
  readonly call: (request: AdmissionRequest) => void
}

function measure({
  title,
  judged = false,
  reach = lockCount,
  tokenShift = 0,
  call,
}: Measurement): CheckFigures {
  const walk: Walk = { reach, tokenShift, at: 0 }
  const samples: number[] = []
  // The first sample is for the compiler.
  for (let sample = 0; sample <= sampleCount; sample++) {
    let elapsedUs = 0
    let called = 0
    while (called < callsPerSample) {
      const requests = prepare(walk)
      // This thread's own time: whoever else the machine works for is not in it.
      const before = threadUs()
      for (const request of requests) call(request)
      elapsedUs += threadUs() - before
      called += requests.length
    }
    if (sample > 0) samples.push((elapsedUs * 1000) / called)
  }
  return { title, nanoseconds: median(samples), judged }
}

const bytesBefore = settledBytes()
const { gate, ledger, loadMs } = openGate()
const bytesPerLock = (settledBytes() - bytesBefore) / lockCount
const plainMap = new Map(Array.from({ length: lockCount }, (_, i) => [nameOf(i), i]))
const locks = `${lockCount.toLocaleString('en')} locks`

function threadUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

function settledBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function admit(request: AdmissionRequest): void {
  const result = gate.admit(request, null)
  invariant('kind' in result && result.kind === 'admitted', 'a call with the right token was not admitted')
  result.entry.ended()
}

const figures: readonly CheckFigures[] = [
  measure({ title: `check, ledger entry and its end, ${locks} in turn`, judged: true, call: admit }),
  measure({
    title: `check, ledger entry and its end, ${HOT_LOCKS.toLocaleString('en')} of ${locks}`,
    reach: Math.min(HOT_LOCKS, lockCount),
    call: admit,
  }),
  measure({
    title: `refusal of a stale token, ${locks} in turn`,
    tokenShift: -1,
    call: (request) => {
      const result = gate.admit(request, null)
      invariant('kind' in result && result.kind === 'refused', 'a call with a stale token was not refused')
    },
  }),
  measure({
    title: `for scale: one look into a Map of ${lockCount.toLocaleString('en')} names`,
    call: ({ locks: [lock] }) => {
      invariant(lock !== undefined && plainMap.has(lock.name), 'a name is not in the map')
    },
  }),
]
invariant(ledger.open === 0, `${ledger.open} calls are still in the ledger`)
const result: CheckResult = { figures, bytesPerLock, loadMs }
process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`)
