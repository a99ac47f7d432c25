// One session that holds very many locks and whose lease ends, at one gateway over a real etcd: how long until all of them are
// sealed, and closed, what the gateway's event loop and memory make of it, and how somebody else's lock fares meanwhile. Started
// as `node mass-expiry.ts LOCKS [fenced]`, where `fenced` has them wait for the session's fence, which is confirmed once all are
// sealed; it writes one line `RESULT {…}` and ends.

import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LockName } from '../../../gateway/core/names.ts'
import { openEtcdStore } from '../../../gateway/store/etcd/etcd-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { median } from '../median.ts'
import { NOBODY_FENCES, populate, startRoom } from './population.ts'

const PREFIX = '/bench'
const NEVER = new AbortController().signal
const SECONDS_MAX = 600
const [text = '100000', how] = process.argv.slice(2)
const LOCKS = Number(text)

const etcd = await startEtcd({ fsync: true })
// etcd answers nobody while it deletes all keys of a lease, in one revision.
const store = openEtcdStore({ endpoints: etcd.endpoints, clock: systemClock, requestTimeoutMs: 60_000 })
try {
  const [large] = await populate(store, PREFIX, { sessions: 1, locks: LOCKS })
  if (large === undefined) throw new Error('no session')
  process.stdout.write('filled\n')
  let sealed = 0
  const room = await startRoom(store, 'bench', PREFIX, {
    ...(how === 'fenced' ? { planner: NOBODY_FENCES } : {}),
    events: ({ type, detail }) => {
      if (type === 'grant.sealed' && detail !== 'released') sealed++
    },
  })
  const { plane } = room
  const asked = { ttlMs: 600_000, holder: { id: 'other' }, fenceInfo: {}, plan: null }
  const { session } = await plane.openSession(asked)
  const lock = 'other/lock' as LockName
  const pair = async (): Promise<number> => {
    const startMs = performance.now()
    const got = await plane.acquire({ lock, session, mode: 'exclusive', waitMs: 60_000, note: null }, NEVER)
    if (got.kind !== 'granted') throw new Error('another lock was not had')
    await plane.release(lock, session)
    return performance.now() - startMs
  }
  const before = [await pair()]
  for (let i = 0; i < 20; i++) before.push(await pair())

  const heapBytes = process.memoryUsage().heapUsed
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const { user, system } = process.cpuUsage()
  const startMs = performance.now()
  await store.revokeLease(large)
  const revokedMs = performance.now() - startMs
  const meanwhile: number[] = []
  let heapMost = heapBytes
  let sealedMs: number | null = null
  for (;;) {
    meanwhile.push(await pair())
    heapMost = Math.max(heapMost, process.memoryUsage().heapUsed)
    const { open, ...others } = room.counts().locks
    const left = Object.values(others).reduce((sum, count) => sum + count, open)
    if (sealed === LOCKS && sealedMs === null) {
      sealedMs = performance.now() - startMs
      if (how === 'fenced') await plane.confirmFence(large, { by: 'bench', reason: 'it is over' })
    }
    // Without a plan nothing more is due on a sealed one: it is closed, and gone. The other one's own may just be on its way.
    if (left <= 1) break
    if (performance.now() - startMs > SECONDS_MAX * 1000)
      throw new Error(`${open} are open, and ${left} not over, after ten minutes`)
    await sleep(20)
  }
  const overMs = performance.now() - startMs
  delays.disable()
  const cpu = process.cpuUsage()
  const result = {
    locks: LOCKS,
    revokedMs,
    sealedMs,
    overMs,
    cpuMs: (cpu.user + cpu.system - user - system) / 1000,
    loopDelayMedianMs: delays.percentile(50) / 1e6,
    loopDelayWorstMs: delays.max / 1e6,
    heapGrownMiB: (heapMost - heapBytes) / 1024 ** 2,
    pairBeforeMs: median(before),
    pairMeanwhileMs: median(meanwhile),
    pairMeanwhileWorstMs: Math.max(...meanwhile),
    pairs: meanwhile.length,
  }
  process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`)
  await room.close(0)
} finally {
  await store.close()
  await etcd.stop()
}
