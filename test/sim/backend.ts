// The protected API and the way to it: calls that wait for their bodies, take effect late, are answered late, twice or
// never, or start jobs. It keeps one promise: nothing takes effect later than the quiet time after it was sent.

import type { LockMode, LockName } from '../../gateway/core/names.ts'
import type { Locking } from '../../gateway/locking/locking.ts'
import type { AdmissionResult, LedgerEntry } from '../../gateway/spi/gate.ts'
import type { HistoryEvent } from './history.ts'
import { type Profile, QUIET_MS } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler, SimulatedProcess } from './scheduler.ts'

/** Of the quiet time; the rest is for clocks that run at other rates. */
const EFFECT_MS_MAX = QUIET_MS * 0.95
/** When the data plane gives an unanswered call up by itself. */
const UPSTREAM_TIMEOUT_MS = 9_000

export interface Caller {
  readonly session: string
  readonly lock: LockName
  readonly token: number
  /** Of the grant. */
  readonly mode: LockMode
}

interface Flight {
  readonly id: number
  readonly caller: Caller
  readonly process: SimulatedProcess
  readonly entry: LedgerEntry
  sent: boolean
  /** The connection to the backend is no more: no answer comes through it. */
  broken: boolean
  ended: boolean
  /** A fencer has proven that nothing of it is left. */
  flushed: boolean
}

export class SimulatedBackend {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #profile: Profile
  readonly #record: (event: HistoryEvent) => void
  readonly #flights = new Map<number, Flight>()
  #count = 0

  constructor(options: {
    readonly scheduler: Scheduler
    readonly random: Random
    readonly profile: Profile
    readonly record: (event: HistoryEvent) => void
  }) {
    this.#scheduler = options.scheduler
    this.#random = options.random
    this.#profile = options.profile
    this.#record = options.record
  }

  call(caller: Caller, process: SimulatedProcess, locking: Locking): void {
    const id = ++this.#count
    const random = this.#random
    const { lock, token, mode } = caller
    const result = locking.gate.admit(
      {
        backend: 'array',
        method: 'POST',
        target: `/calls/${id}`,
        rule: 'any',
        // Who holds a lock shared may only make calls that need it shared.
        locks: [{ name: lock, mode }],
        tokens: [{ lock: random.chance(0.5) ? lock : null, token, signature: null }],
        waitMs: random.chance(0.5) ? 0 : random.between(100, 6_000),
        quietMs: QUIET_MS,
      },
      null,
    )
    if (result instanceof Promise) void result.then((later) => this.#admitted(id, caller, process, later))
    else this.#admitted(id, caller, process, result)
  }

  /** What a fencer does that ends everything of a session, and keeps late arrivals out. */
  flush(session: string): void {
    for (const flight of this.#flights.values()) if (flight.caller.session === session) flight.flushed = true
  }

  #admitted(id: number, caller: Caller, process: SimulatedProcess, result: AdmissionResult): void {
    const { lock, token, mode } = caller
    const atMs = this.#scheduler.nowMs
    const gateway = process.name
    if (result.kind === 'refused') {
      this.#record({ kind: 'refused', atMs, gateway, lock, token, code: result.refusal.code })
      return
    }
    this.#record({ kind: 'admitted', atMs, gateway, call: id, lock, token, mode })
    const { entry } = result
    const flight: Flight = {
      id,
      caller,
      process,
      entry,
      sent: false,
      broken: false,
      ended: false,
      flushed: false,
    }
    this.#flights.set(id, flight)
    const hasty = this.#random.chance(0.5)
    entry.onSealed(() => {
      // The data plane does not wait for the body of a call whose lock is lost.
      if (flight.sent || flight.ended || !hasty) return
      flight.ended = true
      entry.ended()
    })
    entry.onAbandoned(() => {
      flight.broken = true
    })
    const slow = this.#random.chance(this.#profile.slowBodyProbability)
    process.clock.after(slow ? this.#random.between(0, 25_000) : this.#random.between(0, 20), () =>
      this.#send(flight),
    )
  }

  #send(flight: Flight): void {
    const { entry, process } = flight
    const random = this.#random
    if (flight.ended || flight.broken) return
    if (entry.recheck() !== null) {
      flight.ended = true
      entry.ended()
      return
    }
    flight.sent = true
    this.#record({ kind: 'forwarded', atMs: this.#scheduler.nowMs, call: flight.id })
    const effectMs = random.chance(0.75) ? random.between(1, 300) : random.between(300, EFFECT_MS_MAX)
    process.clock.after(UPSTREAM_TIMEOUT_MS, () => this.#lose(flight))
    const fate = random.unit()
    if (fate < 0.12) this.#job(flight, effectMs)
    else {
      this.#scheduler.after(effectMs, () => this.#takeEffect(flight))
      if (fate < 0.24) {
        const brokenMs = random.between(0, 3_000)
        this.#scheduler.after(brokenMs, () => process.deliver(() => this.#lose(flight)))
      } else if (fate < 0.94) {
        const answerMs = effectMs + random.between(0, random.chance(0.2) ? 3_000 : 50)
        this.#scheduler.after(answerMs, () => process.deliver(() => this.#end(flight)))
        if (random.chance(0.1))
          this.#scheduler.after(answerMs + 5, () => process.deliver(() => entry.ended()))
      }
    }
  }

  #job(flight: Flight, effectMs: number): void {
    const { entry, process, id } = flight
    const answeredMs = this.#random.between(0, effectMs)
    this.#scheduler.after(answeredMs, () =>
      process.deliver(() => {
        if (flight.broken || flight.ended) return
        entry.job(`job-${id}`, { kind: 'vsphere-task', task: `task-${id}` })
        const seenMs = effectMs - answeredMs + this.#random.between(0, 500)
        if (this.#random.chance(0.1))
          this.#scheduler.after(seenMs / 2, () =>
            process.deliver(() => entry.unknown('the job cannot be asked for')),
          )
        else this.#scheduler.after(seenMs, () => process.deliver(() => this.#end(flight)))
      }),
    )
    this.#scheduler.after(effectMs, () => this.#takeEffect(flight))
  }

  #lose(flight: Flight): void {
    if (flight.ended || flight.broken) return
    flight.broken = true
    flight.entry.unknown('the connection to the backend broke')
  }

  #end(flight: Flight): void {
    if (flight.broken) return
    flight.ended = true
    flight.entry.ended()
  }

  #takeEffect(flight: Flight): void {
    if (flight.flushed) return
    const { lock, token, mode } = flight.caller
    this.#record({ kind: 'executed', atMs: this.#scheduler.nowMs, call: flight.id, lock, token, mode })
    this.#flights.delete(flight.id)
  }
}
