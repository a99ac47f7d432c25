// The check of a call: from its head to its admission, and every refusal. The one place of the data plane where a call is
// let through; what a call is made of, and how it is sent on, is for the two ways through the gateway to know (exchange.ts
// on node:http, wire/wire-call.ts on raw connections).

import { parseFencingToken } from '../core/fencing-token.ts'
import type { Refusal, VerdictCode } from '../core/verdict.ts'
import type { AdmissionRequest, AdmissionResult, PresentedToken } from '../spi/gate.ts'
import type { CallHead, Classification, Dialect, Effect } from '../spi/policy.ts'
import type { Backend } from './backend.ts'
import { callerOf, type Sender } from './callers.ts'
import type { Flight } from './flights.ts'
import { LearntLogin } from './learnt-login.ts'
import { OpenCall } from './open-call.ts'
import {
  GOING_AWAY,
  type RefusalAnswer,
  refusedEvent,
  renderRefusal,
  TOO_MANY,
  TOO_MANY_BODIES,
  TOO_MANY_OF_SESSION,
} from './refusals.ts'
import type { SessionCount } from './session-calls.ts'
import type { ShedCause } from './shedding.ts'

export type Call = Extract<Classification, { kind: 'call' }>

const NO_TOKENS: readonly PresentedToken[] = []

export abstract class CheckedCall implements Flight {
  slot = -1
  protected readonly backend: Backend
  #effect: Effect | 'none' = 'none'
  #verdict: VerdictCode = 'admitted'
  #tallied = false
  #callId: string | undefined
  #dialect: Dialect | undefined
  /** What it is counted in, with its session's other calls; null where it is not. */
  #session: SessionCount | null = null
  #loggedOut: (() => void) | null = null
  /** Where the answer opens a session of a holder who is known. */
  protected learning: LearntLogin | null = null

  constructor(backend: Backend) {
    this.backend = backend
  }

  /** Whether nobody waits for what would be said: the client hung up, or has its answer. */
  protected abstract get isUnwanted(): boolean
  protected abstract get sender(): Sender
  /** Aborted when the client hangs up. */
  protected abstract goneSignal(): AbortSignal
  /** What the call keeps in memory while it is parked, nearly. */
  protected abstract get heldBytes(): number
  /** Sends the call on. `open` is null where it changes nothing, and where shadow mode lets it through. */
  protected abstract forward(call: Call, open: OpenCall | null): void
  protected abstract answer(answer: RefusalAnswer): void
  /** The call does not count as in flight any more. */
  protected abstract left(): void
  abstract breakOff(reason: string): void
  /** Calls end by themselves. */
  hurry(): void {
    return
  }
  abstract endIdleBody(sinceMs: number): void

  /** A read may be given up at the backend, and may wait for its answer longer. */
  protected get isRead(): boolean {
    return this.#effect === 'read'
  }

  /** Counts the call among those in flight; false where there is no room for it and it was refused. */
  protected enter(): boolean {
    const { flights, limits, refusing, enforce } = this.backend
    const isFull = flights.size >= limits.inFlightMax
    if (isFull) {
      this.#shed('calls', TOO_MANY)
      return false
    }
    if (refusing && enforce) {
      this.refuse(GOING_AWAY)
      return false
    }
    flights.add(this)
    return true
  }

  /** `body` is the whole body where the policy asked for it, else null. */
  protected check(head: CallHead, token: string | null, body: Buffer | null): void {
    const { policy } = this.backend
    const classification = policy.classify(head, body)
    this.#dialect = classification.dialect
    if (classification.kind === 'refused') {
      if (this.pass(classification.refusal)) this.forwardUnchecked(head)
      return
    }
    this.#effect = classification.effect
    this.#callId = classification.callId
    switch (classification.effect) {
      case 'read':
        this.forward(classification, null)
        break
      case 'session': {
        const refusal = this.#loginRefusal(classification, head, token)
        if (refusal === null || this.pass(refusal)) this.#openSession(classification, head)
        break
      }
      case 'deny':
        if (this.pass({ code: 'denied', detail: `rule ${classification.rule} of policy ${policy.name}` }))
          this.forward(classification, null)
        break
      case 'mutate':
        if (!this.joinsFirstCopy(classification)) this.admit(classification, head, token)
        break
    }
  }

