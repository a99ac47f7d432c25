// Who may have a step of a handover under way: a bounded number of locks at once, the rest in turn, one session's after
// another's. So a session that ends with very many locks neither floods the store nor keeps anybody else's lock waiting.

import type { Clock, Timer } from '../spi/clock.ts'
import type { LockState } from './lock-state.ts'

/** Enough for a store that is far away; a store that is near answers them in a few milliseconds. */
export const STEPS_AT_ONCE_MAX = 256
/** Looks in one tick, and how long they may take together; then calls are served before it goes on. */
export const LOOKS_AT_ONCE_MAX = 256
const LOOKING_MS_MAX = 10
/** Places of a lane that were passed are given back when there are so many, and more than are left. */
const PASSED_MAX = 1_024

export class Turns {
  readonly #clock: Clock
  readonly #look: (lock: LockState) => void
  readonly #ready: () => boolean
  /** Locks that wait, by the session that they wait for; whose turn it is stands first. */
  readonly #lanes = new Map<string, Lane>()
  readonly #laneOf = new Map<LockState, Lane>()
  #underWay = 0
  #timer: Timer | null = null
  #stopped = false

  /** `look`: to be called with a lock whose turn has come; `ready`: whether any may come now. */
  constructor(clock: Clock, look: (lock: LockState) => void, ready: () => boolean) {
    this.#clock = clock
    this.#look = look
    this.#ready = ready
  }

  get free(): boolean {
    return this.#underWay < STEPS_AT_ONCE_MAX
  }

  waits(lock: LockState): boolean {
    return this.#laneOf.has(lock)
  }

  /** It is looked at later, however often it is added until then. */
  add(lock: LockState): void {
    if (this.#stopped || this.#laneOf.has(lock)) return
    const key = lock.live[0]?.session ?? lock.queue[0]?.session ?? ''
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = new Lane(key)
      this.#lanes.set(key, lane)
    }
    lane.places.push(lock)
    lane.waiting++
    this.#laneOf.set(lock, lane)
    this.goOn()
  }

  /** To be called whenever turns may come again. */
  goOn(): void {
    if (this.#laneOf.size > 0 && this.free && this.#ready()) this.#goOnSoon()
  }

  /** It was looked at outside its turn. */
  leave(lock: LockState): void {
    const lane = this.#laneOf.get(lock)
    if (lane === undefined) return
    this.#laneOf.delete(lock)
    // Its place stays, and is passed over when its turn comes.
    if (--lane.waiting === 0) this.#lanes.delete(lane.key)
  }

  /** A step is under way. */
  begin(): void {
    this.#underWay++
  }

  /** And over. */
  end(): void {
    this.#underWay--
    // Not in this tick: many steps that end together would each take their time in it.
    this.goOn()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#lanes.clear()
    this.#laneOf.clear()
  }

  #goThrough(): void {
    const endMs = this.#clock.monotonicMs() + LOOKING_MS_MAX
    for (let looks = 0; this.free && looks < LOOKS_AT_ONCE_MAX && this.#ready(); looks++) {
      if (looks > 0 && this.#clock.monotonicMs() >= endMs) break
      const lock = this.#next()
      if (lock === null) return
      this.#look(lock)
    }
    this.goOn()
  }

  #goOnSoon(): void {
    this.#timer ??= this.#clock.after(0, () => {
      this.#timer = null
      this.#goThrough()
    })
  }

  #next(): LockState | null {
    for (const [key, lane] of this.#lanes) {
      this.#lanes.delete(key)
      for (let lock = lane.pass(); lock !== undefined; lock = lane.pass()) {
        if (this.#laneOf.get(lock) !== lane) continue
        this.#laneOf.delete(lock)
        if (--lane.waiting > 0) this.#lanes.set(key, lane)
        return lock
      }
    }
    return null
  }
}

/** A list, as taking the first of a set again and again costs the more the longer it was. */
class Lane {
  readonly key: string
  places: LockState[] = []
  /** Of those in `places`; who has left it since does not count. */
  waiting = 0
  #passed = 0

  constructor(key: string) {
    this.key = key
  }

  pass(): LockState | undefined {
    const lock = this.places[this.#passed++]
    if (this.#passed > PASSED_MAX && this.#passed * 2 > this.places.length) {
      this.places = this.places.slice(this.#passed)
      this.#passed = 0
    }
    return lock
  }
}
