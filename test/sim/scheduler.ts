// One queue of things that happen, in the order of simulated time, and the processes to which they happen: one that is
// dead does nothing any more, one that is stopped does it late, and each reads time from a clock of its own.

import type { Clock, Timer } from '../../gateway/spi/clock.ts'
import type { Random } from './random.ts'

interface Due {
  readonly atMs: number
  readonly order: number
  readonly act: () => void
}

export class Scheduler {
  readonly #heap: Due[] = []
  #nowMs = 0
  #order = 0
  #steps = 0
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** True time; no process sees it. */
  get nowMs(): number {
    return this.#nowMs
  }

  get steps(): number {
    return this.#steps
  }

  at(atMs: number, act: () => void): void {
    const heap = this.#heap
    const due: Due = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, act }
    let slot = heap.push(due) - 1
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !before(due, above)) break
      heap[slot] = above
      slot = parent
    }
    heap[slot] = due
  }

  after(delayMs: number, act: () => void): void {
    this.at(this.#nowMs + delayMs, act)
  }

  /** Carries out everything up to `untilMs`; after each step all promises that are ready get their turn. */
  async run(untilMs: number, stop: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > untilMs || stop()) break
      this.#take()
      this.#nowMs = next.atMs
      this.#steps++
      try {
        next.act()
      } catch (error) {
        this.#onError(error)
      }
      await turn()
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }

  #take(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let slot = 0
    for (;;) {
      let child = 2 * slot + 1
      let least = heap[child]
      if (least === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && before(right, least)) {
        child++
        least = right
      }
      if (!before(least, last)) break
      heap[slot] = least
      slot = child
    }
    heap[slot] = last
  }
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** What holds for one process alone: life, stops, the rate of its clock, its way to the store. */
export class SimulatedProcess {
  readonly name: string
  readonly clock: Clock
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #rate: number
  readonly #bornMs: number
  #alive = true
  #stopped = false
  #held: (() => void)[] = []
  /** What waits in each lane, in order; a lane that is here has something before whatever comes next. */
  readonly #lanes = new Map<object, (() => void)[]>()
  /** Cut off from the store. */
  partitioned = false
  /** Somebody has set the wall clock. */
  wallOffsetMs = 0
  /** How much slower its way to the store is than others'. */
  readonly slowness: { readonly requests: number; readonly watches: number }
  readonly onDeath: (() => void)[] = []

  constructor(options: {
    readonly name: string
    readonly scheduler: Scheduler
    readonly random: Random
    readonly rate: number
    readonly slowness: SimulatedProcess['slowness']
  }) {
    this.name = options.name
    this.slowness = options.slowness
    this.#scheduler = options.scheduler
    this.#random = options.random
    this.#rate = options.rate
    this.#bornMs = options.scheduler.nowMs
    this.clock = {
      monotonicMs: () => (this.#scheduler.nowMs - this.#bornMs) * this.#rate,
      wallMs: () => Date.UTC(2030, 0, 1) + this.#scheduler.nowMs + this.wallOffsetMs,
      after: (delayMs, callback) => this.#after(delayMs, callback),
    }
  }

  get alive(): boolean {
    return this.#alive
  }

  get stopped(): boolean {
    return this.#stopped
  }

  #after(delayMs: number, callback: () => void): Timer {
    let cancelled = false
    this.#scheduler.after(Math.max(1, delayMs) / this.#rate + 0.001, () =>
      this.deliver(() => {
        if (!cancelled) callback()
      }),
    )
    return {
      cancel: () => {
        cancelled = true
      },
    }
  }

  /** Things of one lane stay in order among themselves, whatever a stop does to the others. */
  deliver(act: () => void, lane: object | null = null): void {
    if (!this.#alive) return
    const waiting = lane === null ? undefined : this.#lanes.get(lane)
    if (waiting !== undefined) waiting.push(act)
    else if (!this.#stopped) act()
    else if (lane === null) this.#held.push(act)
    else this.#lanes.set(lane, [act])
  }

  /** SIGSTOP. */
  stop(): void {
    this.#stopped = true
  }

  /** SIGCONT: what came meanwhile happens now, in any order but that of the lanes. */
  resume(): void {
    if (!this.#stopped) return
    this.#stopped = false
    const held = this.#held
    this.#held = []
    for (const act of held) this.#scheduler.after(this.#random.between(0, 20), () => this.deliver(act))
    for (const lane of this.#lanes.keys()) this.#drain(lane)
  }

  #drain(lane: object): void {
    this.#scheduler.after(this.#random.between(0, 5), () => {
      const waiting = this.#lanes.get(lane)
      if (waiting === undefined || this.#stopped || !this.#alive) return
      const act = waiting.shift()
      if (waiting.length === 0) this.#lanes.delete(lane)
      act?.()
      if (waiting.length > 0) this.#drain(lane)
    })
  }

  /** kill -9: nothing of it acts any more. */
  die(): void {
    if (!this.#alive) return
    this.#alive = false
    this.#held = []
    this.#lanes.clear()
    for (const listener of this.onDeath) listener()
  }
}
