// One watch on one stream of its own. It fails loudly and once: it never begins again behind the listener's back, and
// a stream that has gone silent counts as broken.
//
// Several prefixes are one watch over all that lies from the first to the last of them, and what lies between is dropped
// here. etcd orders events within a watch only, and before 3.4.31 and 3.5.13 the progress of several cannot be told.

import type { Revision } from '../../core/names.ts'
import type { Clock, Timer } from '../../spi/clock.ts'
import type { Prefixes, StoreEvent, Watch, WatchListener } from '../../spi/store.ts'
import { coveringRange, inRange, type KeyRange, prefixRanges } from '../key-range.ts'
import type { Endpoint, Endpoints } from './endpoints.ts'
import { type CallHandle, callHandle, withinDeadline } from './grpc-call.ts'
import type { GrpcCall, GrpcConnection } from './grpc-connection.ts'
import { EMPTY, statusVersion } from './lease-messages.ts'
import {
  etcdRange,
  progressRequest,
  type WatchAnswer,
  type WatchEvent,
  watchAnswer,
  watchRequest,
} from './messages.ts'
import { METHODS } from './methods.ts'
import { MalformedMessage } from './protobuf.ts'
import { ordersRequestedProgress } from './server-version.ts'

export interface WatchTiming {
  /** A stream that has been silent for so long is asked for a sign of life. */
  readonly silentMs: number
  /** From the first such question on; then the watch has failed. */
  readonly answerMs: number
}

export interface EtcdWatchOptions {
  readonly endpoints: Endpoints
  readonly clock: Clock
  readonly timing: WatchTiming
  readonly prefixes: Prefixes
  readonly after: Revision
  readonly listener: WatchListener
}

export class EtcdWatch implements Watch {
  readonly #options: EtcdWatchOptions
  readonly #ranges: readonly [KeyRange, ...KeyRange[]]
  #over = false
  #stream: GrpcCall | null = null
  #handle: CallHandle | null = null
  #connection: GrpcConnection | null = null
  #created = false
  #progressWanted = false
  #progressIsOrdered = false
  #position: Revision
  #parts: WatchEvent[] = []
  #lastHeardMs: number
  #check: Timer | null = null

  constructor(options: EtcdWatchOptions) {
    this.#options = options
    this.#ranges = prefixRanges(options.prefixes)
    this.#position = options.after
    this.#lastHeardMs = options.clock.monotonicMs()
    this.#begin().catch((error: unknown) => this.#fail('lost', messageOf(error)))
  }

  requestProgress(): void {
    this.#progressWanted = true
    this.#askForProgress()
  }

