// A compiled pack at work: classifies calls. Whatever no rule covers is a mutation under the default lock; whatever
// can be read in two ways is refused. Never throws, never waits.

import { invariant } from '../core/invariant.ts'
import type { RefusalCode } from '../core/verdict.ts'
import type { CallHead, Classification, JobRule, Policy, RequiredLock } from '../spi/policy.ts'
import { joinBatch } from './batch.ts'
import type { CompiledPack } from './compiled-pack.ts'
import { type HeadRules, headFault } from './head-fault.ts'
import type { GrowingLeaf } from './leaf.ts'
import { loginOf } from './login.ts'
import { belowPrefix, splitPrefixes } from './path-prefix.ts'
import { type BodyTerms, CallReading } from './reading.ts'
import { locksOf, matchRule } from './rule.ts'
import { candidates, groupFault, leftOut, type RuleGroup } from './rule-group.ts'
import { canonicalTarget, type TargetRules } from './target.ts'

const NO_LOCKS: readonly RequiredLock[] = []

/** Of a head alone: the body decides, or it does not matter. */
type Decision = Classification | typeof NEEDS_BODY | typeof DECIDED | typeof BATCH
const NEEDS_BODY = { kind: 'needs-body' } as const
const DECIDED = { kind: 'decided' } as const
/** A JSON-RPC batch: its calls are to be classified one by one. */
const BATCH = { kind: 'batch' } as const

export function makePolicy(compiled: CompiledPack): Policy {
  return new PackPolicy(compiled)
}

class PackPolicy implements Policy {
  readonly name: string
  readonly dialect: Policy['dialect']
  readonly quietMs: number | null
  readonly bodyBytesMax: number
  readonly loginKeys: readonly string[]
  readonly asksLogin: NonNullable<Policy['asksLogin']>
  readonly #compiled: CompiledPack
  readonly #targetRules: TargetRules
  readonly #terms: BodyTerms
  readonly #headRules: HeadRules
  readonly #defaultLocks: readonly RequiredLock[]
  readonly #prefixes: readonly (readonly string[])[]

