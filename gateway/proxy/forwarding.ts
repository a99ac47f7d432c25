// One call at the backend: sends it, streams the answer back, and reports to the ledger what became of it. After the
// first byte may have gone out nothing here repeats a call, and no client's disappearing loses its answer.

import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { InvariantViolation } from '../core/invariant.ts'
import type { Timer } from '../spi/clock.ts'
import {
  type AnswerHead,
  answerFields,
  INTERIM_BYTES_MAX,
  readAnswerHead,
  readTrailers,
} from './answer-head.ts'
import type { Backend } from './backend.ts'
import { AnswerFault, BrokenOff, backendDown, isOurs, RequestCutOff, unknownReason } from './call-faults.ts'
import type { ClientAnswer } from './client-message.ts'
import { ForwardedBody } from './forwarded-body.ts'
import type { ForwardedCall, ForwardingOwner } from './forwarded-call.ts'
import { JobAnswer } from './job-answer.ts'
import type { OpenCall } from './open-call.ts'
import type { ForwardOptions, Upstream } from './upstream.ts'

/** Where the answer stands on its way to the client. */
type Delivery = 'waiting' | 'learning' | 'head-held' | 'streaming' | 'discarding' | 'done'

/** Reason phrases with other bytes are dropped: node refuses to write them. */
const PLAIN_REASON = /^[\t\x20-\x7e]*$/

export class Forwarding implements Dispatcher.DispatchHandler {
  readonly #backend: Backend
  readonly #owner: ForwardingOwner
  readonly #answer: ClientAnswer
  readonly #call: ForwardedCall
  #open: OpenCall | null
  /** Where it goes; `#tried` are the addresses that could not be reached before. */
  #upstream: Upstream
  #tried: Upstream[] | null = null
  #controller: Dispatcher.DispatchController | null = null
  #sent = false
  #cancelled = false
  #over = false
  #delivery: Delivery = 'waiting'
  #status = 0
  #statusText = ''
  /** About as many as were passed on. */
  #interimBytes = 0
  #head: AnswerHead | null = null
  #held: Buffer | null = null
  #jobAnswer: JobAnswer | null = null
  #stall: Timer | null = null

  constructor(
    backend: Backend,
    owner: ForwardingOwner,
    answer: ClientAnswer,
    call: ForwardedCall,
    open: OpenCall | null,
  ) {
    this.#backend = backend
    this.#owner = owner
    this.#answer = answer
    this.#call = call
    this.#open = open
    this.#upstream = backend.upstreams.first
  }