  /** Why the session that the call would open at the backend must not be opened now. */
  #loginRefusal(call: Call, head: CallHead, token: string | null): Refusal | null {
    const { callers, logins, policy } = this.backend
    const { login } = call
    if (login === undefined || logins === null) return null
    const parsed = token === null ? null : parseFencingToken(token)
    return logins.refusal({
      ...login,
      session: head.header('fencing-session') ?? null,
      caller: callers === null ? null : callerOf(callers, this.sender, call, head),
      tokens: parsed?.kind === 'tokens' ? parsed.tokens : NO_TOKENS,
      keys: policy.loginKeys ?? [],
    })
  }

  /** A login of a holder who is known opens his session; a logout ends it. */
  #openSession(call: Call, head: CallHead): void {
    const { callers } = this.backend
    const answer = call.login?.answer
    if (callers === null || (answer === undefined && call.logout !== true)) {
      this.forward(call, null)
      return
    }
    const caller = callerOf(callers, this.sender, call, head)
    if (answer === undefined) {
      this.#loggedOut = () => void callers.book.forget(caller)
      this.forward(call, null)
      return
    }
    void callers.book.findCurrent(caller).then((found) => {
      if (this.isUnwanted) {
        this.leave()
        return
      }
      if (found.kind === 'conflict' && !this.pass(found.refusal)) return
      if (found.kind === 'known') this.learning = new LearntLogin(answer, callers.book, found.session, caller)
      this.forward(call, null)
    })
  }

  /** The whole answer has come back. */
  answered(status: number): void {
    if (status < 300) this.#loggedOut?.()
  }

  /** The body is longer than the policy takes; true where shadow mode lets the call go on all the same. */
  protected passTooLarge(needed: number): boolean {
    return this.pass({
      code: 'too-large',
      detail: `to check this call its whole body is needed, and at most ${needed} bytes are taken`,
    })
  }

  /** What shadow mode lets through although it could not be checked. */
  protected forwardUnchecked(head: CallHead): void {
    this.forward(
      {
        kind: 'call',
        effect: 'session',
        rule: 'unchecked',
        locks: [],
        waitMs: 0,
        job: null,
        target: head.target,
      },
      null,
    )
  }

  /** True where the same call is under way already, and this one gets what becomes of that. */
  protected joinsFirstCopy(_call: Call): boolean {
    return false
  }

  protected admit(call: Call, head: CallHead, token: string | null): void {
    let tokens = NO_TOKENS
    if (token !== null) {
      const parsed = parseFencingToken(token)
      if (parsed.kind === 'bad') {
        if (this.pass({ code: 'bad-token', detail: parsed.reason })) this.forward(call, null)
        return
      }
      tokens = parsed.tokens
    }
    const { callers, enforce, gate, name, policy } = this.backend
    const waitMs = enforce ? call.waitMs : 0
    const asked: AdmissionRequest = {
      backend: name,
      method: head.method,
      target: call.target,
      rule: call.rule,
      locks: call.locks,
      tokens,
      waitMs,
      quietMs: policy.quietMs,
      caller: callers === null ? null : callerOf(callers, this.sender, call, head),
    }
    const result = gate.admit(asked, waitMs > 0 ? this.goneSignal() : null, waitMs > 0 ? this.heldBytes : 0)
    const asksLogin = this.#asksLogin(head)
    // The gate does not reject: where it did, it would be wrong about itself, and the process ends.
    if (result instanceof Promise) void result.then((settled) => this.#admitted(settled, call, asksLogin))
    else this.#admitted(result, call, asksLogin)
  }

  /** Many clients name themselves only where they are asked, which the backend cannot do for what never reaches it. */
  #asksLogin(head: CallHead): boolean {
    const { callers, policy } = this.backend
    if (policy.asksLogin !== 'basic' || callers === null) return false
    return callers.implicit && callers.ways.has('login') && head.header('authorization') === undefined
  }

  #admitted(result: AdmissionResult, call: Call, asksLogin: boolean): void {
    if (result.kind === 'refused') {
      const { refusal } = result
      const asks = asksLogin && refusal.code === 'missing-token'
      if (this.isUnwanted) this.leave()
      else if (this.pass(asks ? { ...refusal, challenge: 'Basic realm="fencegate"' } : refusal))
        this.forward(call, null)
      return
    }
    const session = this.backend.sessions.enter(result.entry.session)
    if (session === null) {
      result.entry.ended()
      this.#shed('session', TOO_MANY_OF_SESSION)
      return
    }
    this.#session = session
    const open = new OpenCall(result.entry)
    if (this.isUnwanted) {
      open.ended()
      this.leave()
      return
    }
    this.forward(call, open)
  }

  /** Refuses, or in shadow mode reports and lets go on. */
  protected pass(refusal: Refusal): boolean {
    if (this.backend.enforce) this.refuse(refusal)
    else this.shadowed(refusal)
    return !this.backend.enforce
  }

  refuse(refusal: Refusal): void {
    this.#refuse(refusal, null)
  }

  /** There is no room for its body. */
  protected shedBody(): void {
    this.#shed('bodies', TOO_MANY_BODIES)
  }

  /** Too much at once: counted, and not told one by one. In shadow mode as well: there is no room for it. */
  #shed(cause: ShedCause, refusal: Refusal): void {
    this.#refuse(refusal, cause)
  }

  #refuse(refusal: Refusal, shedCause: ShedCause | null): void {
    this.#verdict = refusal.code
    if (this.isUnwanted) {
      this.leave()
      return
    }
    if (shedCause === null) this.backend.events(refusedEvent(this.backend.name, refusal))
    else this.backend.shedding.count(shedCause)
    this.leave()
    this.answer(renderRefusal(refusal, this.#dialect ?? this.backend.policy.dialect, this.#callId))
  }

  shadowed(refusal: Refusal): void {
    this.#verdict = refusal.code
    this.backend.events({ ...refusedEvent(this.backend.name, refusal), type: 'call.shadowed' })
  }

  protected leave(): void {
    this.left()
    this.backend.flights.delete(this)
    if (this.#session !== null) {
      this.backend.sessions.leave(this.#session)
      this.#session = null
    }
    if (this.#tallied) return
    this.#tallied = true
    this.backend.tally.count(this.#effect, this.#verdict)
  }
}
