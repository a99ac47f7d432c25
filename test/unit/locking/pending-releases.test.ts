import { describe, expect, it } from 'vitest'
import type { LockName, SessionId } from '../../../gateway/core/names.ts'
import { PendingReleases } from '../../../gateway/locking/pending-releases.ts'
import type { Release } from '../../../gateway/locking/releases.ts'

function release(lock: string, tokens: readonly number[] | null): Release {
  return {
    lock: lock as LockName,
    session: 'a1' as SessionId,
    tokens: tokens === null ? null : new Set(tokens),
    certain: false,
    writing: null,
  }
}

const about = (lock: string) => ({ lock: lock as LockName, session: 'a1' as SessionId })

describe('releases that are to be said', () => {
  it('are each said once, also where what they are about has become known meanwhile', () => {
    const pending = new PendingReleases()
    const first = release('a', null)
    pending.add(first)
    first.tokens = new Set([7])
    pending.add(first)
    pending.add(release('a', [7]))
    pending.add(release('a', [9]))
    expect(pending.all.map(({ tokens }) => [...(tokens ?? [])])).toEqual([[7], [9]])
    pending.delete(first)
    expect(pending.all).toHaveLength(1)
  })

  it('are found by lock and session, from the moment in which they are said first until they are no more', () => {
    const pending = new PendingReleases()
    const saying = release('a', [7])
    pending.track(saying)
    expect([...pending.of(about('a'))]).toEqual([saying])
    expect([...pending.of(about('b'))]).toEqual([])
    pending.add(saying)
    pending.forget(saying)
    expect([...pending.of(about('a'))]).toEqual([saying])
    pending.delete(saying)
    expect([...pending.of(about('a'))]).toEqual([])
  })

  it('cost no more each, however many there are', () => {
    const pending = new PendingReleases()
    const secondsOf = (from: number) => {
      const { user } = process.cpuUsage()
      for (let i = from; i < from + 20_000; i++) {
        pending.add(release(`l${i}`, [i]))
        for (const found of pending.of(about(`l${i}`))) expect(found.tokens?.has(i)).toBe(true)
      }
      return process.cpuUsage().user - user
    }
    const first = secondsOf(0)
    for (let i = 20_000; i < 100_000; i++) pending.add(release(`l${i}`, [i]))
    // One pass over those that are there would be some thousand times as much.
    expect(secondsOf(100_000)).toBeLessThan(20 * first)
  })
})
