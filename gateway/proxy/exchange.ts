// One call on node:http or on a stream of HTTP/2: takes of its body what the check needs, and sends it on. For whatever is
// not plain enough for raw connections (wire/).

import type { Duplex } from 'node:stream'
import type { Refusal } from '../core/verdict.ts'
import type { CallHead } from '../spi/policy.ts'
import type { Backend } from './backend.ts'
import { BodyIntake } from './body-intake.ts'
import { CallCopies } from './call-copies.ts'
import { backendDown, trailerFault } from './call-faults.ts'
import type { Sender } from './callers.ts'
import { type Call, CheckedCall } from './checked-call.ts'
import type { ClientAnswer, ClientMessage, ClientRequest, Upgrade } from './client-message.ts'
import { ForwardedBody } from './forwarded-body.ts'
import type { ForwardingOwner } from './forwarded-call.ts'
import { Forwarding } from './forwarding.ts'
import type { OpenCall } from './open-call.ts'
import {
  bodyTooLarge,
  GOING_AWAY,
  JOINED_TOO_LATE,
  type RefusalAnswer,
  TOO_MANY_COPIES,
  tooLargeForTwo,
  tooManyFields,
} from './refusals.ts'
import type { FirstCopyOutcome } from './repeats.ts'
import {
  joinedFields,
  malformedHead,
  type RequestHead,
  readRequestHead,
  removeField,
} from './request-head.ts'
import { Tunnel } from './tunnel.ts'

/** What a call needs to know of its client's connection. */
export interface ClientConnection {
  /** Aborted when the client hangs up. */
  goneSignal(): AbortSignal
  readonly sender: Sender
}

const NOTHING: readonly Buffer[] = []
const EMPTY = Buffer.alloc(0)
/** Of a body that nobody reads, node takes this much before it stops reading the connection. */
const UNREAD_BODY_BYTES = 64 * 1024

export class Exchange extends CheckedCall implements ForwardingOwner {
  readonly #connection: ClientConnection
  readonly #request: ClientRequest
  readonly #answer: ClientAnswer
  readonly #upgrade: Upgrade | null
  #tunnel: Tunnel | null = null
  #head: RequestHead | null = null
  #callHead: CallHead | null = null
  #forwarding: Forwarding | null = null
  #body: ForwardedBody | null = null
  readonly #intake: BodyIntake
  readonly #copies: CallCopies
  #awaitsContinue: boolean
  #answered = false
  #clientGone = false
  /** The whole body, where it was taken before the call goes on. */
  #whole: Buffer | null = null
  /** What was taken of a body that turned out too large for that. */
  #prefix: readonly Buffer[] = NOTHING

  constructor(
    backend: Backend,
    connection: ClientConnection,
    message: ClientMessage,
    terms: { readonly awaitsContinue: boolean; readonly upgrade?: Upgrade },
  ) {
    super(backend)
    this.#connection = connection
    this.#request = message.request
    this.#answer = message.answer
    this.#upgrade = terms.upgrade ?? null
    this.#awaitsContinue = terms.awaitsContinue
    this.#copies = new CallCopies(backend.repeats)
    this.#intake = new BodyIntake(message.request.body, backend.clock, backend.bodies, () => this.shedBody())
  }

