// The front half of a call: from its head to its admission, and every answer that the gateway gives itself. The one
// place of the data plane where a call is checked; nothing reaches a backend but through `#forward`.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseFencingToken } from '../core/fencing-token.ts'
import type { Refusal, VerdictCode } from '../core/verdict.ts'
import type { AdmissionRequest, AdmissionResult, PresentedToken } from '../spi/gate.ts'
import type { CallHead, Classification, Effect } from '../spi/policy.ts'
import { endAnswer } from './answering.ts'
import type { Backend } from './backend.ts'
import { BodyIntake } from './body-intake.ts'
import type { Flight } from './flights.ts'
import { ForwardedBody } from './forwarded-body.ts'
import { Forwarding, type ForwardingOwner } from './forwarding.ts'
import { OpenCall } from './open-call.ts'
import { GOING_AWAY, renderRefusal, TOO_MANY } from './refusals.ts'
import { joinedFields, type RequestHead, readRequestHead, removeField } from './request-head.ts'

type Call = Extract<Classification, { kind: 'call' }>

/** What a call needs to know of its client's connection. */
export interface ClientConnection {
  /** Aborted when the client hangs up. */
  goneSignal(): AbortSignal
}

const NO_TOKENS: readonly PresentedToken[] = []
const EMPTY = Buffer.alloc(0)
/** Of a body that nobody reads, node takes this much before it stops reading the connection. */
const UNREAD_BODY_BYTES = 64 * 1024

export class Exchange implements ForwardingOwner, Flight {
  readonly #backend: Backend
  readonly #connection: ClientConnection
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #head: RequestHead | null = null
  #callHead: CallHead | null = null
  #forwarding: Forwarding | null = null
  #body: ForwardedBody | null = null
  readonly #intake: BodyIntake
  #awaitsContinue: boolean
  #answered = false
  #clientGone = false
  #effect: Effect | 'none' = 'none'
  #verdict: VerdictCode = 'admitted'
  #tallied = false
  slot = -1

  constructor(
    backend: Backend,
    connection: ClientConnection,
    message: { readonly request: IncomingMessage; readonly response: ServerResponse },
    awaitsContinue: boolean,
  ) {
    this.#backend = backend
    this.#connection = connection
    this.#request = message.request
    this.#response = message.response
    this.#awaitsContinue = awaitsContinue
    this.#intake = new BodyIntake(message.request, backend.clock)
  }

  start(): void {
    if (this.#clientGone) return
    const { limits, flights, policy, enforce, refusing } = this.#backend
    const request = this.#request
    const target = request.url ?? ''
    const reading = readRequestHead(request.rawHeaders, target, request.httpVersion)
    if (reading.kind === 'fault') {
      this.refuse({ code: reading.verdict, detail: reading.reason })
      return
    }
    const isFull = flights.size >= limits.inFlightMax
    if ((refusing && enforce) || isFull) {
      this.refuse(isFull ? TOO_MANY : GOING_AWAY)
      return
    }
    flights.add(this)
    const head = reading.head
    const fields = joinedFields(request, head.dropped)
    const callHead = { method: request.method ?? '', target, header: (name: string) => fields[name] }
    this.#head = head
    this.#callHead = callHead
    const needed = policy.bodyBytesNeeded(callHead)
    if (!head.chunked && head.contentLength <= 0) this.#decide(EMPTY, needed > 0)
    else if (needed > 0) this.#takeForCheck(head, needed)
    else if (
      head.contentLength >= 0 &&
      head.contentLength <= limits.smallBodyBytesMax &&
      !this.#awaitsContinue
    )
      this.#intake.take(
        head.contentLength,
        (body) => this.#decide(body, false),
        (prefix) => this.#tooLarge(head.contentLength, prefix),
      )
    else this.#decide(null, false)
  }