  close(): void {
    if (this.#over) return
    this.#end()
  }

  async #begin(): Promise<void> {
    const { endpoints, clock, timing, after } = this.#options
    const endpoint = await endpoints.answering()
    if (this.#over) return
    const what = `watch at ${endpoint.url}`
    const deadline = { clock, timeoutMs: timing.answerMs, what, login: endpoint.login }
    const status = await withinDeadline(deadline, (asked) =>
      asked.ask(endpoint.connection, METHODS.status, EMPTY),
    )
    if (this.#over) return
    this.#progressIsOrdered = ordersRequestedProgress(statusVersion(status))
    const handle = callHandle(endpoint.login)
    this.#handle = handle
    const connection = endpoint.dial()
    this.#connection = connection
    const stream = await withinDeadline(deadline, () =>
      handle.stream(connection, METHODS.watch, {
        message: (bytes) => this.#received(bytes),
        over: (failure) => {
          if (this.#over) return
          endpoints.failed(endpoint)
          this.#fail('lost', `${what}: ${failure?.message ?? 'the stream has ended'}`)
        },
      }),
    )
    this.#stream = stream
    if (this.#over) return this.#end()
    this.#lastHeardMs = clock.monotonicMs()
    stream.send(watchRequest(etcdRange(coveringRange(this.#ranges)), after + 1))
    this.#watchOverStream(endpoint, what)
  }

  #received(bytes: Buffer): void {
    if (this.#over) return
    this.#lastHeardMs = this.#options.clock.monotonicMs()
    const answer = this.#read(bytes)
    if (answer === null) return
    if (answer.compactedTo !== 0) {
      const message = `the events after revision ${this.#position} are gone: the history begins at ${answer.compactedTo}`
      this.#fail('compacted', message)
    } else if (answer.cancelled !== null) {
      this.#fail('lost', `etcd has cancelled the watch: ${answer.cancelled || 'no reason given'}`)
    } else if (answer.created) {
      this.#created = true
      if (this.#progressWanted) this.#askForProgress()
    } else if (answer.events.length === 0 && !answer.fragment && this.#parts.length === 0) {
      this.#progressed(answer)
    } else {
      this.#parts.push(...answer.events)
      if (!answer.fragment) this.#deliver()
    }
  }

  /** Null where nobody can read it: then events may be among it, and the watch is over. */
  #read(bytes: Buffer): WatchAnswer | null {
    try {
      return watchAnswer(bytes)
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#fail('lost', `an answer on the watch cannot be read: ${error.message}`)
      return null
    }
  }

  /** etcd never divides a revision between two responses, but for fragments; one response may hold many revisions. */
  #deliver(): void {
    const parts = this.#parts
    this.#parts = []
    const { listener } = this.#options
    let revision = this.#position
    let events: StoreEvent[] = []
    const flush = (): void => {
      // Servers before 3.4.25 may send a revision again after they were slow.
      if (this.#over || events.length === 0 || revision <= this.#position) return
      this.#position = revision
      listener.revision(revision, events)
    }
    for (const part of parts) {
      const next = part.revision
      if (next !== revision) {
        flush()
        revision = next
        events = []
      }
      if (this.#isWanted(part)) events.push(part.event)
    }
    flush()
    // The last of them may have been none of ours; that nothing of ours came before it is known all the same.
    if (this.#over || revision <= this.#position) return
    this.#position = revision
    listener.progress(revision)
  }

  #isWanted({ key }: WatchEvent): boolean {
    return this.#ranges.length === 1 || this.#ranges.some((range) => inRange(range, key))
  }

  #progressed({ isOfStream, revision }: WatchAnswer): void {
    // What the server sends on its own account goes through the same queue as the events.
    const isOrdered = !isOfStream || this.#progressIsOrdered
    if (!isOrdered || !this.#created || revision < this.#position) return
    this.#position = revision
    this.#options.listener.progress(revision)
  }

  #askForProgress(): void {
    if (this.#over || !this.#created) return
    this.#progressWanted = false
    this.#stream?.send(progressRequest())
  }

  /**
   * A connection without a peer looks like a quiet one. So after `silentMs` without a word the server is asked, again
   * and again, and where nothing at all comes for `answerMs` from then the watch has failed.
   */
  #watchOverStream(endpoint: Endpoint, what: string): void {
    const { clock, timing, endpoints } = this.#options
    const look = (): void => {
      const silentMs = clock.monotonicMs() - this.#lastHeardMs
      if (silentMs >= timing.silentMs + timing.answerMs) {
        endpoints.failed(endpoint)
        this.#fail('lost', `${what}: the stream has been silent for ${Math.round(silentMs)} ms`)
        return
      }
      if (silentMs >= timing.silentMs) this.#askForProgress()
      const lookAgainMs =
        silentMs < timing.silentMs
          ? timing.silentMs - silentMs
          : Math.min(timing.answerMs / 4, timing.silentMs + timing.answerMs - silentMs)
      this.#check = clock.after(lookAgainMs, look)
    }
    look()
  }

  #fail(kind: 'compacted' | 'lost', message: string): void {
    if (this.#over) return
    this.#end()
    this.#options.listener.failed({ kind, message })
  }

  #end(): void {
    this.#over = true
    this.#check?.cancel()
    this.#parts = []
    this.#stream?.end()
    this.#handle?.cancel()
    this.#connection?.close()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
