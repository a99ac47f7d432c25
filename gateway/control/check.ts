// `POST /v1/check`: what the gateway would do with a call, and why. Enters nothing, parks nothing, sends nothing.

import type { z } from 'zod'
import type { CallerClaim } from '../core/caller.ts'
import { GatewayError } from '../core/errors.ts'
import { REFUSALS, type Refusal } from '../core/verdict.ts'
import type { CallerBook, CallerClaims } from '../spi/callers.ts'
import type { Gate, PresentedToken } from '../spi/gate.ts'
import type { LoginBarrier } from '../spi/login-barrier.ts'
import { type CallHead, type Classification, callHead, type Login, type Policy } from '../spi/policy.ts'
import { CheckCall, Checked } from './check-schemas.ts'
import { type ControlApp, problems } from './room.ts'

export interface CheckSources {
  /** Null where the configuration has no such backend. */
  backend(name: string): CheckedBackend | null
  readonly gate: Pick<Gate, 'preview'>
  readonly callers: Pick<CallerBook, 'find'>
  /** Absent: nobody is kept from logging in. */
  readonly logins?: LoginBarrier
  /** Reads a `Fencing-Token` field as the data plane does. */
  readTokens(
    field: string | undefined,
  ):
    | { readonly kind: 'tokens'; readonly tokens: readonly PresentedToken[] }
    | { readonly kind: 'refused'; readonly refusal: Refusal }
}

export interface CheckedBackend {
  readonly policy: Policy
  readonly enforce: boolean
  readonly quietMs: number | null
  /** The marks that the data plane would find on such a call; null where it looks for none. Throws for a listener that is not there. */
  callerOf(
    call: { readonly head: CallHead; readonly claims: readonly CallerClaim[]; readonly login?: Login },
    connection: NonNullable<Call['caller']>,
  ): CallerClaims | null
}

type Call = z.output<typeof CheckCall>
type Answer = z.output<typeof Checked>

export function checkRoutes(app: ControlApp, sources: CheckSources): void {
  app.post('/v1/check', {
    config: { right: 'read' },
    schema: {
      tags: ['check'],
      summary: 'What would the gateway do with this call, and why?',
      body: CheckCall,
      response: { 200: Checked, ...problems },
    },
    handler: (request) => Promise.resolve(checkCall(request.body, sources)),
  })
}

export function checkCall(call: Call, sources: CheckSources): Answer {
  const backend = sources.backend(call.backend)
  if (backend === null)
    throw new GatewayError('not-found', `the configuration has no backend ${JSON.stringify(call.backend)}`)
  const { policy, enforce: enforced, quietMs } = backend
  const head = headOf(call)
  const needed = policy.bodyBytesNeeded(head)
  const body = needed === 0 ? null : bodyOf(call.body)
  if (body !== null && body.length > needed)
    return refused(
      { code: 'too-large', detail: `the policy reads bodies of at most ${needed} bytes` },
      enforced,
      [],
    )

  const { classification, trace } = policy.explain(head, body)
  if (classification.kind === 'refused') return refused(classification.refusal, enforced, trace)
  const { effect, rule } = classification
  const { claims = [], login } = classification
  const caller = backend.callerOf(
    { head, claims, ...(login === undefined ? {} : { login }) },
    call.caller ?? {},
  )
  const whose = caller === null ? null : sources.callers.find(caller)
  const known = whose?.kind === 'known' ? { session: whose.session } : {}
  switch (effect) {
    case 'deny':
      return refused({ code: 'denied', detail: `the rule ${rule} forbids it` }, enforced, trace, {
        effect,
        rule,
      })
    case 'read':
    case 'session': {
      const kept = login === undefined ? null : loginRefusal({ head, login, caller }, sources, policy)
      if (kept !== null) return { ...refused(kept, enforced, trace, { effect, rule }), ...known }
      const why = `the rule ${rule} says ${effect}: no lock is needed`
      return { effect, rule, ...known, locks: [], verdict: 'admitted', why, enforced, trace: [...trace] }
    }
    case 'mutate':
      return {
        ...preview(call, head, classification, { sources, enforced, quietMs, caller, trace }),
        ...known,
      }
  }
}

function loginRefusal(
  {
    head,
    login,
    caller,
  }: { readonly head: CallHead; readonly login: Login; readonly caller: CallerClaims | null },
  sources: CheckSources,
  policy: Policy,
) {
  const read = sources.readTokens(head.header('fencing-token'))
  return (
    sources.logins?.refusal({
      ...login,
      session: head.header('fencing-session') ?? null,
      caller,
      tokens: read.kind === 'tokens' ? read.tokens : [],
      keys: policy.loginKeys ?? [],
    }) ?? null
  )
}

function preview(
  call: Call,
  head: CallHead,
  classification: Extract<Classification, { kind: 'call' }>,
  context: {
    readonly sources: CheckSources
    readonly enforced: boolean
    readonly quietMs: number | null
    readonly caller: CallerClaims | null
    readonly trace: readonly string[]
  },
): Answer {
  const { effect, rule, locks, target } = classification
  const { sources, enforced, quietMs, caller, trace } = context
  const read = sources.readTokens(head.header('fencing-token'))
  if (read.kind === 'refused') return refused(read.refusal, enforced, trace, { effect, rule })
  const { verdict, locks: found } = sources.gate.preview({
    backend: call.backend,
    method: head.method,
    target,
    rule,
    locks,
    tokens: read.tokens,
    waitMs: 0,
    quietMs,
    caller,
  })
  const shown = found.map(({ token, ...lock }) => ({ ...lock, ...(token === null ? {} : { token }) }))
  if (verdict !== null) return { ...refused(verdict, enforced, trace, { effect, rule }), locks: shown }
  const why = `the rule ${rule} says that it changes something, and the tokens are the owners'`
  return { effect, rule, locks: shown, verdict: 'admitted', why, enforced, trace: [...trace] }
}

function refused(
  refusal: Refusal,
  enforced: boolean,
  trace: readonly string[],
  known: Pick<Answer, 'effect' | 'rule'> = { effect: null, rule: null },
): Answer {
  const why = `${refusal.detail}; ${REFUSALS[refusal.code].remedy}`
  return { ...known, locks: [], verdict: refusal.code, why, enforced, trace: [...trace] }
}

function headOf(call: Call): CallHead {
  const { length } = bodyOf(call.body)
  const headers: Record<string, string> = length === 0 ? {} : { 'content-length': String(length) }
  for (const [name, value] of Object.entries(call.headers)) {
    const lower = name.toLowerCase()
    headers[lower] =
      headers[lower] === undefined || lower === 'content-length' ? value : `${headers[lower]}, ${value}`
  }
  return callHead(call.method.toUpperCase(), call.path, headers)
}

function bodyOf(body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0)
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}
