// The planted bugs that chaos has to find: what the code would look like if somebody had forgotten a rule, and the faults that
// bring it to light.

import type { FaultKind } from './scenario.ts'

export interface PlantedBug {
  readonly name: string
  readonly file: string
  /** Stands exactly once in the file. */
  readonly from: string
  readonly to: string
  /** That bring it to light. */
  readonly faults: readonly FaultKind[]
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'other gateways are not waited for',
    file: 'gateway/locking/barrier.ts',
    from: 'facts = combine(facts, answeredFor(theirs, vouched.has(gateway.incarnation)))',
    to: 'void theirs',
    faults: ['gateway-stop', 'holder-stop'],
  },
  {
    name: 'a watermark counts whatever revision it reports',
    file: 'gateway/locking/barrier.ts',
    from: 'if (watermark.sealed < sealRevision)',
    to: 'if (watermark.sealed < 0)',
    faults: ['gateway-stop', 'cut-gateway-etcd', 'slow-links'],
  },
  {
    name: 'the lock is opened before the calls have ended',
    file: 'gateway/core/handover.ts',
    from: "if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }",
    to: "if (drain.state === 'draining') return null",
    faults: ['holder-stop'],
  },
  {
    name: 'the quiet time is not waited for',
    file: 'gateway/core/handover.ts',
    from: 'if (drain.quietOver) return null',
    to: 'return null',
    faults: ['backend-loses'],
  },
  {
    name: 'a lost answer counts as the end of the call',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'unknown', reason, sinceMs: this.#ledger.nowMs() }\n    this.#ledger.lost(this, reason)",
    to: '    void reason\n    this.#state = ENDED\n    this.#ledger.leave(this)',
    faults: ['backend-loses'],
  },
  {
    name: 'a job counts as ended once it is named',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'job', id, probe }",
    to: '    void [id, probe]\n    this.ended()',
    faults: ['holder-stop'],
  },
  {
    name: 'sealed grants are admitted',
    file: 'gateway/locking/gate.ts',
    from: 'if (grant !== null && !grant.sealed) {',
    to: 'if (grant !== null) {',
    faults: ['holder-stop'],
  },
  {
    name: 'a gateway admits past its lease, on a watch that stands still',
    file: 'gateway/locking/locking.ts',
    from: 'if (!this.#incarnation.valid(',
    to: 'if (Number.NaN > 0 && !this.#incarnation.valid(',
    faults: ['cut-gateway-etcd', 'cut-gateway-etcd-one-way'],
  },
  {
    name: 'the seal is written without its fence record',
    file: 'gateway/locking/conductor.ts',
    from: 'writes.push({ put: layout.fence(fence.id), value: fenceRecords.encode(fence) })',
    to: '',
    faults: ['holder-stop', 'holder-kill'],
  },
  {
    name: 'a fence is not waited for',
    file: 'gateway/core/handover.ts',
    from: "if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }",
    to: '',
    faults: ['holder-kill', 'holder-stop', 'cut-holder-gateways'],
  },
  {
    name: 'every end is a release',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'released'",
    faults: ['holder-stop', 'holder-kill'],
  },
  {
    name: 'every end is an expiry',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'expired'",
    faults: [],
  },
]