  /** The client's connection closed before the answer was through. */
  clientGone(): void {
    if (this.#clientGone) return
    this.#clientGone = true
    this.#intake.end()
    if (this.#forwarding === null) this.#leave()
    else this.#forwarding.clientGone()
  }

  /** The parser gave up on the connection; true where an answer is still to come that must not be disturbed. */
  framingBroken(): boolean {
    if (this.#request.complete) {
      // Nothing more can be read from this connection: the answer under way is its last.
      if (!this.#response.headersSent) this.#response.shouldKeepAlive = false
      return !this.#response.writableFinished
    }
    if (this.#forwarding === null || this.#answered) return false
    this.#forwarding.clientGone()
    return this.#answered || this.slot !== -1
  }

  breakOff(reason: string): void {
    if (this.#forwarding !== null) this.#forwarding.breakOff(reason)
    else this.refuse(GOING_AWAY)
  }

  endIdleBody(sinceMs: number): void {
    if (!this.#intake.isIdle(sinceMs)) return
    this.#intake.end()
    if (this.#body !== null) this.#body.cutOff()
    else this.refuse({ code: 'bad-request', detail: 'the body of the request did not come in time' })
  }

  #takeForCheck(head: RequestHead, needed: number): void {
    if (head.contentLength > needed) {
      this.#tooLarge(needed, [])
      return
    }
    this.#continue()
    this.#intake.take(
      needed,
      (body) => this.#decide(body, true),
      (prefix) => this.#tooLarge(needed, prefix),
    )
  }

  #tooLarge(needed: number, prefix: readonly Buffer[]): void {
    const refusal: Refusal = {
      code: 'too-large',
      detail: `to check this call its whole body is needed, and at most ${needed} bytes are taken`,
    }
    if (this.#backend.enforce) {
      this.refuse(refusal)
      return
    }
    this.shadowed(refusal)
    this.#forwardUnchecked(null, prefix)
  }

  #continue(): void {
    if (!this.#awaitsContinue) return
    this.#awaitsContinue = false
    this.#response.writeContinue()
  }

  /** `body` is null where it is still to come; `checked`: whether the policy asked to see it. */
  #decide(body: Buffer | null, checked: boolean): void {
    const callHead = this.#callHead
    if (callHead === null || this.#clientGone) {
      this.#leave()
      return
    }
    const classification = this.#backend.policy.classify(callHead, checked ? body : null)
    if (classification.kind === 'refused') {
      if (!this.#pass(classification.refusal)) return
      this.#forwardUnchecked(body, [])
      return
    }
    this.#effect = classification.effect
    switch (classification.effect) {
      case 'read':
      case 'session':
        this.#forward(classification, body, null)
        break
      case 'deny':
        if (
          this.#pass({
            code: 'denied',
            detail: `rule ${classification.rule} of policy ${this.#backend.policy.name}`,
          })
        )
          this.#forward(classification, body, null)
        break
      case 'mutate':
        this.#admit(classification, callHead, body)
        break
    }
  }

  #admit(call: Call, callHead: CallHead, body: Buffer | null): void {
    const token = this.#head?.token ?? null
    let tokens = NO_TOKENS
    if (token !== null) {
      const parsed = parseFencingToken(token)
      if (parsed.kind === 'bad') {
        if (this.#pass({ code: 'bad-token', detail: parsed.reason })) this.#forward(call, body, null)
        return
      }
      tokens = parsed.tokens
    }
    const backend = this.#backend
    const waitMs = backend.enforce ? call.waitMs : 0
    const asked: AdmissionRequest = {
      backend: backend.name,
      method: callHead.method,
      target: call.target,
      rule: call.rule,
      locks: call.locks,
      tokens,
      waitMs,
      quietMs: backend.policy.quietMs,
    }
    const gone = waitMs > 0 ? this.#connection.goneSignal() : null
    const result = backend.gate.admit(asked, gone, heldBytes(this.#head?.forwarded ?? [], body))
    if (result instanceof Promise) this.#park(result, call, body)
    else this.#admitted(result, call, body)
  }

  #park(result: Promise<AdmissionResult>, call: Call, body: Buffer | null): void {
    // The gate does not reject: where it did, it would be wrong about itself, and the process ends.
    void result.then((settled) => this.#admitted(settled, call, body))
  }

  #admitted(result: AdmissionResult, call: Call, body: Buffer | null): void {
    if (result.kind === 'refused') {
      if (this.#clientGone) this.#leave()
      else if (this.#pass(result.refusal)) this.#forward(call, body, null)
      return
    }
    const open = new OpenCall(result.entry)
    if (this.#clientGone || this.#answered) {
      open.ended()
      this.#leave()
      return
    }
    this.#forward(call, body, open)
  }

  /** Refuses, or in shadow mode reports and lets go on. */
  #pass(refusal: Refusal): boolean {
    if (this.#backend.enforce) this.refuse(refusal)
    else this.shadowed(refusal)
    return !this.#backend.enforce
  }

  #forwardUnchecked(body: Buffer | null, prefix: readonly Buffer[]): void {
    const target = this.#request.url ?? ''
    const call: Call = {
      kind: 'call',
      effect: 'session',
      rule: 'unchecked',
      locks: [],
      waitMs: 0,
      job: null,
      target,
    }
    this.#forward(call, body, null, prefix)
  }

  #forward(call: Call, body: Buffer | null, open: OpenCall | null, prefix: readonly Buffer[] = []): void {
    const head = this.#head
    if (head === null) return
    const headers = head.forwarded
    const job = open === null ? null : call.job
    // An answer that may name a job has to be read here.
    if (job !== null) removeField(headers, 'accept-encoding')
    this.#forwarding = new Forwarding(
      this.#backend,
      this,
      { request: this.#request, response: this.#response },
      {
        method: this.#request.method ?? '',
        target: call.target,
        headers,
        body: body === null ? this.#stream(head, prefix, open) : body.length === 0 ? null : body,
        job,
        abortable: call.effect === 'read',
      },
      open,
    )
    this.#forwarding.start()
  }

  #stream(head: RequestHead, prefix: readonly Buffer[], open: OpenCall | null): ForwardedBody {
    if (head.contentLength >= 0) head.forwarded.push('Content-Length', String(head.contentLength))
    this.#continue()
    this.#intake.moved()
    const { enforce, garbage } = this.#backend
    const body = new ForwardedBody(this.#request, prefix, {
      onProgress: (bytes) => {
        this.#intake.moved()
        garbage.moved(bytes)
      },
      mayGoOn: () => open === null || open.leaseStands || !enforce,
    })
    this.#request.once('end', () => this.#intake.end())
    this.#body = body
    return body
  }

  refuse(refusal: Refusal): void {
    this.#verdict = refusal.code
    const { events, name, policy } = this.#backend
    if (this.#answered || this.#clientGone) {
      this.#leave()
      return
    }
    events({
      type: 'call.refused',
      backend: name,
      verdict: refusal.code,
      detail: refusal.detail,
      ...who(refusal),
    })
    this.#leave()
    const answer = renderRefusal(refusal, policy.dialect)
    if (this.#backend.closing || !this.#request.complete) this.#response.shouldKeepAlive = false
    this.#response.writeHead(answer.status, answer.headers)
    this.endAnswer(answer.body, null)
  }

  shadowed(refusal: Refusal): void {
    this.#verdict = refusal.code
    this.#backend.events({
      type: 'call.shadowed',
      backend: this.#backend.name,
      verdict: refusal.code,
      detail: refusal.detail,
      ...who(refusal),
    })
  }

  forwardingOver(): void {
    this.#leave()
  }

  endAnswer(last: Buffer | null, trailers: [string, string][] | null): void {
    this.#answered = true
    endAnswer({ request: this.#request, response: this.#response }, last, trailers, this.#backend)
  }

  #leave(): void {
    this.#intake.end()
    this.#backend.flights.delete(this)
    if (this.#tallied) return
    this.#tallied = true
    this.#backend.tally.count(this.#effect, this.#verdict)
  }
}

/** What a call that has to wait keeps in memory, nearly: its head, and its body as far as it has been taken in. */
function heldBytes(fields: readonly string[], body: Buffer | null): number {
  let bytes = body === null ? UNREAD_BODY_BYTES : body.length
  for (const field of fields) bytes += field.length
  return bytes
}

function who(refusal: Refusal): { lock?: string; token?: string } {
  return {
    ...(refusal.lock === undefined ? {} : { lock: refusal.lock }),
    ...(refusal.token === undefined ? {} : { token: refusal.token }),
  }
}
