import { expect, it } from 'vitest'
import { asLeaseId, asLockName, type Revision } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { Ledger } from '../../../gateway/locking/ledger.ts'
import { LiveGrant, LockState } from '../../../gateway/locking/lock-state.ts'
import type { AdmissionRequest } from '../../../gateway/spi/gate.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const lockName = asLockName('volume/1')
const session = asLeaseId('a1')

it('has a sealed lock looked at once nothing but unknown calls is left, so that their quiet time is counted', () => {
  if (lockName === null || session === null) throw new Error('malformed')
  const clock = new ManualClock()
  const looks: number[] = []
  const ledger = new Ledger({
    clock,
    events: () => undefined,
    drainMs: 1_000,
    recheck: () => null,
    lease: () => ({ valid: () => true }),
    onProgress: () => looks.push(ledger.unknownCalls),
  })
  const createRevision: Revision = JSON.parse('5')
  const grant = new LiveGrant(new LockState(lockName, new Layout('/fencegate')), {
    key: 'key',
    createRevision,
    session,
    mode: 'exclusive',
  })
  const request: AdmissionRequest = {
    backend: 'array',
    method: 'POST',
    target: '/',
    rule: 'any',
    locks: [{ name: lockName, mode: 'exclusive' }],
    tokens: [],
    waitMs: 0,
    quietMs: 5_000,
  }
  const enter = () => ledger.enter(request, [grant], clock.monotonicMs())
  const [lost, job, answered] = [enter(), enter(), enter()]
  grant.seal()
  ledger.sealed(grant)
  lost.unknown('the connection broke')
  looks.length = 0
  answered.ended()
  expect(looks).toEqual([])
  job.ended()
  expect(looks).toEqual([1])
})