  constructor(compiled: CompiledPack) {
    this.name = compiled.name
    this.dialect = compiled.source.dialect
    this.quietMs = compiled.quietMs
    this.bodyBytesMax = compiled.bodyBytesMax
    this.loginKeys = compiled.loginKeys
    this.asksLogin = compiled.asksLogin
    this.#compiled = compiled
    this.#targetRules = {
      doubleEncoding: compiled.source.double_encoding,
      emptySegments: compiled.source.empty_segments,
      encodedSlash: compiled.takesSlashes ? 'data' : 'refuse',
    }
    this.#terms = {
      xmlPaths: compiled.xmlPaths,
      mediaTypes: new Set(compiled.source.media_types.map((type) => type.toLowerCase())),
    }
    this.#headRules = {
      refusesOverrides: compiled.source.overriding_headers === 'refuse',
      refusesForms: compiled.source.form_bodies === 'refuse',
    }
    this.#defaultLocks = [compiled.defaultLock]
    this.#prefixes = splitPrefixes(compiled.pathPrefixes)
  }

  bodyBytesNeeded(head: CallHead): number {
    return this.#decide(head, undefined, null).kind === 'needs-body' ? this.#compiled.bodyBytesMax : 0
  }

  classify(head: CallHead, body: Buffer | null): Classification {
    return this.#classify(head, body, null)
  }

  explain(head: CallHead, body: Buffer | null): { classification: Classification; trace: readonly string[] } {
    const trace: string[] = []
    return { classification: this.#classify(head, body, trace), trace }
  }

  #classify(head: CallHead, body: Buffer | null, trace: string[] | null): Classification {
    if (body !== null && body.length > this.#compiled.bodyBytesMax)
      return refused('too-large', `a body of this policy has at most ${this.#compiled.bodyBytesMax} bytes`)
    const decision = this.#decide(head, body, trace)
    invariant(
      decision.kind === 'call' || decision.kind === 'refused',
      'a body that is null was not sent, only an undefined one is still to come',
    )
    return decision
  }

  #decide(head: CallHead, body: Buffer | null | undefined, trace: string[] | null): Decision {
    if (!isMethod(head.method))
      return refused('bad-request', 'the method is not written in upper-case letters')
    const fault = headFault(head, body, this.#headRules)
    if (fault !== null) return refused('bad-request', fault)
    const target = canonicalTarget(head.target, this.#targetRules)
    if (!target.ok) return refused('bad-request', target.reason)

    const call = new CallReading(head, belowPrefix(target, this.#prefixes), body, this.#terms)
    const decision = this.#decideCall(call, trace)
    return decision.kind === 'batch' ? this.#decideBatch(call, trace) : decision
  }

  /** All calls of a batch together, or a refusal: the backend gets them in one request. */
  #decideBatch(call: CallReading, trace: string[] | null): Decision {
    const rpc = call.rpc()
    if (!rpc.ok) return refused('bad-request', rpc.reason)
    const members: Classification[] = []
    for (let member = 0; member < rpc.calls.length; member++) {
      const decision = this.#decideCall(call.memberOf(rpc, member), trace)
      invariant(decision.kind === 'call' || decision.kind === 'refused', 'the body of a batch is there')
      members.push(decision)
    }
    const joined = joinBatch(members)
    return typeof joined === 'string' ? refused('bad-request', joined) : joined
  }

  #decideCall(call: CallReading, trace: string[] | null): Decision {
    const { head, target } = call
    const visit = (leaf: GrowingLeaf): Decision | null => {
      const { byMethod, anyMethod } = leaf.leaf
      const group = byMethod.get(head.method) ?? anyMethod
      if (group !== null) return this.#tryGroup(group, call, trace)
      trace?.push(
        ...leaf.members.map(({ member }) => `${member.at.rule.id}: the method is not ${head.method}`),
      )
      return null
    }
    for (const layer of this.#compiled.layers) {
      const decision = layer.find(target, visit)
      if (decision !== null) return decision
    }
    if (target.encodedSlash)
      return refused('bad-request', 'the path holds an encoded slash, and no rule takes one there')
    trace?.push(`default: no rule covers ${head.method} ${target.path}`)
    const claims = this.#compiled.callers?.claims(call, false)
    if (typeof claims === 'string') return refused('bad-request', claims)
    return {
      ...(claims === undefined ? {} : { claims }),
      kind: 'call',
      effect: 'mutate',
      rule: 'default',
      locks: this.#defaultLocks,
      waitMs: this.#compiled.waitMs,
      job: null,
      target: target.target,
      ...callIdOf(call),
    }
  }

  #tryGroup(group: RuleGroup, call: CallReading, trace: string[] | null): Decision | null {
    if (group.body !== null && call.body === undefined) return NEEDS_BODY
    const fault = groupFault(group, call)
    if (fault !== null) return refused('bad-request', fault)
    if (group.body === 'jsonrpc') {
      const rpc = call.rpc()
      if (rpc.ok && rpc.isBatch) return BATCH
    }
    const list = candidates(group, call)
    if (typeof list === 'string') return refused('bad-request', list)
    if (trace !== null)
      for (const { rule } of group.all)
        if (!list.some((at) => at.rule === rule)) trace.push(`${rule.id}: ${leftOut(rule.conditions, group)}`)
    for (const at of list) {
      const why: string[] | null = trace === null ? null : []
      const match = matchRule(at, call, why)
      if (typeof match === 'string') return refused('bad-request', `${at.rule.id}: ${match}`)
      if (match === null) {
        trace?.push(`${at.rule.id}: ${why?.join('; ') ?? ''}`)
        continue
      }
      if (call.body === undefined) return DECIDED
      const { rule } = at
      trace?.push(`${rule.id}: matches${rule.reason === null ? '' : ` (${rule.reason})`}`)
      let locks = NO_LOCKS
      let job: JobRule | null = null
      if (rule.effect === 'mutate') {
        const named = locksOf(rule, match, this.#compiled.defaultLock)
        if (typeof named === 'string') return refused('bad-request', `${rule.id}: ${named}`)
        locks = named
        job = rule.job?.bind(match, call) ?? null
      }
      const plain: Classification = {
        kind: 'call',
        effect: rule.effect,
        rule: rule.id,
        locks,
        waitMs: rule.waitMs,
        job,
        target: call.target.target,
      }
      const { callers } = this.#compiled
      // Most calls are no more than that, and copying costs.
      const isPlain = rule.dialect === null && rule.body !== 'jsonrpc'
      if (isPlain && callers === null && rule.login === null) return plain
      const classified: Classification = {
        ...plain,
        ...(rule.dialect === null ? {} : { dialect: rule.dialect }),
        ...(rule.body === 'jsonrpc' ? callIdOf(call) : {}),
      }
      if (callers === null && rule.login === null) return classified
      const claims =
        rule.effect === 'mutate' || rule.effect === 'session'
          ? callers?.claims(call, rule.body === 'soap')
          : undefined
      if (typeof claims === 'string') return refused('bad-request', claims)
      return {
        ...classified,
        ...(rule.login === null ? {} : { login: loginOf(rule.login, match, call) }),
        ...(rule.logout ? { logout: true as const } : {}),
        ...(claims === undefined ? {} : { claims }),
      }
    }
    return null
  }
}

/** Only where the call was read as JSON-RPC. */
function callIdOf(call: CallReading): { readonly callId?: string } {
  const rpc = call.rpcIfRead()
  return rpc === null ? {} : { callId: rpc.id }
}

function isMethod(method: string): boolean {
  if (method.length === 0 || method.length > 32) return false
  for (let at = 0; at < method.length; at++) {
    const code = method.charCodeAt(at)
    if (code < 0x41 || code > 0x5a) return false
  }
  return true
}

function refused(code: RefusalCode, detail: string): Classification {
  return { kind: 'refused', refusal: { code, detail } }
}
