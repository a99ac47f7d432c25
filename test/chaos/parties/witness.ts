// Loaded into a gateway process before its own code (`node --import`): writes down what the shipped code admits, applies and
// reports, in the tick in which it does, and shifts the wall clock when told to. It changes no decision.

import { Barrier } from '../../../gateway/locking/barrier.ts'
import { Incarnation } from '../../../gateway/locking/incarnation.ts'
import { Ledger, LedgerCall } from '../../../gateway/locking/ledger.ts'
import { View } from '../../../gateway/locking/view.ts'
import { nowMs, openLog } from '../log.ts'
import { shiftClock } from './shifted-clock.ts'

const path = process.env['FENCEGATE_CHAOS_LOG']
if (path === undefined) throw new Error('FENCEGATE_CHAOS_LOG names no file')
const log = openLog(path)
/** The gateway counts from the start of its process; of several readings the least disturbed one counts. */
const originMs = Math.max(...Array.from({ length: 50 }, () => nowMs() - performance.now()))
let appliedAtMs = 0

function noteApplied(revision: number, snapshot: boolean): void {
  appliedAtMs = nowMs()
  log({ what: 'applied', atMs: appliedAtMs, revision, snapshot })
}

/** Its number is the last segment of its target. */
export function callNumber(target: string): number {
  return Number(target.slice(target.lastIndexOf('/') + 1))
}

const enter = Ledger.prototype['enter']
Ledger.prototype.enter = function (request, grants, atMs) {
  log({
    what: 'admitted',
    // Read by the gateway before it looked at anything, and after all that it had applied.
    atMs: Math.max(originMs + atMs, appliedAtMs),
    call: callNumber(request.target),
    grants: grants.map(({ name, createRevision, mode }) => ({ lock: name, token: createRevision, mode })),
  })
  return enter.call(this, request, grants, atMs)
}

const recheck = LedgerCall.prototype['recheck']
LedgerCall.prototype.recheck = function () {
  const atMs = nowMs()
  const refusal = recheck.call(this)
  if (refusal === null) log({ what: 'forwarded', atMs, call: callNumber(this.request.target) })
  return refusal
}

const apply = View.prototype['apply']
const load = View.prototype['load']
View.prototype.apply = function (revision, events) {
  noteApplied(revision, false)
  return apply.call(this, revision, events)
}
View.prototype.load = function (snapshot) {
  noteApplied(snapshot.revision, true)
  return load.call(this, snapshot)
}

const ownReport = Barrier.prototype['ownReport']
Barrier.prototype.ownReport = function (handovers) {
  const report = ownReport.call(this, handovers)
  log({ what: 'reported', atMs: nowMs(), sealed: report.sealed })
  return report
}

const register = Incarnation.prototype['register']
Incarnation.prototype.register = function () {
  log({ what: 'incarnation', atMs: nowMs(), id: this.id })
  return register.call(this)
}

process.on('message', (message) => {
  if (typeof message === 'object' && message !== null && 'wallOffsetMs' in message)
    shiftClock(Number(message.wallOffsetMs))
})
// What listens for that must not keep the process from its end.
process.channel?.unref()
