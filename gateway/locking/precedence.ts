// Which gateway goes first with a lock's next step. Any of them may take it, and does where that one is late: this only keeps
// the others from asking the store for the same, and from writing watermarks that nobody waits for. Safety never rests on it.

import type { IncarnationId, LockName, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { LockState } from './lock-state.ts'
import type { View } from './view.ts'

/** How long the others leave a step to whoever goes first: more than some round trips of a store that is busy. */
const LATE_MS = 300

export interface PrecedenceOptions {
  readonly view: View
  readonly clock: Clock
  readonly self: () => IncarnationId
}

export class Precedence {
  readonly #options: PrecedenceOptions
  /** Of steps that are left to others: which state of the record asks for it, and until when they are waited for. */
  readonly #left = new WeakMap<LockState, { readonly recordRevision: number; readonly untilMs: number }>()

  constructor(options: PrecedenceOptions) {
    this.#options = options
  }

  /** For how long this gateway leaves the next step to another; 0: it is to be taken here, now. */
  waitMs(lock: LockState, ending: SessionId | null): number {
    if (this.goesFirst(lock, ending)) return 0
    const nowMs = this.#options.clock.monotonicMs()
    const { recordRevision } = lock
    let left = this.#left.get(lock)
    // Looked at again and again, it is waited for once.
    if (left?.recordRevision !== recordRevision) {
      left = { recordRevision, untilMs: nowMs + LATE_MS }
      this.#left.set(lock, left)
    }
    return Math.max(0, left.untilMs - nowMs)
  }

  /**
   * `ending`: the session whose grant is to be sealed, as one of its locks brings the fence record for all; null where the step
   * is another: then whoever waits for it knows first that it is done, and if nobody does, who wrote the seal.
   */
  goesFirst(lock: LockState, ending: SessionId | null): boolean {
    if (ending !== null) return this.goesFirstWith(ending)
    if (this.#isAlone) return true
    const first = this.#waitedForAt(lock) ?? this.#sealedAt(lock)
    return (first ?? this.#drawn(lock.name)) === this.#options.self()
  }

  /** With what is due on a session as a whole. */
  goesFirstWith(session: SessionId): boolean {
    return this.#isAlone || this.#drawn(session) === this.#options.self()
  }

  /** Nobody else lives: also where the store is not shared. */
  get #isAlone(): boolean {
    const { watermarks } = this.#options.view
    return watermarks.size === 0 || (watermarks.size === 1 && watermarks.has(this.#options.self()))
  }

  #waitedForAt(lock: LockState): IncarnationId | null {
    const next = lock.queue.find(({ createRevision }) => !isOpen(lock, createRevision))
    return next === undefined ? null : this.#living(next.at)
  }

  #sealedAt({ record }: LockState): IncarnationId | null {
    const sealed = record?.grants.find((grant) => grant.state === 'sealed')
    return this.#living((sealed?.state === 'sealed' ? sealed.drainedAt?.[0] : undefined) ?? null)
  }

  #living(incarnation: IncarnationId | null): IncarnationId | null {
    return incarnation !== null && this.#options.view.watermarks.has(incarnation) ? incarnation : null
  }

  /** The same at every gateway that sees the same others. */
  #drawn(text: LockName | SessionId): string | null {
    const living = [...this.#options.view.watermarks.keys()].sort()
    let hash = 0
    for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0
    return living[hash % living.length] ?? null
  }
}

function isOpen({ record }: LockState, createRevision: number): boolean {
  return (
    record?.grants.some((grant) => grant.createRevision === createRevision && grant.state !== 'changing') ??
    false
  )
}
