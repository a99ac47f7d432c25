// Cinder's own drivers for arrays, unmodified, in front of a gateway that knows them by their login alone: what they do and
// say when the gateway refuses, and that they never take a refusal for success. The arrays are fakes of ours.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { selfSigned } from '../../support/certificates.ts'
import { type FakeArrays, startFakeArrays } from '../../support/fake-arrays.ts'
import {
  arrayDriversAvailable,
  type ForeignClient,
  startArrayDrivers,
} from '../../support/foreign-clients.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import type { RestCall } from '../../support/rest-server.ts'

interface Family {
  readonly name: string
  readonly policy: string
  /** Of the one change that the driver is told to make. */
  readonly lock: string
  readonly change: RegExp
  /** It speaks plain HTTP to the gateway. */
  readonly plain?: true
  /** Its array gives out sessions, and the gateway learns them. */
  readonly hasSessions?: true
  /** It repeats what is said to pass: then the gateway need not let it wait. */
  readonly repeats?: true
}

const FILE = 'ontap/file/volume-5aa1f3d2-0000-4000-8000-000000000001'
const FAMILIES: readonly Family[] = [
  { name: 'ontap', policy: 'ontap', lock: FILE, change: /^DELETE/, plain: true },
  { name: 'zapi', policy: 'ontap', lock: FILE, change: /<lun-destroy/, plain: true },
  {
    name: 'solidfire',
    policy: 'solidfire',
    lock: 'solidfire/volume/7',
    change: /DeleteVolume/,
    repeats: true,
  },
  { name: 'msa', policy: 'hpe-msa', lock: 'msa/volume/v1', change: /\/delete\//, hasSessions: true },
  {
    name: 'powerflex',
    policy: 'powerflex',
    lock: 'powerflex/volume/a1',
    change: /setVolumeName/,
    hasSessions: true,
  },
  { name: 'powerstore', policy: 'powerstore', lock: 'powerstore/volume/a1', change: /^DELETE/ },
  { name: 'powermax', policy: 'powermax', lock: 'powermax/000197800123/volume/0009a', change: /^PUT/ },
  { name: 'oceanstor', policy: 'oceanstor', lock: 'oceanstor/lun/5', change: /^DELETE/, hasSessions: true },
  {
    name: 'hitachi',
    policy: 'hitachi',
    lock: 'hitachi/938000412345/ldev/7',
    change: /^DELETE/,
    hasSessions: true,
    repeats: true,
  },
]
const NAMES = FAMILIES.map((family) => [family.name, family] as const)
const Outcome = z.object({ raised: z.string().nullable(), says: z.string(), logged: z.string() })
const START_MS_MAX = 90_000
const patient = { timeout: 15_000, interval: 20 }

describe.skipIf(!arrayDriversAvailable())("Cinder's driver", () => {
  const folder = new GatewayFolder()
  let arrays: FakeArrays
  let gateway: GatewayProcess
  let control: ControlClient
  let drivers: ForeignClient
  const sessions: string[] = []

  beforeAll(async () => {
    arrays = await startFakeArrays()
    const pair = selfSigned('/CN=gateway')
    writeFileSync(join(folder.path, 'cert.pem'), pair.cert)
    writeFileSync(join(folder.path, 'key.pem'), pair.key)
    const tls = { cert: './cert.pem', key: './key.pem' }
    const backends = FAMILIES.map(({ name, policy, plain, repeats }) => [
      name,
      {
        listen: '127.0.0.1:0',
        upstream: arrays.server.url,
        policy,
        quiet: 1,
        identify: ['login', 'session'],
        implicit: true,
        ...(plain ? {} : { tls }),
        ...(repeats ? { wait: 0 } : {}),
      },
    ])
    folder.configure({ backends: Object.fromEntries(backends) })
    gateway = await folder.start()
    control = new ControlClient(gateway.control)
    const places = FAMILIES.map(({ name }) => {
      const { hostname, port } = new URL(gateway.backend(name))
      return [name, [hostname, Number(port)] as const] as const
    })
    drivers = await startArrayDrivers(Object.fromEntries(places), folder.path)
  }, START_MS_MAX)
  afterAll(async () => {
    await drivers?.kill()
    await folder.remove()
    await arrays?.close()
  })
  beforeEach(() => {
    arrays.changes.length = 0
    arrays.server.fault(null)
  })
  afterEach(async () => {
    arrays.server.fault(null)
    for (const session of sessions.splice(0))
      await send(`${gateway.control}/v1/sessions/${session}`, { method: 'DELETE' })
  })

  /** Somebody who logs in at this array as the drivers do, or who only takes locks. */
  async function open(holder: string, family?: Family): Promise<string> {
    const session = await control.openSession({ ttl: 60, holder })
    sessions.push(session)
    if (family === undefined) return session
    const body = { backend: family.name, by: 'login', value: 'cinder' }
    expect((await send(`${gateway.control}/v1/sessions/${session}/bindings`, { body })).status).toBe(201)
    return session
  }

  /** `again` with what it has; without, as a process that has just started, and logs in. */
  function tell({ name }: Family, again = true): void {
    drivers.tell(`${name} ${again ? 'again' : 'afresh'}`)
  }

  async function heard(): Promise<{ raised: string | null; told: string }> {
    const { raised, says, logged } = Outcome.parse(JSON.parse(await drivers.next(40_000)))
    return { raised, told: `${says}\n${logged}` }
  }

  async function change(family: Family, again = true): Promise<{ raised: string | null; told: string }> {
    tell(family, again)
    return heard()
  }

  /** What the gateway counts under this name, as /metrics writes it. */
  async function counted(name: string): Promise<number> {
    const { body } = await send(`${gateway.control}/metrics`)
    const line = body.split('\n').find((one) => one.startsWith(`${name} `))
    return line === undefined ? 0 : Number(line.slice(name.length))
  }

  const parked = () => counted('fencegate_calls_parked')
  const refusals = ({ name }: Family, verdict: string) =>
    counted(`fencegate_calls_refused_total{backend="${name}",verdict="${verdict}"}`)

  it.each(NAMES)(
    'for %s works under the lock of whom it logs in for, and under no other',
    async (_, family) => {
      const mine = await open('cinder-1', family)
      const early = await change(family, false)
      expect(early.raised).not.toBeNull()
      expect(early.told).toContain(family.lock)
      expect(early.told).toContain('missing-token')

      await control.take(family.lock, mine)
      expect(await change(family)).toMatchObject({ raised: null })
      expect(arrays.changes).toHaveLength(1)

      await control.release(family.lock, mine)
      const theirs = await open('cinder-2')
      await control.take(family.lock, theirs, 20)
      const before = await refusals(family, 'missing-token')
      const late = await change(family)
      expect(late.raised).not.toBeNull()
      expect(late.told).toContain(family.lock)
      expect(late.told).toContain(`session ${mine}, which sends it, does not hold it`)
      // Some name themselves only where they are asked.
      const asked = family.name === 'zapi' ? 2 : 1
      expect((await refusals(family, 'missing-token')) - before).toBe(asked)
      expect(arrays.changes).toHaveLength(1)
    },
  )

  it.each(NAMES)('for %s waits while the lock is handed over, and then goes on', async (_, family) => {
    const mine = await open('cinder-1', family)
    const theirs = await open('cinder-2')
    // It has logged in before.
    await change(family, false)
    await control.take(family.lock, theirs, 20)
    const taken = control.take(family.lock, mine, 30)
    await expect
      .poll(async () => (await control.lock(family.lock)).waiters.map(({ session }) => session), patient)
      .toEqual([mine])
    tell(family)
    const held = () => (family.repeats ? refusals(family, 'handover') : parked())
    await expect.poll(held, patient).toBeGreaterThan(0)
    expect(drivers.said).toEqual([])
    await control.release(family.lock, theirs)
    await taken
    expect((await heard()).raised).toBeNull()
    expect(arrays.changes).toHaveLength(1)
  })

  it.each(NAMES)('for %s reports a lost answer, and does not send the change again', async (_, family) => {
    const mine = await open('cinder-1', family)
    await change(family, false)
    await control.take(family.lock, mine, 20)
    const isChange = ({ method, path, text }: RestCall) => family.change.test(`${method} ${path} ${text}`)
    arrays.server.fault('drop', isChange)
    const lost = await change(family)
    expect(lost.raised).not.toBeNull()
    expect(lost.told).toContain('may or may not have happened')
    expect(arrays.changes).toHaveLength(1)
  })

  it.each(NAMES.filter(([, { hasSessions }]) => hasSessions === true))(
    'for %s is nobody once his session is over, although the next one logs in with the same account',
    async (_, family) => {
      const mine = await open('cinder-1', family)
      await control.take(family.lock, mine, 20)
      expect(await change(family, false)).toMatchObject({ raised: null })
      await send(`${gateway.control}/v1/sessions/${mine}`, { method: 'DELETE' })
      const next = await open('cinder-1', family)
      await control.take(family.lock, next, 20)
      const late = await change(family)
      expect(late.raised).not.toBeNull()
      expect(late.told).toContain('nothing says whose session sends it')
      expect(arrays.changes).toHaveLength(1)
      expect(await change(family, false)).toMatchObject({ raised: null })
      expect(arrays.changes).toHaveLength(2)
    },
  )
})
