// Three gateways are restarted one after the other, as on an upgrade, under holders who never stop.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { Balancer, type Fleet, handAround, openFleet, type Report } from './processes.ts'

const VOLUMES = 3
const GATEWAYS = 3

describe.skipIf(!etcdAvailable())('a rolling restart of three gateways under load', () => {
  let etcd: EtcdCluster
  let fleet: Fleet
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
    fleet = await openFleet({
      etcd,
      prefix: '/rolling',
      gateways: GATEWAYS,
      volumes: VOLUMES,
      backend: { lateMs: 20 },
      config: { shutdown: { delay: 0.7, limit: 10 } },
    })
  })
  afterAll(async () => {
    await fleet.close()
    await etcd.stop()
  })

  test('refuses no call, loses none, fences nobody, and handovers go on', async ({ annotate }) => {
    const over = new AbortController()
    const report: Report = {
      calls: 0,
      refused: new Map(),
      dropped: 0,
      handovers: 0,
      worstHandoverMs: 0,
      faults: [],
    }
    await Promise.all(fleet.places.map((place) => fleet.start(place)))
    const balancer = new Balancer(fleet.places, over.signal)
    await expect.poll(() => balancer.ready, { timeout: 10_000 }).toBe(GATEWAYS)
    const holders = Array.from({ length: VOLUMES }, (_, volume) =>
      handAround(volume, balancer, report, over.signal),
    )
    const outputs: string[] = []
    const goesOn = async (): Promise<void> => {
      const handovers = report.handovers
      await expect.poll(() => report.handovers, { timeout: 20_000 }).toBeGreaterThan(handovers + 2 * VOLUMES)
    }
    try {
      for (const place of fleet.places) {
        await goesOn()
        const { process } = place
        let handoversMeanwhile = -report.handovers
        expect(await process?.stop()).toBe(0)
        handoversMeanwhile += report.handovers
        expect(handoversMeanwhile).toBeGreaterThan(0)
        outputs.push(process?.output() ?? '')
        await goesOn()
        await fleet.start(place)
        await expect.poll(() => balancer.ready, { timeout: 10_000 }).toBe(GATEWAYS)
      }
      await goesOn()
    } finally {
      over.abort()
      await Promise.all(holders)
    }
    outputs.push(...fleet.places.map(({ process }) => process?.output() ?? ''))
    const { calls, handovers, worstHandoverMs } = report
    await annotate(
      `${calls} calls, ${handovers} handovers, the worst took ${Math.round(worstHandoverMs)} ms; refused: ${JSON.stringify([...report.refused])}`,
    )
    expect(report.faults).toEqual([])
    expect(report.dropped).toBe(0)
    expect([...report.refused]).toEqual([])
    for (const output of outputs) expect(output).not.toMatch(/call\.unknown|fence\.|session\.expired/)
    expect(worstHandoverMs).toBeLessThan(5_000)
  }, 120_000)
})
