// The protected API and the way to it: calls that wait for their bodies, arrive and take effect late, are answered late,
// twice or never, or start jobs. It keeps one promise where the profile has a quiet time: nothing takes effect later than
// that after it was sent.

import type { LockMode, LockName } from '../../gateway/core/names.ts'
import type { Locking } from '../../gateway/locking/locking.ts'
import type { AdmissionResult, LedgerEntry } from '../../gateway/spi/gate.ts'
import type { HistoryEvent } from './history.ts'
import type { Marks } from './marks.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler, SimulatedProcess } from './scheduler.ts'

/** When the data plane gives an unanswered call up by itself. */
const UPSTREAM_TIMEOUT_MS = 9_000

export interface HeldLock {
  readonly lock: LockName
  readonly token: number
  /** Of the grant. */
  readonly mode: LockMode
}

export interface Caller {
  readonly session: string
  /** Never empty. */
  readonly held: readonly HeldLock[]
}

interface Flight {
  readonly id: number
  readonly caller: Caller
  readonly process: SimulatedProcess
  readonly entry: LedgerEntry
  sent: boolean
  /** The backend has it in hand. */
  arrived: boolean
  /** The connection to the backend is no more: no answer comes through it. */
  broken: boolean
  ended: boolean
  /** A fencer has put an end to it. */
  cancelled: boolean
}

export interface BackendOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly marks: Marks
  readonly record: (event: HistoryEvent) => void
}

export class SimulatedBackend {
  readonly #options: BackendOptions
  /** What may still take effect. */
  readonly #flights = new Map<number, Flight>()
  readonly #blocked = new Set<string>()
  #count = 0

  constructor(options: BackendOptions) {
    this.#options = options
  }

  call(caller: Caller, process: SimulatedProcess, locking: Locking): void {
    const { random, profile } = this.#options
    const id = ++this.#count
    const isNamed = caller.held.length > 1 || random.chance(0.5)
    const result = locking.gate.admit(
      {
        backend: 'array',
        method: 'POST',
        target: `/calls/${id}`,
        rule: 'any',
        // Who holds a lock shared may only make calls that need it shared.
        locks: caller.held.map(({ lock, mode }) => ({ name: lock, mode })),
        tokens: caller.held.map(({ lock, token }) => ({
          lock: isNamed ? lock : null,
          token,
          signature: null,
        })),
        waitMs: random.chance(0.5) ? 0 : random.between(100, 6_000),
        quietMs: profile.quietMs,
      },
      null,
    )
    if (!(result instanceof Promise)) this.#answered(id, caller, process, result)
    else
      void result.then((late) => {
        if (late.kind === 'admitted') this.#options.marks.hit('call admitted after it was parked')
        this.#answered(id, caller, process, late)
      })
  }

  /** Calls of a session that may still take effect: all that were sent, or those that the backend has in hand. */
  openCalls(session: string, which: 'sent' | 'arrived'): number {
    return this.#of(session).filter((flight) => which === 'sent' || flight.arrived).length
  }

  /** From now on the backend refuses what arrives of this session. */
  block(session: string): void {
    this.#blocked.add(session)
  }

  isBlocked(session: string): boolean {
    return this.#blocked.has(session)
  }

  /** Ends what has arrived of a session. */
  sweep(session: string): void {
    for (const flight of this.#of(session)) if (flight.arrived) this.#cancel(flight)
  }

  /** Ends all that was sent of a session. */
  flush(session: string): void {
    for (const flight of this.#of(session)) this.#cancel(flight)
  }

  /** Whether nothing that the process has admitted under the token can still act. */
  over(lock: string, token: number, process: string): boolean {
    for (const { caller, process: by, sent, ended, broken } of this.#flights.values()) {
      if (by.name !== process || (!sent && (ended || broken || !by.alive))) continue
      if (caller.held.some((held) => held.lock === lock && held.token === token)) return false
    }
    return true
  }

  #of(session: string): Flight[] {
    return [...this.#flights.values()].filter((flight) => flight.sent && flight.caller.session === session)
  }

  #cancel(flight: Flight): void {
    flight.cancelled = true
    this.#flights.delete(flight.id)
    this.#options.marks.hit('call cancelled by a fencer')
  }

  #answered(id: number, caller: Caller, process: SimulatedProcess, result: AdmissionResult): void {
    const { scheduler, random, profile, record, marks } = this.#options
    const atMs = scheduler.nowMs
    const gateway = process.name
    if (result.kind === 'refused') {
      const [first] = caller.held
      const { code } = result.refusal
      // Of several locks it is not said here which one was in the way.
      if (first !== undefined && caller.held.length === 1) {
        const { lock, token } = first
        record({ kind: 'refused', atMs, gateway, lock, token, code })
      }
      return
    }
    if (caller.held.length > 1) marks.hit('call with several locks admitted')
    for (const { lock, token, mode } of caller.held)
      record({ kind: 'admitted', atMs, gateway, call: id, lock, token, mode })
    const { entry } = result
    const flight: Flight = {
      id,
      caller,
      process,
      entry,
      sent: false,
      arrived: false,
      broken: false,
      ended: false,
      cancelled: false,
    }
    this.#flights.set(id, flight)
    const hasty = random.chance(0.5)
    entry.onSealed(() => {
      // The data plane does not wait for the body of a call whose lock is lost.
      if (flight.sent || flight.ended || !hasty) return
      this.#drop(flight)
    })
    entry.onAbandoned(() => {
      flight.broken = true
    })
    const slow = random.chance(profile.slowBodyProbability)
    process.clock.after(slow ? random.between(0, 25_000) : random.between(0, 20), () => this.#send(flight))
  }

  /** Nothing of it went out. */
  #drop(flight: Flight): void {
    flight.ended = true
    this.#flights.delete(flight.id)
    flight.entry.ended()
  }

