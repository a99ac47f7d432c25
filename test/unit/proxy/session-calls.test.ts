import { describe, expect, it } from 'vitest'
import { SessionCalls, type SessionCount } from '../../../gateway/proxy/session-calls.ts'

function entered(calls: SessionCalls, session: string): SessionCount {
  const count = calls.enter(session)
  if (count === null) throw new Error(`${session} has too many calls`)
  return count
}

describe('the calls of each session', () => {
  it('are bounded for each session alone, and one that ends makes room for one', () => {
    const calls = new SessionCalls(2)
    const first = entered(calls, 'a')
    entered(calls, 'a')
    expect(calls.enter('a')).toBeNull()
    expect(calls.enter('b')).not.toBeNull()
    calls.leave(first)
    expect(calls.enter('a')).not.toBeNull()
    expect(calls.enter('a')).toBeNull()
  })

  it('have no bound where none is set', () => {
    const calls = new SessionCalls(0)
    for (let i = 0; i < 100; i++) calls.leave(entered(calls, 'a'))
    for (let i = 0; i < 100; i++) entered(calls, 'a')
    expect(calls.size).toBe(0)
  })

  it('are counted right after any number of sessions have come and gone', () => {
    const calls = new SessionCalls(1)
    const open = Array.from({ length: 10 }, (_, i) => entered(calls, `open-${i}`))
    for (let i = 0; i < 5_000; i++) {
      calls.leave(entered(calls, `short-${i}`))
      expect(calls.size).toBe(10)
    }
    for (const [i, count] of open.entries()) {
      expect(calls.enter(`open-${i}`)).toBeNull()
      calls.leave(count)
      expect(calls.enter(`open-${i}`)).not.toBeNull()
    }
    expect(calls.size).toBe(10)
  })
})