  start(): void {
    this.#open?.whenAbandoned(() => this.breakOff('abandoned at the end of the drain limit'))
    if (!this.#over) this.#dispatch()
  }

  #dispatch(): void {
    const { limits } = this.#backend
    const upstream = this.#upstream
    const options: ForwardOptions = {
      path: this.#call.target,
      method: this.#call.method,
      headers: this.#call.headers,
      body: this.#call.body,
      headersTimeout: this.#call.abortable ? limits.readAnswerMs : limits.answerHeadMs,
      bodyTimeout: this.#call.abortable ? limits.readAnswerMs : limits.answerIdleMs,
      servername: upstream.servername,
      ...(this.#call.upgrade === null ? {} : { upgrade: this.#call.upgrade }),
    }
    upstream.pool.dispatch(options, this)
  }

  /** The client's connection is gone. */
  clientGone(): void {
    if (this.#over) return
    if (!this.#sent) {
      this.#cancel()
    } else if (this.#call.abortable) {
      this.#controller?.abort(new BrokenOff('the client hung up'))
    } else if (this.#call.body instanceof ForwardedBody && !this.#call.body.complete) {
      this.#call.body.cutOff()
    } else {
      this.#discard()
    }
  }

  /** Ends the call at the backend as far as this gateway can: what has been sent is then unknown. */
  breakOff(reason: string): void {
    if (this.#over) return
    if (this.#sent) {
      this.#controller?.abort(new BrokenOff(reason))
      return
    }
    this.#cancel()
    this.#owner.refuse({
      code: 'backend-down',
      status: 503,
      detail: `nothing of the call was sent (${reason})`,
    })
  }

  /** Not one byte has gone out: the call has ended now, and undici is stopped where it would begin. */
  #cancel(): void {
    this.#cancelled = true
    this.#open?.ended()
    this.#finish()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#cancelled) {
      controller.abort(new BrokenOff('the call was given up before it was sent'))
      return
    }
    const refusal = this.#open?.recheck() ?? null
    if (refusal !== null) {
      if (this.#backend.enforce) {
        this.#cancel()
        controller.abort(new BrokenOff(refusal.detail))
        this.#owner.refuse(refusal)
        return
      }
      this.#open?.ended()
      this.#open = null
      this.#owner.shadowed(refusal)
    }
    this.#controller = controller
    this.#sent = true
    this.#call.first?.sent()
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | string[]>,
    statusText?: string,
  ): void {
    if (status < 200) {
      this.#informational(controller, status, headers)
      return
    }
    this.#status = status
    this.#statusText = statusText ?? ''
    this.#head = readAnswerHead(Array.isArray(controller.rawHeaders) ? controller.rawHeaders : [], status)
    this.#call.first?.head(
      status,
      PLAIN_REASON.test(this.#statusText) ? this.#statusText : '',
      this.#head.list,
    )
    if (this.#call.job?.appliesTo(status) === true) this.#jobAnswer = new JobAnswer(this.#call.job)
    if (this.#delivery !== 'waiting') return
    if (this.#call.learning?.appliesTo(status) === true) {
      this.#delivery = 'learning'
      this.#call.learning.begin(answerFields(this.#head.list), this.#head.encoded)
      return
    }
    this.#delivery = 'head-held'
    // A small answer comes whole in this very tick and goes out in one write; the head of a slow one must not wait.
    queueMicrotask(() => {
      if (this.#delivery === 'head-held' && this.#held === null) {
        this.#writeHead()
        this.#answer.flush()
      }
    })
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | string[]>,
    socket: Duplex,
  ): void {
    const { upgrade } = this.#call
    if (
      this.#over ||
      status !== 101 ||
      upgrade === null ||
      String(headers['upgrade']).toLowerCase() !== upgrade
    ) {
      socket.on('error', () => socket.destroy())
      socket.destroy()
      this.onResponseError(
        null,
        new AnswerFault('ANSWER_MALFORMED', 'the backend changed to a protocol that nobody had asked for'),
      )
      return
    }
    this.#upstream.health.answered()
    this.#over = true
    const { list } = readAnswerHead(Array.isArray(controller.rawHeaders) ? controller.rawHeaders : [], status)
    this.#owner.upgraded(list, socket, this.#open)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#call.first?.piece(chunk)
    this.#jobAnswer?.take(chunk)
    if (this.#delivery === 'learning') this.#call.learning?.take(chunk)
    if (this.#delivery === 'head-held') {
      if (this.#head?.contentLength === chunk.length && this.#held === null) {
        this.#held = chunk
        return
      }
      this.#writeHead()
    }
    this.#backend.garbage.moved(chunk.length)
    if (this.#delivery === 'streaming' && !this.#answer.write(chunk)) this.#waitForClient()
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#upstream.health.answered()
    this.#settleByAnswer()
    this.#owner.answered(this.#status)
    this.#call.first?.answered()
    if (this.#delivery === 'learning') {
      void this.#deliverLearnt()
      return
    }
    if (this.#delivery === 'head-held') this.#writeHead()
    if (this.#delivery === 'streaming') {
      this.#delivery = 'done'
      const trailers = Array.isArray(controller.rawTrailers) ? readTrailers(controller.rawTrailers) : null
      this.#owner.endAnswer(this.#held, trailers)
    }
    this.#finish()
  }

  /** The answer to a login goes on once it is known whose session it opened. */
  async #deliverLearnt(): Promise<void> {
    const { learning } = this.#call
    const refusal = (await learning?.settle()) ?? null
    if (this.#over) return
    const isUnwanted = this.#delivery !== 'learning'
    this.#delivery = 'done'
    if (refusal !== null && !isUnwanted && this.#backend.enforce) {
      this.#finish()
      this.#owner.refuse(refusal)
      return
    }
    if (refusal !== null) this.#owner.shadowed(refusal)
    if (!isUnwanted) {
      this.#writeHead()
      if (learning !== null) this.#owner.endAnswer(learning.body, null)
    }
    this.#finish()
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    endByInvariant(error)
    if (this.#over) return
    if (!this.#sent) {
      if (this.#triesAnother(error)) return
      this.#open?.ended()
      this.#call.first?.refused(backendDown(error, false))
      this.#finish()
      if (!(error instanceof RequestCutOff)) this.#owner.refuse(backendDown(error, false))
      return
    }
    if (!isOurs(error)) this.#upstream.health.answerLost(error.message)
    this.#open?.unknown(unknownReason(error))
    this.#call.first?.refused(backendDown(error, true))
    const unanswered =
      this.#delivery === 'waiting' || this.#delivery === 'learning' || this.#delivery === 'head-held'
    this.#delivery = 'done'
    this.#finish()
    if (unanswered) this.#owner.refuse(backendDown(error, true))
    else this.#answer.abort()
  }

  /** Nothing was sent: where it could not be reached, another address may have it. */
  #triesAnother(error: Error): boolean {
    if (!this.#upstream.couldNotConnect(error)) return false
    this.#tried ??= []
    this.#tried.push(this.#upstream)
    const other = this.#backend.upstreams.after(this.#tried)
    if (other === null) return false
    this.#upstream = other
    this.#dispatch()
    return true
  }

  #informational(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | string[]>,
  ): void {
    const link = headers['link']
    this.#interimBytes += 64 + String(link).length
    if (this.#interimBytes > INTERIM_BYTES_MAX) {
      controller.abort(new AnswerFault('ANSWER_MALFORMED', 'there is no end of interim answers'))
      return
    }
    if (this.#delivery !== 'waiting') return
    if (status === 102) this.#answer.processing()
    if (status === 103 && link !== undefined) this.#answer.earlyHints(link)
  }

  #writeHead(): void {
    this.#delivery = 'streaming'
    try {
      const reason = PLAIN_REASON.test(this.#statusText) ? this.#statusText : null
      this.#answer.head(this.#status, reason, this.#head?.list ?? [])
    } catch {
      // The backend has answered in a way that cannot be passed on. The call has happened all the same.
      this.#discard()
      this.#answer.abort()
    }
  }

  #settleByAnswer(): void {
    const open = this.#open
    if (open === null) return
    if (this.#jobAnswer === null) open.ended()
    else
      this.#jobAnswer.settle(open, { status: this.#status, encoded: this.#head?.encoded === true }, (probe) =>
        this.#backend.jobs.watch(open, probe, this.#call.headers),
      )
  }

  /** The client does not read. That may hold up a call whose holder is alive, not the drain of a sealed lock. */
  #waitForClient(): void {
    this.#controller?.pause()
    this.#answer.whenDrained(() => {
      this.#stall?.cancel()
      this.#stall = null
      this.#controller?.resume()
    })
    this.#open?.whenSealed(() => {
      if (this.#over || this.#stall !== null || this.#controller?.paused !== true) return
      this.#stall = this.#backend.clock.after(this.#backend.limits.sealedStallMs, () => {
        this.#stall = null
        if (this.#over || this.#controller?.paused !== true) return
        this.#discard()
        this.#answer.abort()
      })
    })
  }

  /** Reads the answer to its end for the ledger's sake alone. */
  #discard(): void {
    this.#delivery = 'discarding'
    this.#held = null
    this.#controller?.resume()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#stall?.cancel()
    this.#stall = null
    this.#owner.forwardingOver()
  }
}

/** undici takes what a handler throws for a failure of the call; out of its reach this one ends the process. */
function endByInvariant(error: Error): void {
  if (error instanceof InvariantViolation)
    setImmediate(() => {
      throw error
    })
}
