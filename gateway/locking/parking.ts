// Calls that wait for a handover, or for news from the store: bounded in number, bytes and time, and let go in the order in
// which they came. Whoever is let go is in the ledger in the same tick; nobody waits here whose client has gone.

import type { Refusal } from '../core/verdict.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { AdmissionRequest, AdmissionResult } from '../spi/gate.ts'
import type { LockState } from './lock-state.ts'

/** How long a token that is news may wait for the watch. */
const NEWS_WAIT_MS = 2_000

export interface ParkingBound {
  readonly callsMax: number
  readonly bytesMax: number
}

const UNBOUNDED: ParkingBound = {
  callsMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
}

/** What a gateway's configuration says beside the number of calls over all. */
export interface ParkingSettings {
  readonly bytesMax: number
  readonly lock: ParkingBound
  readonly backend: (name: string) => ParkingBound
}

export interface ParkingLimits {
  readonly total: ParkingBound
  readonly lock: ParkingBound
  readonly backend: (name: string) => ParkingBound
}

export function parkingLimits(callsMax: number, settings: ParkingSettings | undefined): ParkingLimits {
  const bytesMax = settings?.bytesMax ?? UNBOUNDED.bytesMax
  return {
    total: { callsMax, bytesMax },
    lock: settings?.lock ?? UNBOUNDED,
    backend: settings?.backend ?? (() => UNBOUNDED),
  }
}

export type Undecided =
  /** The token is in the queue of `lock`: it may become the owner's. */
  | { readonly kind: 'queued'; readonly lock: LockState; readonly refusal: Refusal }
  /** The token is larger than anything applied: not stale, but not known either. */
  | { readonly kind: 'news'; readonly ofLaterEpoch: boolean; readonly refusal: Refusal }

export interface ParkingOptions {
  readonly clock: Clock
  readonly limits: ParkingLimits
  /** Admits where that is due: its answer has to be used. */
  readonly decide: (request: AdmissionRequest) => AdmissionResult | Undecided
  /** Resolves once the view holds all that the store held when it was asked; false where that took longer than `waitMs`. */
  readonly catchUp: (waitMs: number) => Promise<boolean>
}

interface ParkedCall {
  /** Counts arrivals. */
  readonly number: number
  readonly request: AdmissionRequest
  readonly bytes: number
  readonly deadlineMs: number
  readonly gone: AbortSignal | null
  readonly resolve: (result: AdmissionResult) => void
  /** Of the lock by which it is counted, which is the first that it waited for. */
  readonly lockName: string
  readonly leave: () => void
  line: Line | null
  timer: Timer | null
  /** What it is told where it has to go now. */
  refusal: Refusal
  caughtUp: boolean
}

/** Those who wait for one lock, by arrival. */
interface Line {
  readonly lock: LockState
  readonly calls: ParkedCall[]
  readonly look: () => void
}

class Usage {
  calls = 0
  bytes = 0
}

export class Parking {
  readonly #options: ParkingOptions
  readonly #calls = new Set<ParkedCall>()
  readonly #lines = new Map<LockState, Line>()
  readonly #total = new Usage()
  readonly #byLock = new Map<string, Usage>()
  readonly #byBackend = new Map<string, Usage>()
  /** Why nobody may wait any more. */
  #stopped: string | null = null
  #arrivals = 0

  constructor(options: ParkingOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#total.calls
  }

  /** `bytes`: what the call keeps in memory while it waits. Answers at once where there is no room. */
  park(
    undecided: Undecided,
    request: AdmissionRequest,
    gone: AbortSignal | null,
    bytes: number,
  ): AdmissionResult | Promise<AdmissionResult> {
    const { refusal } = undecided
    const lockName = undecided.kind === 'queued' ? undecided.lock.name : (request.locks[0]?.name ?? '')
    const full = this.#stopped ?? this.#full(request.backend, lockName, bytes)
    if (full !== null) return { kind: 'refused', refusal: unsent(refusal, full) }
    return new Promise((resolve) => {
      const call: ParkedCall = {
        number: ++this.#arrivals,
        request,
        bytes,
        deadlineMs: this.#options.clock.monotonicMs() + request.waitMs,
        gone,
        resolve,
        lockName,
        leave: () => this.#refuse(call),
        line: null,
        timer: null,
        refusal,
        caughtUp: false,
      }
      this.#count(call, 1)
      this.#calls.add(call)
      gone?.addEventListener('abort', call.leave)
      if (gone?.aborted === true) call.leave()
      else this.#place(call, undecided)
    })
  }

