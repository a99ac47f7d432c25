// A holder that has never heard of fencegate: takes its locks straight in etcd, as etcd's own mutex does, and uses the create
// revision as its token.

import { argv } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../sim/random.ts'
import { EtcdJson } from '../etcd-json.ts'
import { nowMs, openLog } from '../log.ts'
import { callBackend, HolderTerms } from './calls.ts'

const terms = HolderTerms.parse(JSON.parse(argv[2] ?? '{}'))
const log = openLog(terms.log)
const random = new Random(terms.seed)
const etcd = new EtcdJson(terms.etcd.map((address) => `http://${address}`))
let over = false

async function live(): Promise<void> {
  const lock = random.pick(terms.locks)
  if (lock === null) return
  const lease = await etcd.grantLease(2)
  const key = `${terms.prefix}/locks/${encodeURIComponent(lock)}/${lease}`
  const token = await etcd.create(key, lease)
  if (token === null) return
  const untilMs = nowMs() + random.between(500, 5_000)
  let renewAtMs = 0
  while (nowMs() < untilMs && !over) {
    if (nowMs() > renewAtMs) {
      if (!(await etcd.keepAlive(lease))) break
      renewAtMs = nowMs() + 500
    }
    void callBackend({
      terms,
      held: { lock, token, mode: 'exclusive', session: lease },
      random,
      log,
      waitMs: 8_000,
    })
    await sleep(random.between(30, 150))
  }
  // Unlock, then revoke: the normal end. Or nothing at all: the lease runs out.
  if (random.chance(0.3) && !over) return
  await etcd.delete(key)
  await sleep(random.between(0, 50))
  await etcd.revokeLease(lease)
}

process.stdin.once('end', () => process.exit()).resume()
process.once('SIGTERM', () => {
  over = true
  setTimeout(() => process.exit(), 2_000)
})
while (!over) {
  await live().catch(() => sleep(200))
  await sleep(random.between(200, 1_500))
}
process.exit()
