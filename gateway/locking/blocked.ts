// When a lock cannot go on by itself.

import type { LockState } from './lock-state.ts'

/** Why a lock goes on only after an operator's word, or null. */
export function blockedBy(lock: LockState): string | null {
  if (lock.damage !== null) return lock.damage
  for (const obstacle of lock.obstacles) {
    if (obstacle.kind === 'fence-blocked' || obstacle.kind === 'revision-regressed') return obstacle.detail
    if (obstacle.kind === 'unknown' && obstacle.quietRemainingMs === null) return obstacle.detail
    if (obstacle.kind === 'overdue')
      return `${obstacle.detail}; it goes on once that is over, or an operator vouches for it`
  }
  return null
}
