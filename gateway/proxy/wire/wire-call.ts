// One plain call, from its head to the last byte of its answer, between two raw connections. Its request is whole before
// it begins; from then on the rules are those of `exchange.ts` and `forwarding.ts`: after the first byte may have gone out
// nothing repeats the call, and no client's disappearing loses its answer.

import type { Backend } from '../backend.ts'
import { AnswerFault, BrokenOff, backendDown, unknownReason } from '../call-faults.ts'
import type { Sender } from '../callers.ts'
import { type Call, CheckedCall } from '../checked-call.ts'
import type { Peer } from '../forwarded-fields.ts'
import { JobAnswer } from '../job-answer.ts'
import type { OpenCall } from '../open-call.ts'
import { GOING_AWAY, type RefusalAnswer } from '../refusals.ts'
import type { Upstream } from '../upstream.ts'
import { AnswerDelivery, type AnswerReceiver } from './answer-delivery.ts'
import { answerFields, answerLines, refusalHead } from './answer-lines.ts'
import type { AnswerReader } from './answer-reader.ts'
import type { AnswerStream, AnswerTaker } from './answer-stream.ts'
import type { RequestReader } from './request-reader.ts'
import type { UpstreamConnection, UpstreamUser } from './upstream-pool.ts'

/** What a call needs of its client's connection. */
export interface WireClient extends AnswerReceiver {
  readonly reader: RequestReader
  /** Both readers are the connection's: it has one call at a time. */
  readonly answers: AnswerStream
  readonly peer: Peer
  /** Aborted when the client hangs up. */
  goneSignal(): AbortSignal
  readonly sender: Sender
  /** The answer is through, at `nowMs`. `keepAlive`: whether the next request may follow. */
  answered(keepAlive: boolean, nowMs: number): void
}

const NOTHING: readonly string[] = []
/** A hint with other bytes is not worth the call. */
const PLAIN_LINK = /^<[\x21-\x7e]*>[\t\x20-\x7e]*$/

export class WireCall extends CheckedCall implements UpstreamUser, AnswerTaker {
  readonly #client: WireClient
  readonly #method: string
  readonly #keepAlive: boolean
  readonly #body: Buffer | null
  /** The body again, a character a byte; null where it is too large for that. */
  readonly #bodyText: string | null
  /** Whether a byte of it may have gone out. */
  #sent = false
  #call: Call | null = null
  #open: OpenCall | null = null
  /** Where it goes; `#tried` are the addresses that could not be reached before. */
  #upstream: Upstream
  #tried: Upstream[] | null = null
  #connection: UpstreamConnection | null = null
  #message = ''
  /** Null where the answer comes whole and small, or has not begun. */
  #delivery: AnswerDelivery | null = null
  #jobAnswer: JobAnswer | null = null
  #clientGone = false
  /** The head of an answer that is held back. */
  #held: string | null = null
  /** Whether a byte of the answer went to the client. */
  #answering = false
  #finished = false
  /** When the backend last gave a sign of life, or got the call. */
  #lastByteMs = 0

  constructor(backend: Backend, client: WireClient, body: Buffer | null, bodyText: string | null) {
    super(backend)
    this.#upstream = backend.upstreams.first
    this.#client = client
    this.#method = client.reader.method
    this.#keepAlive = client.reader.keepAlive
    this.#body = body
    this.#bodyText = bodyText
  }