  start(): void {
    if (this.#clientGone) return
    const { limits, policy } = this.backend
    const request = this.#request
    const { method, target } = request
    const reading =
      request.fault === null
        ? readRequestHead(request.fields, target, request.version)
        : malformedHead(request.fault)
    if (reading.kind === 'fault') {
      this.#answer.endConnection()
      this.refuse({ code: reading.verdict, detail: reading.reason })
      return
    }
    if (!this.enter()) return
    const head = reading.head
    if (request.fields.length > 2 * limits.headerFieldsMax) {
      this.refuse(tooManyFields(limits.headerFieldsMax))
      return
    }
    if (limits.bodyBytesMax > 0 && head.contentLength > limits.bodyBytesMax) {
      this.refuse(bodyTooLarge(limits.bodyBytesMax))
      return
    }
    const fields = joinedFields(request.joined, head.dropped)
    const callHead = { method, target, header: (name: string) => fields[name] }
    this.#head = head
    this.#callHead = callHead
    const needed = policy.bodyBytesNeeded(callHead)
    if (!head.chunked && head.contentLength <= 0 && request.isComplete) this.#decide(EMPTY, needed > 0)
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

  /** More of the request is to come. */
  get isReading(): boolean {
    return !this.#request.isComplete
  }

  /** Of its body; 0 where it is not known. */
  get contentLength(): number {
    return Number(this.#request.joined['content-length'] ?? 0)
  }

  protected get isUnwanted(): boolean {
    return this.#clientGone || this.#answered
  }

  /** Its head, and its body as far as it has been taken in. */
  protected get heldBytes(): number {
    let bytes = this.#whole === null ? UNREAD_BODY_BYTES : this.#whole.length
    for (const field of this.#head?.forwarded ?? []) bytes += field.length
    return bytes
  }

  protected get sender(): Sender {
    return this.#connection.sender
  }

  protected goneSignal(): AbortSignal {
    return this.#connection.goneSignal()
  }

  /** The client's connection closed before the answer was through. */
  clientGone(): void {
    if (this.#clientGone || this.#tunnel !== null) return
    this.#clientGone = true
    this.#intake.end()
    if (this.#forwarding === null) this.leave()
    else this.#forwarding.clientGone()
  }

  /** The parser gave up on the connection; true where an answer is still to come that must not be disturbed. */
  framingBroken(): boolean {
    if (this.#request.isComplete) {
      // Nothing more can be read from this connection: the answer under way is its last.
      this.#answer.endConnection()
      return !this.#answer.isOver
    }
    if (this.#forwarding === null || this.#answered) return false
    this.#forwarding.clientGone()
    return this.#answered || this.slot !== -1
  }

  breakOff(reason: string): void {
    if (this.#tunnel !== null) this.#tunnel.breakOff(reason)
    else if (this.#forwarding !== null) this.#forwarding.breakOff(reason)
    else this.refuse(this.#copies.isWaiting ? JOINED_TOO_LATE : GOING_AWAY)
  }

  /**
   * Only of a call that its client has named, and whose body is here whole: what is streamed cannot be compared, and goes on
   * by itself. Nothing is joined in shadow mode, which is to change nothing.
   */
  protected override joinsFirstCopy(call: Call): boolean {
    const { enforce, events, name, repeats } = this.backend
    const head = this.#head
    const callHead = this.#callHead
    const body = this.#whole
    if (!enforce || head === null || callHead === null || body === null) return false
    const id = repeats.idOf((field) => callHead.header(field))
    if (id === null) return false
    const { method } = callHead
    const { target } = call
    const { fields } = this.#request
    const named = { id, method, target, token: head.token, fields, body }
    switch (this.#copies.enter(named, (outcome) => this.#firstCopyOver(outcome, call))) {
      case 'first':
        return false
      case 'joined':
        events({ type: 'call.joined', backend: name, detail: `${method} ${target} (${id.slice(0, 200)})` })
        return true
      case 'crowded':
        this.refuse(TOO_MANY_COPIES)
        return true
    }
  }

  override refuse(refusal: Refusal): void {
    this.#copies.refused(refusal)
    super.refuse(refusal)
  }

  #firstCopyOver(outcome: FirstCopyOutcome, call: Call): void {
    const callHead = this.#callHead
    if (this.isUnwanted || callHead === null) {
      this.leave()
      return
    }
    switch (outcome.kind) {
      case 'unsent':
        if (!this.joinsFirstCopy(call)) this.admit(call, callHead, this.#head?.token ?? null)
        break
      case 'refused':
        this.refuse(outcome.refusal)
        break
      case 'answered':
        if (outcome.body === null) this.refuse(tooLargeForTwo(outcome.status))
        else this.#answerAsFirst(outcome.status, outcome.reason, outcome.fields, outcome.body)
    }
  }

  #answerAsFirst(status: number, reason: string, fields: readonly string[], body: Buffer): void {
    this.leave()
    try {
      this.#answer.head(status, reason, fields)
    } catch {
      // As with the first copy: an answer that cannot be passed on.
      this.#answer.abort()
      return
    }
    this.endAnswer(body, null)
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
    const { bodyBytesMax } = this.backend.limits
    const isLimited = bodyBytesMax > 0 && bodyBytesMax < needed
    this.#continue()
    this.#intake.take(
      isLimited ? bodyBytesMax : needed,
      (body) => this.#decide(body, true),
      (prefix) => {
        if (isLimited) this.refuse(bodyTooLarge(bodyBytesMax))
        else this.#tooLarge(needed, prefix)
      },
    )
  }

  #tooLarge(needed: number, prefix: readonly Buffer[]): void {
    this.#prefix = prefix
    if (this.#callHead !== null && this.passTooLarge(needed)) this.forwardUnchecked(this.#callHead)
  }

  #continue(): void {
    if (!this.#awaitsContinue) return
    this.#awaitsContinue = false
    this.#answer.continue()
  }

  /** `body` is null where it is still to come; `checked`: whether the policy asked to see it. */
  #decide(body: Buffer | null, checked: boolean): void {
    const callHead = this.#callHead
    if (callHead === null || this.#clientGone) {
      this.leave()
      return
    }
    const fault = body === null ? null : this.#trailerFault()
    if (fault !== null) {
      this.refuse(backendDown(fault, false))
      return
    }
    this.#whole = body
    this.check(callHead, this.#head?.token ?? null, checked ? body : null)
  }

  #trailerFault(): Error | null {
    const fault = trailerFault(this.#request.trailers)
    if (fault !== null) this.#answer.endConnection()
    return fault
  }

  protected forward(call: Call, open: OpenCall | null): void {
    const head = this.#head
    if (head === null) return
    const body = this.#whole
    const headers = head.forwarded
    this.#tellOfClient(headers)
    const job = open === null ? null : call.job
    // An answer that may name a job, or tells of a login, has to be read here.
    if (job !== null || this.learning !== null) removeField(headers, 'accept-encoding')
    this.#forwarding = new Forwarding(
      this.backend,
      this,
      this.#answer,
      {
        method: this.#request.method,
        target: call.target,
        headers,
        body: body === null ? this.#stream(head, open) : body.length === 0 ? null : body,
        job,
        first: this.#copies.first,
        upgrade: this.#upgrade?.protocol ?? null,
        learning: this.learning,
        abortable: call.effect === 'read',
      },
      open,
    )
    this.#forwarding.start()
  }

  #tellOfClient(headers: string[]): void {
    const { forwardedFields } = this.backend
    const callHead = this.#callHead
    if (forwardedFields === null || callHead === null) return
    for (const name of forwardedFields.replaced) removeField(headers, name)
    headers.push(...forwardedFields.fields(this.#request.peer, (name) => callHead.header(name)))
  }

  #stream(head: RequestHead, open: OpenCall | null): ForwardedBody {
    if (head.contentLength >= 0) head.forwarded.push('Content-Length', String(head.contentLength))
    this.#continue()
    this.#intake.moved()
    const { enforce, garbage, limits } = this.backend
    const body = new ForwardedBody(this.#request.body, this.#prefix, {
      onProgress: (bytes) => {
        this.#intake.moved()
        garbage.moved(bytes)
      },
      bytesMax: limits.bodyBytesMax,
      mayGoOn: () => open === null || open.leaseStands || !enforce,
      fault: () => this.#trailerFault(),
    })
    this.#request.body.once('end', () => this.#intake.end())
    this.#body = body
    return body
  }

  protected answer(answer: RefusalAnswer): void {
    this.#answer.head(answer.status, null, answer.headers)
    this.endAnswer(answer.body, null)
  }

  forwardingOver(): void {
    this.leave()
  }

  endAnswer(last: Buffer | null, trailers: [string, string][] | null): void {
    this.#answered = true
    this.#answer.end(last, trailers)
  }

  upgraded(fields: readonly string[], upstream: Duplex, open: OpenCall | null): void {
    if (this.#upgrade === null) return
    const { protocol, socket } = this.#upgrade
    this.#tunnel = new Tunnel(this.backend, { client: socket, upstream }, open, () => this.leave())
    this.#answered = true
    this.#upgrade.detach()
    for (const event of ['data', 'end']) socket.removeAllListeners(event)
    let head = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n`
    for (let i = 0; i + 1 < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
    if (!socket.destroyed) socket.write(`${head}\r\n`, 'latin1')
    this.#tunnel.start()
    if (this.#clientGone || socket.destroyed || this.backend.closing) this.#tunnel.finish()
  }

  override hurry(): void {
    this.#tunnel?.finish()
  }

  protected left(): void {
    this.#intake.release()
    this.#copies.left()
  }
}