  #send(flight: Flight): void {
    const { scheduler, random, profile, record, marks } = this.#options
    const { entry, process } = flight
    if (flight.ended) return
    if (flight.broken || entry.recheck() !== null) {
      if (flight.broken) this.#flights.delete(flight.id)
      else this.#drop(flight)
      return
    }
    flight.sent = true
    record({ kind: 'forwarded', atMs: scheduler.nowMs, call: flight.id })
    const isSlow = random.chance(profile.slowEffectProbability)
    const effectMs = isSlow
      ? random.between(0.1, 1) * profile.effectMsMax
      : random.between(1, Math.min(300, profile.effectMsMax))
    const arrivesMs = isSlow && random.chance(0.5) ? effectMs * random.between(0.5, 1) : 0
    if (arrivesMs > 300) marks.hit('call arrived late at the backend')
    scheduler.after(arrivesMs, () => {
      if (this.#blocked.has(flight.caller.session)) this.#cancel(flight)
      else flight.arrived = true
    })
    process.clock.after(UPSTREAM_TIMEOUT_MS, () => this.#lose(flight))
    const fate = random.unit()
    if (fate < profile.jobProbability) {
      this.#job(flight, effectMs)
      return
    }
    scheduler.after(effectMs, () => this.#takeEffect(flight))
    if (fate < profile.jobProbability + profile.lostAnswerProbability) {
      // Broken on the way, or silent.
      if (random.chance(0.7))
        scheduler.after(random.between(0, 3_000), () => process.deliver(() => this.#lose(flight)))
      return
    }
    const answerMs = effectMs + random.between(0, random.chance(0.2) ? 3_000 : 50)
    scheduler.after(answerMs, () => process.deliver(() => this.#end(flight)))
    if (random.chance(0.1))
      scheduler.after(answerMs + 5, () =>
        process.deliver(() => {
          marks.hit('call answered twice')
          entry.ended()
        }),
      )
  }

  #job(flight: Flight, effectMs: number): void {
    const { scheduler, random, marks } = this.#options
    const { entry, process, id } = flight
    const answeredMs = random.between(0, effectMs)
    scheduler.after(answeredMs, () =>
      process.deliver(() => {
        if (flight.broken || flight.ended || flight.cancelled) return
        marks.hit('call that started a job')
        entry.job(`job-${id}`, { kind: 'vsphere-task', task: `task-${id}` })
        const seenMs = effectMs - answeredMs + random.between(0, 500)
        if (random.chance(0.1))
          scheduler.after(seenMs / 2, () =>
            process.deliver(() => entry.unknown('the job cannot be asked for')),
          )
        else scheduler.after(seenMs, () => process.deliver(() => this.#end(flight)))
      }),
    )
    scheduler.after(effectMs, () => this.#takeEffect(flight))
  }

  #lose(flight: Flight): void {
    if (flight.ended || flight.broken) return
    this.#options.marks.hit('call whose answer was lost')
    flight.broken = true
    flight.entry.unknown('the connection to the backend broke')
  }

  #end(flight: Flight): void {
    // What a fencer has cancelled is answered too: with an error.
    if (flight.broken) return
    flight.ended = true
    flight.entry.ended()
  }

  #takeEffect(flight: Flight): void {
    if (flight.cancelled) return
    this.#flights.delete(flight.id)
    if (flight.entry.sealed)
      this.#options.marks.hit('call took effect after its lock had gone on to be sealed')
    for (const { lock, token, mode } of flight.caller.held)
      this.#options.record({
        kind: 'executed',
        atMs: this.#options.scheduler.nowMs,
        call: flight.id,
        lock,
        token,
        mode,
      })
  }
}