  /** How long the client's connection may lie idle after the answer; 0 where it is the last. */
  get #idleMs(): number {
    return this.#keepAlive && !this.backend.closing ? this.backend.limits.clientIdleMs : 0
  }

  start(): void {
    if (!this.enter()) return
    const { reader } = this.#client
    const body = this.#body
    const { policy } = this.backend
    // The body is here: asking first whether the policy wants it would read the target twice.
    if (body === null || body.length <= policy.bodyBytesMax) {
      this.check(reader, reader.token, body)
      return
    }
    const needed = policy.bodyBytesNeeded(reader)
    if (needed === 0) this.check(reader, reader.token, null)
    else if (this.passTooLarge(needed)) this.forwardUnchecked(reader)
  }

  protected get isUnwanted(): boolean {
    return this.#clientGone || this.#finished
  }

  protected get heldBytes(): number {
    return this.#client.reader.fields.text.length + 2 * (this.#body?.length ?? 0)
  }

  protected get sender(): Sender {
    return this.#client.sender
  }

  protected goneSignal(): AbortSignal {
    return this.#client.goneSignal()
  }

  protected forward(call: Call, open: OpenCall | null): void {
    this.#call = call
    this.#open = open
    const { forwardedFields } = this.backend
    const { reader } = this.#client
    const replaced = forwardedFields?.replaced ?? NOTHING
    this.#message = reader.forwarded(
      call.target,
      // An answer that may name a job, or tells of a login, has to be read here.
      (open !== null && call.job !== null) || this.learning !== null
        ? ['accept-encoding', ...replaced]
        : replaced,
      forwardedFields?.lines(this.#client.peer, (name) => reader.header(name)),
    )
    if (this.#bodyText !== null) this.#message += this.#bodyText
    if (open !== null) {
      open.whenAbandoned(() => this.breakOff('abandoned at the end of the drain limit'))
      if (this.#finished) return
    }
    this.#upstream.wire.acquire(this)
  }

  connected(connection: UpstreamConnection, nowMs: number): void {
    if (this.#finished) {
      this.#upstream.wire.release(connection, -1, nowMs)
      return
    }
    const refusal = this.#open?.recheck() ?? null
    if (refusal !== null) {
      this.#open?.ended()
      this.#open = null
      if (this.backend.enforce) {
        this.#upstream.wire.release(connection, -1, nowMs)
        this.refuse(refusal)
        return
      }
      this.shadowed(refusal)
    }
    this.#connection = connection
    this.#sent = true
    this.#client.answers.begin(this.#method, this.backend.limits.headerBytesMax)
    this.#lastByteMs = nowMs
    const { socket } = connection
    const body = this.#bodyText === null ? this.#body : null
    if (body === null) socket.write(this.#message, 'latin1')
    else {
      socket.cork()
      socket.write(this.#message, 'latin1')
      socket.write(body)
      socket.uncork()
    }
    this.#message = ''
  }

  /** Nothing was sent: another address may have it. */
  unreachable(error: Error): void {
    if (this.#finished) return
    this.#tried ??= []
    this.#tried.push(this.#upstream)
    const other = this.backend.upstreams.after(this.#tried)
    if (other !== null) {
      this.#upstream = other
      other.wire.acquire(this)
      return
    }
    this.#open?.ended()
    this.refuse(backendDown(error, false))
  }

  received(bytes: Buffer, length: number): void {
    this.#lastByteMs = this.backend.clock.monotonicMs()
    this.#client.answers.read(bytes, length, this)
  }

  interim(reader: AnswerReader): void {
    if (this.#clientGone) return
    if (reader.status === 102) this.#client.write('HTTP/1.1 102 Processing\r\n\r\n')
    if (reader.status !== 103) return
    const link = reader.fields.joined('link', ', ')
    if (link !== undefined && PLAIN_LINK.test(link))
      this.#client.write(`HTTP/1.1 103 Early Hints\r\nLink: ${link}\r\n\r\n`)
  }

  head(reader: AnswerReader): void {
    this.#askForJob(reader)
    if (this.#holdsBack(reader) || this.#clientGone || this.#connection === null) return
    this.#answering = true
    this.#delivery = new AnswerDelivery(this.backend, this.#client, {
      source: this.#connection.socket,
      open: this.#open,
      isChunked: reader.framing === 'chunked' || reader.framing === 'close',
      onResume: () => (this.#lastByteMs = this.backend.clock.monotonicMs()),
    })
    this.#delivery.head(this.#answerLines(reader))
  }

  whole(reader: AnswerReader, body: string): void {
    this.#askForJob(reader)
    this.#jobAnswer?.take(Buffer.from(body, 'latin1'))
    if (this.#holdsBack(reader)) this.learning?.take(Buffer.from(body, 'latin1'))
    if (this.#held !== null || this.#clientGone) return
    this.#answering = true
    this.#client.write(this.#answerLines(reader) + body)
  }

  /** What a login has opened has to be written down before its client hears of it. */
  #holdsBack(reader: AnswerReader): boolean {
    if (this.learning?.appliesTo(reader.status) !== true) return false
    this.#held = this.#answerLines(reader)
    this.learning.begin(answerFields(reader), reader.encoded)
    return true
  }

  #askForJob(reader: AnswerReader): void {
    const rule = this.#open === null ? null : (this.#call?.job ?? null)
    if (rule?.appliesTo(reader.status) === true) this.#jobAnswer = new JobAnswer(rule)
  }

  #answerLines(reader: AnswerReader): string {
    return answerLines(reader, this.#idleMs, this.#lastByteMs)
  }

  piece(bytes: Buffer): void {
    if (this.#held !== null) this.learning?.take(bytes)
    this.#jobAnswer?.take(bytes)
    this.#delivery?.piece(bytes)
  }

  malformed(reason: string): void {
    this.#broken(new AnswerFault('ANSWER_MALFORMED', `the answer cannot be understood: ${reason}`))
  }

  end(trailer: string, clean: boolean): void {
    this.#delivery?.end(trailer)
    const { reader } = this.#client.answers
    const connection = this.#connection
    const keepAlive = this.#keepAlive && !this.backend.closing
    this.#connection = null
    this.#upstream.health.answered()
    this.#settleByAnswer(reader)
    if (connection !== null) {
      if (clean && reader.keepAlive && connection.socket.writableLength === 0) {
        if (connection.socket.isPaused()) connection.socket.resume()
        this.#upstream.wire.release(connection, reader.keepAliveMs, this.#lastByteMs)
      } else connection.destroy()
    }
    this.answered(reader.status)
    if (this.#held !== null) {
      void this.#deliverHeld(this.#held, keepAlive)
      return
    }
    this.leave()
    if (!this.#clientGone && this.#delivery?.isStopped !== true)
      this.#client.answered(keepAlive, this.#lastByteMs)
  }

  /** The answer to a login goes on once it is known whose session it opened. */
  async #deliverHeld(lines: string, keepAlive: boolean): Promise<void> {
    const { learning } = this
    const refusal = (await learning?.settle()) ?? null
    if (this.#finished) return
    if (refusal !== null && !this.pass(refusal)) return
    this.leave()
    if (this.#clientGone || learning === null) return
    const { body } = learning
    this.#client.write(lines)
    const { framing } = this.#client.answers.reader
    if (framing !== 'chunked' && framing !== 'close') this.#client.write(body)
    else {
      if (body.length > 0) this.#client.write(`${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n`)
      this.#client.write('0\r\n\r\n')
    }
    this.#client.answered(keepAlive, this.backend.clock.monotonicMs())
  }

  #settleByAnswer(answer: AnswerReader): void {
    const open = this.#open
    if (open === null) return
    if (this.#jobAnswer === null) open.ended()
    else
      this.#jobAnswer.settle(open, answer, (probe) =>
        this.backend.jobs.watch(open, probe, this.#client.reader.list()),
      )
  }

  lost(error: Error | null): void {
    this.#connection = null
    if (this.#finished) return
    const { answers } = this.#client
    if (error === null && answers.inBody && answers.reader.framing === 'close') {
      this.end('', false)
      return
    }
    this.#fail(error ?? new AnswerFault('CONNECTION_CLOSED', 'the backend closed the connection'))
  }

  #broken(error: Error): void {
    const connection = this.#connection
    this.#connection = null
    connection?.destroy()
    this.#fail(error)
  }

  /** The call was sent, and its answer will not come. */
  #fail(error: Error): void {
    if (this.#finished) return
    if (!(error instanceof BrokenOff)) this.#upstream.health.answerLost(error.message)
    this.#open?.unknown(unknownReason(error))
    if (this.#answering) {
      this.leave()
      this.#client.abort()
    } else this.refuse(backendDown(error, true))
  }

  clientGone(): void {
    if (this.#clientGone) return
    this.#clientGone = true
    if (this.#finished) return
    if (!this.#sent) this.#cancel()
    else if (this.isRead) this.#broken(new BrokenOff('the client hung up'))
    else this.#delivery?.stop()
  }

  breakOff(reason: string): void {
    if (this.#finished) return
    if (this.#sent) {
      this.#broken(new BrokenOff(reason))
      return
    }
    this.#upstream.wire.forget(this)
    this.#open?.ended()
    this.refuse(
      this.#call === null
        ? GOING_AWAY
        : { code: 'backend-down', status: 503, detail: `nothing of the call was sent (${reason})` },
    )
  }

  /** Its body is whole before it begins. */
  endIdleBody(): void {
    return
  }

  /** To be asked now and then: gives up an answer that does not come. */
  endLateAnswer(nowMs: number): void {
    if (this.#connection === null || this.#connection.socket.isPaused()) return
    const { limits } = this.backend
    const isRead = this.isRead
    const limitMs = isRead
      ? limits.readAnswerMs
      : !this.#client.answers.inBody
        ? limits.answerHeadMs
        : limits.answerIdleMs
    if (limitMs > 0 && nowMs - this.#lastByteMs > limitMs)
      this.#broken(new AnswerFault('ANSWER_TIMEOUT', 'the answer did not come in time'))
  }

  /** Not one byte has gone out: the call has ended now. */
  #cancel(): void {
    this.#upstream.wire.forget(this)
    this.#open?.ended()
    this.leave()
  }

  protected answer(answer: RefusalAnswer): void {
    const idleMs = this.#idleMs
    const nowMs = this.backend.clock.monotonicMs()
    const head = refusalHead(answer, idleMs, nowMs)
    this.#client.write(this.#method === 'HEAD' ? head : head + answer.bytes)
    this.#client.answered(idleMs > 0, nowMs)
  }

  protected left(): void {
    this.#finished = true
    this.#delivery?.over()
  }
}
