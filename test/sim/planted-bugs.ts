// The planted bugs: for every rule that the protocol cannot do without, what the code would look like if somebody had
// forgotten it. README.md holds the table.

import type { Theme } from './profile.ts'

export interface Edit {
  readonly file: string
  /** Stands exactly once in the file. */
  readonly from: string
  readonly to: string
}

export interface PlantedBug {
  readonly name: string
  /** Only seeds of this theme are run, as the others take longer; their numbers are those of all seeds. */
  readonly theme?: Theme
  readonly edits: readonly Edit[]
}

function bug(name: string, file: string, from: string, to: string): PlantedBug {
  return { name, edits: [{ file, from, to }] }
}

function bugOf(theme: Theme, name: string, file: string, from: string, to: string): PlantedBug {
  return { ...bug(name, file, from, to), theme }
}

const LOCKING = 'gateway/locking'

export const PLANTED_BUGS: readonly PlantedBug[] = [
  // Tokens and the queue
  bugOf(
    'lossy',
    'a release goes by name, not by create revision',
    `${LOCKING}/releases.ts`,
    'return release.tokens === null || release.tokens.has(createRevision)',
    'return release.tokens === null || createRevision > 0',
  ),
  bug(
    'a free lock is admitted before it was swapped to open',
    `${LOCKING}/read-grants.ts`,
    'of lock.record?.grants ?? []) {',
    "of lock.record?.grants ?? lock.queue.slice(0, 1).map((first) => ({ ...first, state: 'open' }))) {",
  ),
  bug(
    'the opening does not compare the key',
    `${LOCKING}/conductor.ts`,
    '...step.open.map((waiter) => ({ key: waiter.key, createRevision: waiter.createRevision })),',
    '',
  ),
  bug(
    'the next owner is opened without a look at the record as it is now',
    `${LOCKING}/conductor.ts`,
    '        { key, modRevision: lock.recordRevision },\n        ...step.open',
    '        ...step.open',
  ),
  bug(
    'a writer is opened beside readers who are still there',
    'gateway/core/handover.ts',
    'if (staying.some((grant) => grant !== base && excludes(grant, waiter))) break',
    '',
  ),
  bug(
    'a token that is news is called stale',
    `${LOCKING}/gate.ts`,
    'if (token > view.applied)',
    'if (token < 0)',
  ),
  // How an owner ends
  {
    name: 'an end is noticed only in the revision in which the key goes',
    edits: [
      {
        file: `${LOCKING}/view.ts`,
        from: 'condemned: (session) => this.condemned(session),\n      nameOf',
        to: 'condemned: (session) => this.condemned(session),\n      departed,\n      nameOf',
      },
      {
        file: `${LOCKING}/read-grants.ts`,
        from: "if (grant.state !== 'sealed' && lock.waiterOf(createRevision) === null) {",
        to: "if (grant.state !== 'sealed' && about.departed.includes(session) && lock.waiterOf(createRevision) === null) {",
      },
    ],
  },
  bug(
    'the canary is not looked at: every end is a release',
    `${LOCKING}/foreign-keys.ts`,
    "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    "'released'",
  ),
  bug(
    'the canary is not looked at: every end is an expiry',
    `${LOCKING}/foreign-keys.ts`,
    "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    "'expired'",
  ),
  bugOf(
    'foreign',
    'the canary is looked at again later',
    `${LOCKING}/read-grants.ts`,
    'lock.endings.get(createRevision) ?? about.causeOf(grant)',
    'about.causeOf(grant)',
  ),
  bug(
    'no canary is asked for before a grant opens',
    `${LOCKING}/waiter-keys.ts`,
    "return view.canaries.has(session) ? null : 'its lease has no canary yet'",
    'return null',
  ),
  bug(
    'the seal is written without its fence record',
    `${LOCKING}/conductor.ts`,
    'writes.push({ put: layout.fence(fence.id), value: fenceRecords.encode(fence) })',
    '',
  ),
  bug(
    'the fence record is written after the seal',
    `${LOCKING}/conductor.ts`,
    'const result = await this.#options.steps.transact({ compare, writes })\n      if (!result.succeeded) return null\n      tellSeal',
    `const isFence = (key: string) => newFences.some((id) => key === layout.fence(id))
      const late = writes.filter((write) => 'put' in write && isFence(write.put))
      const { store } = this.#options
      const result = await store.transact({
        compare: compare.filter(({ key }) => !isFence(key)),
        writes: writes.filter((write) => !late.includes(write)),
      })
      if (!result.succeeded) return null
      if (late.length > 0) await store.transact({ compare: [], writes: late })
      tellSeal`,
  ),
  // Admission
  bug(
    'sealed grants are admitted',
    `${LOCKING}/gate.ts`,
    'if (grant === undefined || grant.sealed || grant.name',
    'if (grant === undefined || grant.name',
  ),
  bug(
    'the gateway does not look at its lease',
    `${LOCKING}/locking.ts`,
    'if (!this.#incarnation.valid(',
    'if (Number.NaN > 0 && !this.#incarnation.valid(',
  ),
  bug(
    'the lease is counted from the answer, and without margin',
    `${LOCKING}/incarnation.ts`,
    'else this.#validUntilMs = sentAtMs + state.ttlMs - margin(state.ttlMs)',
    'else this.#validUntilMs = this.#options.clock.monotonicMs() + 0 * sentAtMs + state.ttlMs',
  ),
  bug(
    'a gateway renews its lease although its watch stands still',
    `${LOCKING}/incarnation.ts`,
    '      this.report()\n      this.#schedule()',
    '      this.report()\n      void this.#renew()\n      this.#schedule()',
  ),
  bugOf(
    'cut-off',
    'nothing is checked again before the first byte',
    `${LOCKING}/ledger.ts`,
    '    for (const grant of this.grants) {\n      if (grant.sealed)',
    '    for (const grant of this.grants) {\n      if (this.grants.length > 0) return null\n      if (grant.sealed)',
  ),
  bugOf(
    'joining',
    'a joining gateway serves before its view holds its registration',
    `${LOCKING}/locking.ts`,
    'if (!(await this.#replica.reached(registered, this.#options.leaseMs)))',
    'if (registered === 0)',
  ),
  {
    name: 'a store that has gone back is served',
    theme: 'restored',
    edits: [
      {
        file: `${LOCKING}/epoch-keeper.ts`,
        from: 'return { found, refusal: refusalOf(found, memory, beat) }',
        to: 'return { found, refusal: null }',
      },
      { file: `${LOCKING}/replica.ts`, from: 'if (snapshot.revision < view.applied) {', to: 'if (false) {' },
    ],
  },
  bug(
    'a late write makes a sound store look restored',
    `${LOCKING}/epoch-keeper.ts`,
    'compare: [{ key, modRevision: known }]',
    'compare: []',
  ),
  // The barrier
  bug(
    'other gateways are not waited for',
    `${LOCKING}/barrier.ts`,
    'facts = combine(facts, answeredFor(theirs, vouched.has(gateway.incarnation)))',
    'void theirs',
  ),
  bug(
    'gateways are listed as of the grant, not of the seal',
    `${LOCKING}/barrier.ts`,
    'gateway.createRevision > sealRevision',
    'gateway.createRevision > grant.createRevision',
  ),
  bug(
    'a gateway that is gone is taken for drained',
    `${LOCKING}/barrier.ts`,
    'if (grant.createRevision > gateway.modRevision)',
    'if (grant.createRevision > 0)',
  ),
  bugOf(
    'cut-off',
    'a gateway without a watermark is taken for drained',
    `${LOCKING}/barrier.ts`,
    'if (watermark === undefined)',
    "if (watermark === undefined) return { state: 'ended' }\n    if (watermark === undefined)",
  ),
  bug(
    'a watermark counts whatever revision it reports',
    `${LOCKING}/barrier.ts`,
    'if (watermark.sealed < sealRevision)',
    'if (watermark.sealed < 0)',
  ),
  bug(
    'a watermark reports a revision more than was applied',
    `${LOCKING}/barrier.ts`,
    'return { sealed: view.applied, ...openList(open) }',
    'return { sealed: view.applied + 1, ...openList(open) }',
  ),
  bug(
    'the watermark names no open calls',
    `${LOCKING}/barrier.ts`,
    "if (drain.state === 'draining' || drain.state === 'overdue')\n          open.push([lock.name, grant.createRevision, 'draining'])",
    "if (drain.state === 'draining' || drain.state === 'overdue') void 0",
  ),
  bug(
    'a seal says that its writer has drained although it has not',
    `${LOCKING}/barrier.ts`,
    "return this.#options.ledger.drain(grant).state === 'ended' ? [this.#options.self()] : []",
    'return [this.#options.self()]',
  ),
  {
    name: 'a gateway goes on admitting while it writes a seal that says it has drained',
    edits: [
      {
        file: `${LOCKING}/releases.ts`,
        from: 'this.#options.sealHere(grant)',
        to: 'void grant',
      },
      {
        file: `${LOCKING}/barrier.ts`,
        from: 'if (grant === null || !grant.sealed) return []',
        to: 'if (grant === null) return []',
      },
    ],
  },
  bugOf(
    'leaving',
    'a clean exit is said with calls open',
    `${LOCKING}/locking.ts`,
    'const clean = this.#ledger.open === 0',
    'const clean = true',
  ),
  bugOf(
    'leaving',
    'a closing gateway forgets new handovers',
    `${LOCKING}/conductor.ts`,
    'if (lock.live.some((grant) => grant.sealed || grant.narrowRevision > 0 || lock.damage !== null))',
    `if (this.#stopped) return
    if (lock.live.some((grant) => grant.sealed || grant.narrowRevision > 0 || lock.damage !== null))`,
  ),
  {
    name: 'a new incarnation speaks for the one before it',
    theme: 'cut-off',
    edits: [
      {
        file: `${LOCKING}/locking.ts`,
        from: 'this.#sweeper.succeed(this.#incarnation.id, calls)',
        to: 'this.#sweeper.succeed(this.#incarnation.id, [])',
      },
      {
        file: `${LOCKING}/barrier.ts`,
        from: '? this.#reportedOpen(gateway, grant)',
        to: "? ({ state: 'ended' } as const)",
      },
    ],
  },
  bugOf(
    'returning',
    'a gateway that comes back names no open calls at first',
    `${LOCKING}/incarnation.ts`,
    'watermarks.encode({ ...this.#options.report(), beat: 0, sealed: 0 })',
    'watermarks.encode({ open: [], beat: 0, sealed: 0 })',
  ),
  bug(
    'the record of a gateway that is gone is deleted at once',
    `${LOCKING}/sweeper.ts`,
    "gateway.record.state === 'gone' &&\n          (barrier.quietRemainingMs(gateway) === 0 || !this.#needed(gateway.modRevision)),",
    "gateway.record.state === 'gone',",
  ),
  // The drain
  bug(
    'calls that are not answered are not waited for',
    'gateway/core/handover.ts',
    "if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }",
    "if (drain.state === 'draining') return null",
  ),
  bug(
    'the calls of a session that takes the lock again are not waited for',
    `${LOCKING}/conductor.ts`,
    ': barrier.drain(live, sealRevisionOf(live), vouchedFor(grant))',
    ": lock.queue[0]?.session === grant.session ? { state: 'ended' } : barrier.drain(live, sealRevisionOf(live), vouchedFor(grant))",
  ),
  bug(
    'the quiet time is not waited for',
    'gateway/core/handover.ts',
    'if (drain.quietOver) return null',
    'return null',
  ),
  bug(
    'a job that outlasts the drain limit counts as over',
    'gateway/core/handover.ts',
    "if (drain.state === 'overdue') return { kind: 'overdue', grant, detail: drain.detail }",
    "if (drain.state === 'overdue') return null",
  ),
  bug(
    'an operator’s word holds for what becomes unknown after it',
    `${LOCKING}/barrier.ts`,
    'if (!canBeVouchedFor(facts) || this.#mayStillSend(gateway)) continue',
    "if (facts.state === 'ended') continue",
  ),
  bug(
    'a lost answer counts as the end of the call',
    `${LOCKING}/ledger.ts`,
    "    this.#state = { kind: 'unknown', reason, sinceMs: this.#ledger.nowMs() }\n    this.#ledger.lost(this, reason)",
    '    this.#state = ENDED\n    this.#ledger.leave(this)',
  ),
  bug(
    'a job counts as ended once it is named',
    `${LOCKING}/ledger.ts`,
    "    this.#state = { kind: 'job', id, probe }",
    '    void [id, probe]\n    this.ended()',
  ),
  bug(
    'readers come in before the exclusive calls of a downgraded writer are over',
    `${LOCKING}/conductor.ts`,
    "return live === null ? { state: 'ended' } : barrier.formerDrain(live, vouchedFor(grant))",
    "return { state: 'ended' }",
  ),
  bug(
    'a downgrade is not drained at other gateways',
    `${LOCKING}/barrier.ts`,
    'return this.#overAll(grant, narrowRevision, this.#options.ledger.formerDrain(grant), vouched)',
    'return this.#options.ledger.formerDrain(grant)',
  ),
  bug(
    'an upgrade is open while other readers still are',
    'gateway/core/handover.ts',
    'if (staying.some((other) => other !== grant && excludes(other, grant))) continue',
    '',
  ),
  // Fences
  bug(
    'a fence that is not closed is not waited for',
    'gateway/core/handover.ts',
    "if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }",
    '',
  ),
  bugOf(
    'fencing',
    'a proof counts without covering late arrivals',
    'gateway/core/handover.ts',
    "if (proves.includes('flushed')) return true",
    "if (proves.includes('flushed') || proves.includes('swept')) return true",
  ),
  bugOf(
    'fencing',
    'a proof counts without covering what had arrived',
    'gateway/core/handover.ts',
    "if (proves.includes('flushed')) return true",
    "if (proves.includes('flushed') || proves.includes('blocks')) return true",
  ),
  bugOf(
    'fencing',
    'a proof is observed before every gateway has reported the seal',
    'gateway/fencing/attempt.ts',
    'sealedThrough = await request.sealedEverywhere(request.signal)',
    'sealedThrough = Number.MAX_SAFE_INTEGER as Revision',
  ),
  {
    name: 'a proof stands for the seal',
    theme: 'fencing',
    edits: [
      {
        file: 'gateway/fencing/attempt.ts',
        from: 'sealedThrough = await request.sealedEverywhere(request.signal)',
        to: 'sealedThrough = Number.MAX_SAFE_INTEGER as Revision',
      },
      {
        file: 'gateway/core/handover.ts',
        from: "  if (drain.state === 'draining') return",
        to: "  if (fence.state === 'closed' && coversUnknownCalls(fence.proofs)) return null\n  if (drain.state === 'draining') return",
      },
    ],
  },
  bug(
    'a fence is claimed although another gateway runs it',
    'gateway/core/fence-sequence.ts',
    "return view.claimerIsLive ? { step: 'wait', for: 'claimer' } : { step: 'claim', level }",
    "return { step: 'claim', level }",
  ),
  bug(
    'a strike does not ask whether the claim still stands',
    `${LOCKING}/journal.ts`,
    'return this.#options.stale() === null',
    'return true',
  ),
  bugOf(
    'storm',
    'a storm holds nobody back',
    'gateway/core/fence-sequence.ts',
    'if (held.length === 0) return null',
    'if (held.length >= 0) return null',
  ),
  bug(
    'a record of the next version is taken for damage though it says that it can be read',
    `${LOCKING}/records.ts`,
    'if (written === undefined || (written.readableFrom ?? written.version) > FORMATS.reads) return null',
    'if (written === undefined || written.version > FORMATS.reads) return null',
  ),
  bugOf(
    'lossy',
    'a release that names its token takes whatever there is',
    `${LOCKING}/queue.ts`,
    'token === null ? { tokens: null',
    'token !== 0 ? { tokens: null',
  ),
  bugOf(
    'fencing',
    'a fence is closed without having been verified',
    'gateway/fencing/attempt.ts',
    "if (last.state === 'fenced' && !looking.isOver()) {",
    "if (!looking.isOver()) {\n        last = { state: 'fenced', evidence: { observed: '', request: '' } }",
  ),
  // A holder who comes back
  bug(
    'a holder whose fence is being run may log in',
    `${LOCKING}/login-barrier.ts`,
    "return fence.record.progress.state !== 'closed'",
    "return fence.record.progress.state === 'due'",
  ),
  bug(
    'nobody is kept out between the end of his lease and his fence',
    `${LOCKING}/login-barrier.ts`,
    'return view.sessions.has(session) && !view.canaries.has(session) && isUnsealed(view, session)',
    'return false',
  ),
  bug(
    'a gateway that cannot tell lets everybody log in',
    `${LOCKING}/login-barrier.ts`,
    'const stale = concerned ? this.#options.stale() : null',
    'const stale = concerned && Number.NaN > 0 ? this.#options.stale() : null',
  ),
  bug(
    'a login name is not known from the record of a session',
    `${LOCKING}/login-barrier.ts`,
    'known === undefined ? undefined : fenceInfoOf(known.record)',
    'known === undefined ? undefined : {}',
  ),
  bug(
    'a session gets what is about to be struck',
    `${LOCKING}/session-keeper.ts`,
    'if (targets.length === 0) return\n    const { view } = this.#options',
    'if (targets.length >= 0) return\n    const { view } = this.#options',
  ),
  bug(
    'a fence does not know what its holder’s logins have opened',
    `${LOCKING}/holders.ts`,
    'return { ...known.record, fenceInfo: fenceInfoOf(known.record) }',
    'return { ...known.record }',
  ),
  bug(
    'a login is answered although the fence is written',
    `${LOCKING}/caller-book.ts`,
    '            { key: layout.fence(session), createRevision: 0 },\n',
    '',
  ),
  bug(
    'an operator’s fence is written on a session of a moment ago',
    `${LOCKING}/journal.ts`,
    'known === undefined ? [] : [{ key: sessionKey, modRevision: known.modRevision }]',
    '[]',
  ),
  // A new epoch
  bugOf(
    'restored',
    'a new epoch gives out the tokens of the one before',
    'gateway/core/epoch.ts',
    'return (epoch * REVISIONS + revision) as Revision',
    'return (0 * epoch * REVISIONS + revision) as Revision',
  ),
]
