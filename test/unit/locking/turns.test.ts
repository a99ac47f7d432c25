// Very many locks whose steps are due at once: nobody's turn of the event loop is long.

import { beforeEach, describe, expect, it } from 'vitest'
import type { LockName, Revision, SessionId } from '../../../gateway/core/names.ts'
import { Layout } from '../../../gateway/locking/layout.ts'
import { LockState, type QueuedWaiter } from '../../../gateway/locking/lock-state.ts'
import { LOOKS_AT_ONCE_MAX, STEPS_AT_ONCE_MAX, Turns } from '../../../gateway/locking/turns.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'

const layout = new Layout('/fencegate')

/** Runs what is due one callback at a time, each a turn of the loop. */
class Loop implements Clock {
  nowMs = 0
  readonly #due: (() => void)[] = []

  monotonicMs = () => this.nowMs
  wallMs = () => this.nowMs

  after(_delayMs: number, callback: () => void) {
    this.#due.push(callback)
    return { cancel: () => void this.#due.splice(this.#due.indexOf(callback), 1) }
  }

  /** False where nothing was due. */
  turn(): boolean {
    const next = this.#due.shift()
    next?.()
    return next !== undefined
  }
}

let loop: Loop
let looked: LockState[]
let onLook: (lock: LockState) => void
let turns: Turns

beforeEach(() => {
  loop = new Loop()
  looked = []
  onLook = () => undefined
  turns = new Turns(
    loop,
    (lock) => {
      looked.push(lock)
      onLook(lock)
    },
    () => true,
  )
})

function waiting(count: number, session = 'a1'): LockState[] {
  return Array.from({ length: count }, (_, i) => {
    const lock = new LockState(`${session}/${i}` as LockName, layout)
    const revision = (i + 1) as Revision
    const waiter: QueuedWaiter = {
      key: `${session}/${i}`,
      createRevision: revision,
      modRevision: revision,
      session: session as SessionId,
      mode: 'exclusive',
      leased: true,
      note: null,
      replaces: null,
      at: null,
      seenAtMs: null,
    }
    lock.queue = [waiter]
    turns.add(lock)
    return lock
  })
}

/** How many were looked at in each turn, until nothing is due. */
function counts(): number[] {
  const each: number[] = []
  for (;;) {
    const before = looked.length
    if (!loop.turn()) return each
    each.push(looked.length - before)
  }
}

describe('twenty thousand locks of one session', () => {
  it('are looked at a bounded number in a turn, and each once', () => {
    const locks = waiting(20_000)
    expect(looked).toEqual([])
    expect(Math.max(...counts())).toBe(LOOKS_AT_ONCE_MAX)
    expect(looked).toEqual(locks)
  })

  it('are looked at for no longer than some milliseconds in a turn, however long one takes', () => {
    waiting(20_000)
    onLook = () => {
      loop.nowMs += 3
    }
    expect(Math.max(...counts())).toBeLessThan(5)
    expect(looked).toHaveLength(20_000)
  })

  it('have none begun in the turn in which many steps end together', () => {
    waiting(20_000)
    onLook = () => turns.begin()
    counts()
    expect(looked).toHaveLength(STEPS_AT_ONCE_MAX)
    for (let i = 0; i < STEPS_AT_ONCE_MAX; i++) turns.end()
    expect(looked).toHaveLength(STEPS_AT_ONCE_MAX)
    counts()
    expect(looked).toHaveLength(2 * STEPS_AT_ONCE_MAX)
  })
})

it('whoever was looked at elsewhere has no turn, and comes again where he is added again', () => {
  const [a, b, c] = waiting(3)
  if (a === undefined || b === undefined || c === undefined) throw new Error('no locks')
  turns.leave(a)
  turns.leave(b)
  expect([a, b, c].map((lock) => turns.waits(lock))).toEqual([false, false, true])
  turns.add(a)
  counts()
  expect(new Set(looked)).toEqual(new Set([a, c]))
  expect(looked).toHaveLength(2)
  turns.add(b)
  turns.leave(b)
  counts()
  expect(looked).toHaveLength(2)
})

it('sessions have their turns one after the other, however many locks one of them has', () => {
  waiting(1_000, 'a1')
  const [other] = waiting(1, 'b2')
  loop.turn()
  expect(looked[1]).toBe(other)
})

it('a hundred thousand are gone through in time that grows with their number alone', () => {
  const locks = waiting(100_000)
  const startMs = performance.now()
  counts()
  expect(looked).toHaveLength(locks.length)
  // Where each has to pass over those before it, this takes minutes.
  expect(performance.now() - startMs).toBeLessThan(5_000)
})
