// What one call has to do with copies of itself that are under way: it is the first, whose answer others wait for, or it
// waits for the first one's. Only a call that its client has named has any (repeats.ts).

import type { Refusal } from '../core/verdict.ts'
import type { FirstCopy, Joiner, NamedCall, Repeats } from './repeats.ts'

export class CallCopies {
  readonly #repeats: Repeats
  #first: FirstCopy | null = null
  #leave: (() => void) | null = null

  constructor(repeats: Repeats) {
    this.#repeats = repeats
  }

  /** For those who send the same call again while this one is under way; null where nobody can. */
  get first(): FirstCopy | null {
    return this.#first
  }

  /** Whether it waits for what becomes of the first copy. */
  get isWaiting(): boolean {
    return this.#leave !== null
  }

  /** `crowded`: too many wait already. `onOver` is told what became of the first copy where the call has `joined` it. */
  enter(named: NamedCall, onOver: Joiner): 'first' | 'joined' | 'crowded' {
    const first = this.#repeats.find(named)
    if (first === null) {
      this.#first = this.#repeats.begin(named)
      return 'first'
    }
    const joiner: Joiner = (outcome) => {
      this.#leave = null
      onOver(outcome)
    }
    if (!first.join(joiner)) return 'crowded'
    this.#leave = () => first.leave(joiner)
    return 'joined'
  }

  /** The call gets this refusal, and whoever waits for it the same. */
  refused(refusal: Refusal): void {
    this.#first?.refused(refusal)
  }

  /** The call does not count as in flight any more. */
  left(): void {
    this.#leave?.()
    this.#leave = null
    this.#first?.left()
    this.#first = null
  }
}
