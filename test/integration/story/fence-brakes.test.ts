// Two gateways on one etcd and a fencer of the operator's own that cuts power: what the brakes allow they allow both together.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'

const ZOD = fileURLToPath(import.meta.resolve('zod'))
const HOLDERS = 12
const patient = { timeout: 60_000, interval: 50 }

/** Takes half a second for each strike, and notes when it began and ended by the machine's own clock. */
const driver = (folder: string): string => `
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from ${JSON.stringify(ZOD)}
const note = (fence, word) => appendFileSync(${JSON.stringify(folder)} + '/' + fence, word + ' ' + process.hrtime.bigint() + '\\n')
export default {
  id: 'plug',
  summary: 'pulls a plug',
  power: true,
  options: z.strictObject({}),
  fenceInfo: z.object({ plug: z.string() }),
  proves: () => ['no-new-calls'],
  target: ({ plug }) => plug,
  create: () => ({
    async fence(info, attempt) {
      note(attempt.fenceId, 'begin')
      await sleep(500)
      note(attempt.fenceId, 'end')
    },
    verify: ({ plug }) => Promise.resolve({ state: 'fenced', evidence: { observed: plug + ' is out', request: 'look' } }),
    monitor: () => Promise.resolve(),
  }),
}
`

describe.skipIf(!etcdAvailable())('two gateways', { timeout: 120_000 }, () => {
  let etcd: EtcdCluster
  let prefixes = 0
  let strikes: string
  let folders: GatewayFolder[]
  beforeAll(async () => {
    etcd = await startEtcd({ members: 1 })
  })
  afterAll(() => etcd?.stop())
  beforeEach(() => {
    folders = []
    prefixes++
  })
  afterEach(() => Promise.all(folders.map((folder) => folder.remove())))

  async function start(more: { readonly plan?: object; readonly brakes: object }) {
    const folder = new GatewayFolder()
    folders.push(folder)
    strikes = join(folders[0]?.path ?? '', 'strikes')
    mkdirSync(strikes, { recursive: true })
    writeFileSync(join(folder.path, 'plug.mjs'), driver(strikes))
    folder.configure({
      store: { etcd: { endpoints: etcd.endpoints, prefix: `/brakes-${prefixes}` } },
      fencers: { power: { driver: './plug.mjs' } },
      plans: { cut: { levels: [['power']], timeout: 20, ...more.plan } },
      brakes: more.brakes,
    })
    return new ControlClient((await folder.start()).control)
  }

  /** All at the same moment, half of them at each gateway. */
  async function orderAll(gateways: readonly ControlClient[]): Promise<readonly string[]> {
    const [one] = gateways
    if (one === undefined) throw new Error('no gateway')
    const sessions = await Promise.all(
      Array.from({ length: HOLDERS }, async (_, index) => {
        const fenceInfo = { plug: `plug-${index}` }
        const session = await one.openSession({ ttl: 60, holder: `h-${index}`, plan: 'cut', fenceInfo })
        await one.take(`lock-${index}`, session)
        return session
      }),
    )
    const body = { by: 'ops', reason: 'the rack burns' }
    await Promise.all(
      sessions.map((session, index) =>
        send(`${gateways[index % gateways.length]?.base}/v1/sessions/${session}/fence`, { body }),
      ),
    )
    return sessions
  }

  async function statesOf(gateway: ControlClient, sessions: readonly string[]): Promise<readonly string[]> {
    return await Promise.all(sessions.map(async (session) => (await gateway.fence(session))?.state ?? 'none'))
  }

  function strikesSeen() {
    const lines = readdirSync(strikes).flatMap((fence) =>
      readFileSync(join(strikes, fence), 'utf8')
        .trim()
        .split('\n')
        .map((line) => ({ word: line.split(' ')[0], at: BigInt(line.split(' ')[1] ?? '0') })),
    )
    let [now, most] = [0, 0]
    for (const { word } of lines.toSorted((one, other) => (one.at < other.at ? -1 : 1))) {
      now += word === 'begin' ? 1 : -1
      most = Math.max(most, now)
    }
    return {
      fences: readdirSync(strikes).length,
      most,
      begun: lines.filter(({ word }) => word === 'begin').length,
    }
  }

  it('cut the power of as many machines an hour as both together may, and ask an operator for the others', async () => {
    const terms = { plan: { brakes: { atOnce: 100, powerPerHour: 5 } }, brakes: { powerPerHour: 4 } }
    const gateways = await Promise.all([start(terms), start(terms)])
    const sessions = await orderAll(gateways)
    const [one, other] = gateways
    await expect
      .poll(async () => (await statesOf(one, sessions)).filter((state) => /due|running/.test(state)), patient)
      .toEqual([])
    const states = await statesOf(other, sessions)
    expect(states.filter((state) => state === 'closed')).toHaveLength(4)
    expect(states.filter((state) => state === 'blocked')).toHaveLength(HOLDERS - 4)
    expect(strikesSeen()).toMatchObject({ fences: 4, begun: 4 })
  })

  it('run as many fences of a plan, and of a fencer, at once as both together may', async () => {
    const plan = { brakes: { atOnce: 3, powerPerHour: 100 } }
    const first = await Promise.all([start({ plan, brakes: {} }), start({ plan, brakes: {} })])
    const sessions = await orderAll(first)
    const closed = async (gateway: ControlClient) =>
      (await statesOf(gateway, sessions)).every((state) => state === 'closed')
    await expect.poll(() => closed(first[0]), patient).toBe(true)
    expect(strikesSeen()).toEqual({ fences: HOLDERS, most: 3, begun: HOLDERS })
  })

  it('have one fencer at work for as many fences as both together may', async () => {
    const plan = { brakes: { atOnce: 100, powerPerHour: 100 } }
    const brakes = { fencers: { power: { atOnce: 2 } } }
    const gateways = await Promise.all([start({ plan, brakes }), start({ plan, brakes })])
    const sessions = await orderAll(gateways)
    await expect
      .poll(async () => (await statesOf(gateways[1], sessions)).every((state) => state === 'closed'), patient)
      .toBe(true)
    expect(strikesSeen()).toEqual({ fences: HOLDERS, most: 2, begun: HOLDERS })
  })
})