  /** Refuses those who wait, and from now on everyone who would have to. */
  stop(reason: string): void {
    this.#stopped = reason
    for (const call of [...this.#calls]) {
      call.refusal = unsent(call.refusal, reason)
      this.#refuse(call)
    }
  }

  #full(backend: string, lockName: string, bytes: number): string | null {
    const { total, lock, backend: ofBackend } = this.#options.limits
    if (!hasRoom(this.#byLock.get(lockName), lock, bytes)) return 'too many calls wait for this lock already'
    if (!hasRoom(this.#byBackend.get(backend), ofBackend(backend), bytes))
      return `too many calls to ${backend} wait already`
    return hasRoom(this.#total, total, bytes) ? null : 'too many calls wait at this gateway already'
  }

  #count({ request, lockName, bytes }: ParkedCall, sign: 1 | -1): void {
    add(this.#total, bytes, sign)
    for (const [usages, name] of [
      [this.#byLock, lockName],
      [this.#byBackend, request.backend],
    ] as const) {
      const usage = usages.get(name) ?? new Usage()
      add(usage, bytes, sign)
      if (usage.calls === 0) usages.delete(name)
      else usages.set(name, usage)
    }
  }

  #place(call: ParkedCall, undecided: Undecided): void {
    const { clock } = this.#options
    call.refusal = undecided.refusal
    if (undecided.kind === 'news') {
      void this.#awaitNews(call)
      return
    }
    const remainingMs = call.deadlineMs - clock.monotonicMs()
    if (remainingMs <= 0) {
      this.#refuse(call)
      return
    }
    call.timer ??= clock.after(remainingMs, () => this.#atDeadline(call))
    const line = this.#lineOf(undecided.lock)
    const at = line.calls.findIndex((other) => other.number > call.number)
    line.calls.splice(at < 0 ? line.calls.length : at, 0, call)
    call.line = line
  }

  #lineOf(lock: LockState): Line {
    let line = this.#lines.get(lock)
    if (line === undefined) {
      const made: Line = { lock, calls: [], look: () => this.#look(made) }
      line = made
      this.#lines.set(lock, line)
      lock.listeners.add(line.look)
    }
    return line
  }

  /** The lock has changed: everyone in its line is decided on, the first first, in this very tick. */
  #look(line: Line): void {
    for (const call of [...line.calls]) this.#decide(call)
  }

  #decide(call: ParkedCall): void {
    // To decide on somebody who has left would enter him in the ledger for good.
    if (!this.#calls.has(call)) return
    const decision = this.#options.decide(call.request)
    if (decision.kind === 'admitted' || decision.kind === 'refused') {
      this.#settle(call, decision)
      return
    }
    call.refusal = decision.refusal
    if (decision.kind === 'queued' && decision.lock === call.line?.lock) return
    this.#leaveLine(call)
    if (decision.kind === 'news' && call.caughtUp) {
      // The view holds all that the store held when we asked, and such a grant was not there. A later epoch than the
      // store's is not the caller's fault: then the store lacks what somebody else has seen of it.
      if (!decision.ofLaterEpoch) call.refusal = neverGranted(decision.refusal)
      this.#refuse(call)
    } else this.#place(call, decision)
  }

  async #awaitNews(call: ParkedCall): Promise<void> {
    call.caughtUp = await this.#options.catchUp(NEWS_WAIT_MS)
    if (call.caughtUp) this.#decide(call)
    else this.#refuse(call)
  }

  #atDeadline(call: ParkedCall): void {
    // Once more, for what it is told: why it is refused may have changed without a change of the lock.
    this.#decide(call)
    this.#refuse(call)
  }

  #refuse(call: ParkedCall): void {
    this.#settle(call, { kind: 'refused', refusal: call.refusal })
  }

  #settle(call: ParkedCall, result: AdmissionResult): void {
    if (!this.#calls.delete(call)) return
    this.#count(call, -1)
    this.#leaveLine(call)
    call.timer?.cancel()
    call.gone?.removeEventListener('abort', call.leave)
    call.resolve(result)
  }

  #leaveLine(call: ParkedCall): void {
    const { line } = call
    if (line === null) return
    call.line = null
    const at = line.calls.indexOf(call)
    if (at >= 0) line.calls.splice(at, 1)
    if (line.calls.length > 0) return
    line.lock.listeners.delete(line.look)
    this.#lines.delete(line.lock)
  }
}

function hasRoom(usage: Usage | undefined, bound: ParkingBound, bytes: number): boolean {
  return (usage?.calls ?? 0) < bound.callsMax && (usage?.bytes ?? 0) + bytes <= bound.bytesMax
}

function add(usage: Usage, bytes: number, sign: 1 | -1): void {
  usage.calls += sign
  usage.bytes += sign * bytes
}

function unsent(refusal: Refusal, reason: string): Refusal {
  return { ...refusal, detail: `${refusal.detail}; ${reason}, and nothing of this call was sent` }
}

function neverGranted(refusal: Refusal): Refusal {
  return {
    ...refusal,
    code: 'stale-token',
    detail: `token ${refusal.token} is above every token that the store has granted`,
  }
}
