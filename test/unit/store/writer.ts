// Writes to an embedded store until it is killed or the disk takes no more, and says on its output what was
// acknowledged: a program of its own for the tests that end a process.

import { writeSync } from 'node:fs'
import { StoreUnavailable } from '../../../gateway/spi/store.ts'
import { openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'

const [path = '', valueBytes = '10'] = process.argv.slice(2)

/** At once, past every buffer of the process: what was said must be out before it is killed. */
function say(line: string): void {
  writeSync(1, `${line}\n`)
}

const store = openEmbeddedStore({ path, clock: systemClock })
const value = 'x'.repeat(Number(valueBytes))
let open = true
store.watch('', await store.currentRevision(), {
  revision: (revision) => say(`event ${revision}`),
  progress: () => undefined,
  failed: ({ message }) => say(`failed ${message}`),
})

async function write(lane: number): Promise<void> {
  for (let count = 0; open; count++) {
    const key = `/${lane}/${count}`
    try {
      const { revision } = await store.transact({
        compare: [],
        writes: [
          { put: key, value },
          { put: `/last/${lane}`, value: String(count) },
        ],
      })
      say(`acknowledged ${key} ${revision}`)
    } catch (error) {
      open = false
      say(`${error instanceof StoreUnavailable ? 'unavailable' : 'broken'} ${String(error)}`)
    }
  }
}

await Promise.all([0, 1, 2, 3].map(write))
say(`revision ${await store.currentRevision()}`)
const { lease } = await store.grantLease(60_000).catch((error: unknown) => {
  say(`grant ${error instanceof StoreUnavailable ? 'unavailable' : 'broken'} ${String(error)}`)
  return { lease: null }
})
if (lease !== null) say(`grant ${lease}`)
await store.close()
say('closed')
