// How many calls met which verdict. Counted with an increment per call; whoever wants the figures asks for them.

export interface CallCount {
  /** Of the policy; `none` where the call could not be classified. */
  readonly effect: string
  readonly verdict: string
  readonly count: number
}

export class CallTally {
  readonly #byEffect = new Map<string, Map<string, { count: number }>>()

  count(effect: string, verdict: string): void {
    let verdicts = this.#byEffect.get(effect)
    if (verdicts === undefined) {
      verdicts = new Map()
      this.#byEffect.set(effect, verdicts)
    }
    const known = verdicts.get(verdict)
    if (known === undefined) verdicts.set(verdict, { count: 1 })
    else known.count++
  }

  *[Symbol.iterator](): Iterator<CallCount> {
    for (const [effect, verdicts] of this.#byEffect)
      for (const [verdict, { count }] of verdicts) yield { effect, verdict, count }
  }
}
