// The calls of a JSON-RPC batch as one: what the strictest of them is, under the locks of all.

import type { Classification, Effect, RequiredLock } from '../spi/policy.ts'
import { LOCKS_MAX } from './rule.ts'

type Call = Extract<Classification, { kind: 'call' }>

/** The later an effect stands here, the more it asks for. */
const STRICTNESS: readonly Effect[] = ['read', 'session', 'mutate', 'deny']
/** A batch is called by the rules of so many of its calls. */
const RULES_NAMED_MAX = 4

/** The batch as one call; a text says why it cannot be one, and the calls have to be sent one by one. */
export function joinBatch(members: readonly Classification[]): Classification | string {
  const calls: Call[] = []
  for (const member of members) {
    if (member.kind === 'refused') return member
    // The answer of a batch is an array, and in which order is the backend's choice: no job is found in it.
    if (member.job !== null) return `${member.rule}: a call that may start a job must not be sent in a batch`
    if (member.login !== undefined)
      return `${member.rule}: a call that opens a session must not be sent in a batch`
    calls.push(member)
  }
  const [first] = calls
  if (first === undefined) return 'the batch holds no call'
  const locks: RequiredLock[] = []
  for (const lock of calls.flatMap((call) => call.locks)) {
    const same = locks.findIndex((other) => other.name === lock.name)
    if (same === -1) locks.push(lock)
    else if (lock.mode === 'exclusive') locks[same] = lock
  }
  if (locks.length > LOCKS_MAX) return `the batch needs more than ${LOCKS_MAX} locks`
  const effect = STRICTNESS[Math.max(...calls.map((call) => STRICTNESS.indexOf(call.effect)))] ?? 'mutate'
  // The same request bears them all; a read has not looked.
  const claims = calls.find((call) => call.claims !== undefined)?.claims
  const rules = [...new Set(calls.map((call) => call.rule))]
  return {
    kind: 'call',
    effect,
    rule: rules.length > RULES_NAMED_MAX ? `${rules.slice(0, RULES_NAMED_MAX).join('+')}+…` : rules.join('+'),
    // Reads and session calls have none; of a denied batch nothing is forwarded.
    locks: effect === 'mutate' ? locks : [],
    waitMs: Math.min(...calls.map((call) => call.waitMs)),
    job: null,
    target: first.target,
    ...(claims === undefined ? {} : { claims }),
    callId: `[${calls.map((call) => call.callId ?? 'null').join(',')}]`,
  }
}
