// Nothing: this driver asks a person, so it ends nobody and never says "fenced" (test/integration/fencers/manual.test.ts).

import type { WorldMaker } from './world.ts'

export default {
  unavailable: () => 'it asks a person',
  prepare: () => Promise.resolve(),
  enter: () => Promise.reject(new Error('there is no such world')),
  leave: () => Promise.resolve(),
} satisfies WorldMaker
