// Who may have a step of a handover under way: a bounded number of locks at once, the rest in turn, one session's after
// another's. So a session that ends with very many locks neither floods the store nor keeps anybody else's lock waiting.

import type { Clock, Timer } from '../spi/clock.ts'
import type { LockState } from './lock-state.ts'

/** Enough for a store that is far away; a store that is near answers them in a few milliseconds. */
export const STEPS_AT_ONCE_MAX = 256
/** Looks in one tick; then calls are served before it goes on. */
const LOOKS_AT_ONCE_MAX = 256

export class Turns {
  readonly #clock: Clock
  readonly #look: (lock: LockState) => void
  readonly #ready: () => boolean
  /** Locks that wait, by the session that they wait for; whose turn it is stands first. */
  readonly #lanes = new Map<string, Set<LockState>>()
  readonly #laneOf = new Map<LockState, string>()
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
    const lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, new Set([lock]))
    else lane.add(lock)
    this.#laneOf.set(lock, key)
    this.goOn()
  }

  /** To be called whenever turns may come again. */
  goOn(): void {
    if (this.#laneOf.size > 0 && this.free && this.#ready()) this.#goOnSoon()
  }

  /** It was looked at outside its turn. */
  leave(lock: LockState): void {
    const key = this.#laneOf.get(lock)
    if (key === undefined) return
    this.#laneOf.delete(lock)
    const lane = this.#lanes.get(key)
    lane?.delete(lock)
    if (lane?.size === 0) this.#lanes.delete(key)
  }

  /** A step is under way. */
  begin(): void {
    this.#underWay++
  }

  /** And over. */
  end(): void {
    this.#underWay--
    this.#goThrough()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#lanes.clear()
    this.#laneOf.clear()
  }

  #goThrough(): void {
    for (let looks = 0; this.free && looks < LOOKS_AT_ONCE_MAX && this.#ready(); looks++) {
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
      for (const lock of lane) {
        lane.delete(lock)
        this.#laneOf.delete(lock)
        if (lane.size > 0) this.#lanes.set(key, lane)
        return lock
      }
    }
    return null
  }
}
