// Of a world whose holder is a process of this machine that a program of ours calls something else.

import type { Victim } from '../integration/fencers/support.ts'
import type { World } from './fencer-worlds/world.ts'

interface Fake {
  /** A line of shell that is run first from now on. */
  first(line: string): void
  close(): void
}

export function ofVictim(
  victim: Victim,
  fake: Fake,
): Required<Pick<World, 'isAlive' | 'slow' | 'destroy' | 'close'>> {
  return {
    isAlive: () => Promise.resolve(victim.isAlive()),
    slow: () => fake.first('sleep 0.4'),
    destroy: () => victim.end(),
    async close() {
      await victim.end()
      fake.close()
    },
  }
}
