// What an operator is told before he fences: by a gateway that knows the holder, the inventory, the neighbours and the brakes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fetchWith } from '../../../gateway/cli/index.ts'
import { loadConfig } from '../../../gateway/config/index.ts'
import { loadFencerRegistry } from '../../../gateway/fencing/registry.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import {
  ask,
  ControlClient,
  type HolderProcess,
  SessionAnswer,
  send,
  startHolder,
} from '../../support/holder.ts'
import { run as runWith } from '../../unit/cli/run-with.ts'

const patient = { timeout: 15_000, interval: 50 }
const LOCK = 'vmware/vm/vm-7'

let folder: GatewayFolder
let control: ControlClient
let holder: HolderProcess

beforeEach(async () => {
  holder = await startHolder()
  folder = new GatewayFolder()
  writeFileSync(
    join(folder.path, 'bmc.yaml'),
    'hosts: { c3: { machine: compute-3, password: not-for-you } }\n',
  )
  folder.configure({
    inventory: './bmc.yaml',
    fencers: {
      kill: { driver: 'exec', command: ['/usr/bin/false'] },
      power: {
        driver: 'redfish',
        machines: { 'compute-3': { url: 'http://127.0.0.1:9' } },
        username: 'fencer',
        password: 'secret',
      },
    },
    plans: {
      hard: {
        levels: [['kill'], { after: 30, fencers: ['power'] }],
        fenceInfo: { host: '{{host.machine}}', password: '{{host.password}}' },
        blastRadiusMax: 0,
        brakes: { powerPerHour: 0 },
      },
      soft: { levels: [['kill']] },
    },
  })
  control = new ControlClient((await folder.start()).control)
})
afterEach(async () => {
  holder.kill()
  await folder.remove()
})

const run = (...args: string[]) =>
  runWith(args, { fetchWith, environment: { FENCEGATE_CONTROL: control.base, USER: 'ann' } })

async function open(id: string, plan: string): Promise<string> {
  const body = { ttl: 60, holder: { id, host: 'c3' }, plan, fenceInfo: { pid: holder.pid } }
  return (await ask(SessionAnswer, `${control.base}/v1/sessions`, { body })).session
}

it('shows levels, targets after templates and inventory, who goes down with it, and what would hold it', async () => {
  const session = await open('nova-1', 'hard')
  const other = await open('nova-2', 'soft')
  await control.take(LOCK, session)
  await control.take('vmware/vm/vm-8', other)
  await expect
    .poll(async () => (await run('fencers', 'status')).out, patient)
    .toMatch(/power +redfish +unhealthy/)

  const shown = await run('fence', session, '--dry-run')
  expect(shown.code, shown.err).toBe(0)
  const { out } = shown
  expect(out).toContain(`session ${session} (nova-1), plan hard`)
  expect(out).toMatch(/^1 +kill \(exec\) +exec:\S+ +no-new-calls +healthy$/m)
  expect(out).toMatch(
    /^2 \(after 30 s\) +power \(redfish\), power +redfish:compute-3 +no-new-calls +unhealthy$/m,
  )
  expect(out).toContain(`goes down with its host: nova-2 (session ${other}) with vmware/vm/vm-8`)
  expect(out).toContain('would be held: level 2 (power): the brakes allow 0 power fences an hour')
  expect(out).toContain('would be held: level 2 (power): 1 other living sessions are on this host')
  expect(out).toContain('would be held: power could not do its job when it was last asked')
  expect(out).not.toContain('not-for-you')

  const asked = JSON.parse((await run('fence', session, '--dry-run', '--plan', 'soft', '--json')).out)
  expect(asked).toMatchObject({
    plan: 'soft',
    heldBy: [],
    levels: [{ after: 0, fencers: [{ fencer: 'kill' }] }],
  })
  expect((await send(`${control.base}/v1/sessions/${session}/fence`)).body).toContain('"password":"[secret]"')

  // Nothing has happened to anybody.
  expect(await control.fence(session)).toBeNull()
  expect((await control.lock(LOCK)).owners).toMatchObject([{ session, state: 'open' }])
  expect((await holder.send(`${control.base}/livez`)).status).toBe(200)
})

it('is rehearsed for a plan: templates and inventory are filled in as for a session, or it is said why not', async () => {
  const file = join(folder.path, 'fencegate.yaml')
  const registry = await loadFencerRegistry()
  const drivers = registry.ids.flatMap((id) => registry.driver(id) ?? [])
  const test = (...args: string[]) =>
    runWith(['fencers', 'test', 'power', '-c', file, '--plan', 'hard', ...args], {
      drivers,
      loadConfig: (path) => loadConfig({ file: path, environment: {}, knowledge: null }),
    })
  const filled = await test('--holder', 'host=c3', '--info', 'pid=7')
  expect(filled.out).toContain('target   redfish:compute-3')
  expect(filled.out).toMatch(/^monitor {2}.*127\.0\.0\.1:9/m)
  expect(filled.code).toBe(1)
  expect((await test('--holder', 'host=c4')).err).toContain(
    'plan hard would refuse such a session: host: the inventory has no host "c4"',
  )
  expect((await test()).err).toContain('without holder.host')
  const other = await runWith(['fencers', 'test', 'power', '-c', file, '--plan', 'soft'], {
    drivers,
    loadConfig: (path) => loadConfig({ file: path, environment: {}, knowledge: null }),
  })
  expect(other.err).toContain('power is in no level of plan soft')
})

it('says where it can tell nothing: no session, no plan, no reason, a fence that is due already', async () => {
  expect((await run('fence', 'a1', '--dry-run')).err).toContain('there is no session')
  const session = await open('nova-1', 'soft')
  expect((await run('fence', session, '--dry-run', '--plan', 'none')).err).toContain('no fence plan "none"')
  expect(await run('fence', session)).toMatchObject({
    code: 2,
    err: expect.stringContaining('--reason WHY is needed'),
  })
  expect((await run('fence', session, '--reason', 'hangs')).code).toBe(0)
  expect((await run('fence', session, '--dry-run')).err).toContain('has a fence already')
})
