// The gateway is killed again and again, at any instant, while holders take the lock, overstay it, and write on; and the
// backend carries calls out late. What lands must never go back to an older token.

import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startVolumeBackend } from '../../deploy/sample/volume-backend.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../support/etcd.ts'
import { freePort } from '../support/free-port.ts'
import { GatewayFolder, type GatewayProcess } from '../support/gateway-process.ts'
import { holderLoop, staleWrites, type Tally, VOLUME } from './register.ts'

const KILLS = 4
const HOLDERS = 3
/** A call that is at the backend when the gateway is killed is carried out this much later; the quiet time is longer. */
const LATE_MS = 3_000
const QUIET_SECONDS = 4

interface Outcome {
  readonly violations: readonly string[]
  readonly tally: Tally
  readonly kills: number
}

let etcd: EtcdCluster | null = null
beforeAll(async () => {
  if (etcdAvailable()) etcd = await startEtcd({ members: 1 })
})
afterAll(() => etcd?.stop())

async function run(store: Record<string, unknown>, direct: boolean): Promise<Outcome> {
  const backend = await startVolumeBackend({ volumes: [{ id: VOLUME, name: 'v', sizeGb: 1 }] })
  const folder = new GatewayFolder()
  const [controlPort, backendPort] = [await freePort(), await freePort()]
  folder.configure({
    store,
    control: { listen: `127.0.0.1:${controlPort}` },
    backends: {
      volumes: {
        listen: `127.0.0.1:${backendPort}`,
        upstream: backend.url,
        policy: 'cinder',
        quiet: QUIET_SECONDS,
        wait: 1,
      },
    },
    handover: { drainLimit: 2 },
  })
  const over = new AbortController()
  const tally: Tally = { grants: 0, landed: 0, refused: 0, unanswered: 0 }
  let kills = 0
  try {
    let gateway: GatewayProcess = await folder.start()
    const holders = Array.from({ length: HOLDERS }, (_, i) =>
      holderLoop({
        name: `holder-${i}`,
        control: `http://127.0.0.1:${controlPort}`,
        writes: direct ? backend.url : `http://127.0.0.1:${backendPort}`,
        over: over.signal,
        tally,
      }),
    )
    while (kills < KILLS) {
      const landed = tally.landed
      await expect.poll(() => tally.landed, { timeout: 60_000 }).toBeGreaterThan(landed + randomInt(5, 40))
      backend.hold('execution', 1)
      const held = () => backend.log().some((call) => call.executedAt === null)
      await expect.poll(held, { timeout: 60_000 }).toBe(true)
      setTimeout(() => backend.letGo(), LATE_MS)
      await gateway.kill()
      kills++
      gateway = await folder.start()
    }
    // How far the holders come between the kills is chance; nothing is judged before enough has happened.
    const enough = () =>
      direct
        ? staleWrites(backend.log()).length > 0
        : tally.landed > 20 && tally.grants > 3 && tally.refused > 0
    await expect.poll(enough, { timeout: 90_000 }).toBe(true)
    over.abort()
    backend.letGo()
    await Promise.all(holders)
  } finally {
    over.abort()
    backend.letGo()
    await folder.remove()
    await backend.close()
  }
  return { violations: staleWrites(backend.log()), tally, kills }
}

describe('a gateway that is killed at any instant', () => {
  it('lets no older token through after a newer one, on the embedded store', async () => {
    const outcome = await run({ embedded: { path: './store' } }, false)
    expect(outcome.violations).toEqual([])
    expect(outcome.kills).toBe(KILLS)
  }, 240_000)

  it.skipIf(!etcdAvailable())(
    'lets no older token through after a newer one, on etcd',
    async () => {
      const outcome = await run({ etcd: { endpoints: etcd?.endpoints, prefix: '/chaos' } }, false)
      expect(outcome.violations).toEqual([])
      expect(outcome.kills).toBe(KILLS)
    },
    240_000,
  )

  it('is what makes the difference: the same holders, writing to the backend itself, are caught', async () => {
    const outcome = await run({ embedded: { path: './store' } }, true)
    expect(outcome.violations.length).toBeGreaterThan(0)
  }, 240_000)
})
