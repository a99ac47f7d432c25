// Nothing: this driver asks a person, so it ends nobody and never says "fenced" (test/integration/fencers/manual.test.ts).

import type { WorldMaker } from './world.ts'

export default {
  failures: {
    unreachable: { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    slow: { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    'wrong credentials': {
      never: 'it asks a person, touches nothing, and never says that anybody is fenced',
    },
    'partial success': { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    'success that is not true': { test: "an operator's word ends it" },
    'already gone': { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    'new incarnation': { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    'garbage output': { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    'huge output': { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
    hanging: { never: 'it asks a person, touches nothing, and never says that anybody is fenced' },
  },
  unavailable: () => 'it asks a person',
  prepare: () => Promise.resolve(),
  enter: () => Promise.reject(new Error('there is no such world')),
  leave: () => Promise.resolve(),
} satisfies WorldMaker
