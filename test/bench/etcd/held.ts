// What held locks cost one gateway: memory beside the names, and the time to start up from etcd. Started as
// `node held.ts LOCKS SAMPLES`; it writes one line `RESULT {…}` and ends. Each gateway's room runs in a fresh process, which
// this file starts as `node --expose-gc held.ts join ENDPOINT PREFIX LOCKS`.

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { median } from '../median.ts'
import { run } from '../processes.ts'
import { heldName, populate, startRoom } from './population.ts'

const SESSIONS = 1_000
const [first = '100000', ...rest] = process.argv.slice(2)

interface Joined {
  readonly bytes: number
  readonly startMs: number
  readonly startCpuMs: number
}

if (first === 'join') await join(rest[0] ?? '', rest[1] ?? '', Number(rest[2]))
else await measure(Number(first), Number(rest[0] ?? 3))

async function measure(locks: number, samples: number): Promise<void> {
  const etcd = await startEtcd()
  try {
    const endpoint = etcd.member(0).endpoint
    const store = openEtcdStore({ endpoints: [endpoint], clock: systemClock })
    await populate(store, '/none', { sessions: SESSIONS, locks: 0 })
    await populate(store, '/many', { sessions: SESSIONS, locks })
    await store.close()
    const none: Joined[] = []
    const many: Joined[] = []
    for (let sample = 0; sample < samples; sample++) {
      none.push(await joinElsewhere(endpoint, '/none', 0))
      many.push(await joinElsewhere(endpoint, '/many', locks))
    }
    let nameBytes = 0
    for (let i = 0; i < locks; i++) nameBytes += Buffer.byteLength(heldName(i))
    const of = (joined: readonly Joined[], figure: keyof Joined) => median(joined.map((each) => each[figure]))
    const result = {
      locks,
      bytesPerLock: (of(many, 'bytes') - of(none, 'bytes') - nameBytes) / locks,
      nameBytes: nameBytes / locks,
      startMs: of(many, 'startMs'),
      startCpuMs: of(many, 'startCpuMs'),
      emptyStartMs: of(none, 'startMs'),
    }
    process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`)
  } finally {
    await etcd.stop()
  }
}

async function joinElsewhere(endpoint: string, prefix: string, locks: number): Promise<Joined> {
  const output = await run({
    name: 'a gateway that joins',
    command: process.execPath,
    args: ['--expose-gc', fileURLToPath(import.meta.url), 'join', endpoint, prefix, String(locks)],
    timeoutMs: 120_000,
  })
  const joined: Joined = JSON.parse(/^JOINED (.*)$/m.exec(output)?.[1] ?? '')
  return joined
}

async function join(endpoint: string, prefix: string, locks: number): Promise<void> {
  const store = openEtcdStore({ endpoints: [endpoint], clock: systemClock })
  const before = process.cpuUsage()
  const beganMs = performance.now()
  const room = await startRoom(store, 'bench', prefix)
  const startMs = performance.now() - beganMs
  const { user, system } = process.cpuUsage(before)
  const held = room.counts().locks.open
  if (held !== locks) throw new Error(`${held} locks are held, not ${locks}`)
  const bytes = await settledBytes()
  process.stdout.write(`JOINED ${JSON.stringify({ bytes, startMs, startCpuMs: (user + system) / 1000 })}\n`)
  await room.close(0)
  await store.close()
}

async function settledBytes(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.()
    await sleep(50)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
