// The Redfish fencer against a BMC of ours: the right machine, really off, and nothing taken for it that is not.

import { afterEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/redfish.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { type RedfishBmc, SYSTEM_UUID, startRedfishBmc } from '../../support/redfish-bmc.ts'
import { BLINDING, type RestCall } from '../../support/rest-server.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = ReturnType<typeof driver.fenceInfo.parse>
const PASSWORD = 'the-bmcs-password'
const context = { clock: realClock, note: () => undefined }
const bmcs: RedfishBmc[] = []
const fencers: Fencer<Info>[] = []
const INFO: Info = { host: 'compute-3', systemUuid: SYSTEM_UUID }

afterEach(async () => {
  await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
  await Promise.all(bmcs.splice(0).map((bmc) => bmc.server.close()))
})

async function start(
  settings: { readonly systems?: number; readonly system?: string; readonly password?: string } = {},
) {
  const bmc = await startRedfishBmc({ password: PASSWORD, systems: settings.systems ?? 1 })
  bmcs.push(bmc)
  const machine = {
    url: bmc.server.url,
    ...(settings.system === undefined ? {} : { system: settings.system }),
  }
  const options = {
    machines: { 'compute-3': machine },
    username: 'fencer',
    password: settings.password ?? PASSWORD,
  }
  const fencer = driver.create(driver.options.parse(options), context)
  fencers.push(fencer)
  const power = (id = '1') => bmc.systems.get(id)?.power
  return { bmc, fencer, power }
}

const isReset = (call: RestCall) => call.path.endsWith('ComputerSystem.Reset')
const resets = (bmc: RedfishBmc) => bmc.server.calls.filter(isReset)

describe('the Redfish fencer', () => {
  test('forces the machine off and sees it; unfence turns it on again', async () => {
    const { bmc, fencer, power } = await start()
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(INFO, anAttemptNow())
    expect(resets(bmc).map((call) => call.json)).toEqual([{ ResetType: 'ForceOff' }])
    expect(await fencer.verify(INFO, anAttemptNow())).toMatchObject({
      state: 'fenced',
      evidence: { observed: 'the power of compute-3 is Off' },
    })
    await fencer.unfence?.(INFO, anAttemptNow())
    expect(power()).toBe('On')
  })

  test('a machine that is switching off is not off yet', async () => {
    const { bmc, fencer } = await start()
    bmc.mode = 'slow'
    await fencer.fence(INFO, anAttemptNow())
    expect(await fencer.verify(INFO, anAttemptNow())).toMatchObject({
      state: 'not-fenced',
      reason: expect.stringContaining('PoweringOff'),
    })
    bmc.finish()
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('a success that is reported and not true is seen through', async () => {
    const { bmc, fencer } = await start()
    bmc.mode = 'deaf'
    await fencer.fence(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('not-fenced')
  })

  test.each(['', 'Unknown', 'off', 'null'])('a power state "%s" shows nothing', async (state) => {
    const { bmc, fencer } = await start()
    const system = bmc.systems.get('1')
    if (system !== undefined) system.power = state
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
  })

  test('a refusal to turn off is looked into: off already is success, on is a failure', async () => {
    const { bmc, fencer, power } = await start()
    bmc.mode = 'refuse'
    await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow('400')
    bmc.mode = 'strict'
    await fencer.fence(INFO, anAttemptNow())
    expect(resets(bmc)).toHaveLength(2)
    expect(power()).toBe('Off')
    await fencer.fence(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('the machine of another UUID or serial number is neither struck nor taken for fenced', async () => {
    const { bmc, fencer, power } = await start()
    const strangers: Info[] = [
      { host: 'compute-3', systemUuid: SYSTEM_UUID.replace('3', '4') },
      { host: 'compute-3', serialNumber: 'SN-2' },
    ]
    for (const info of strangers)
      await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow('left alone')
    const system = bmc.systems.get('1')
    if (system !== undefined) system.power = 'Off'
    for (const info of strangers) expect((await fencer.verify(info, anAttemptNow())).state).toBe('unknown')
    expect(resets(bmc)).toEqual([])
    expect(power()).toBe('Off')
    await expect(fencer.fence({ host: 'compute-4' }, anAttemptNow())).rejects.toThrow('no machine compute-4')
    expect((await fencer.verify({ host: 'compute-4' }, anAttemptNow())).state).toBe('unknown')
    expect(() => fencer.check?.({ host: 'compute-4' })).toThrow('no machine compute-4')
    expect(() => fencer.check?.({ host: 'compute-3' })).not.toThrow()
  })

  test('with several systems it strikes the one that is named, and none where none is', async () => {
    const vague = await start({ systems: 3 })
    await expect(vague.fencer.fence(INFO, anAttemptNow())).rejects.toThrow('has 3 systems')
    expect((await vague.fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
    expect(resets(vague.bmc)).toEqual([])
    const named = await start({ systems: 3, system: '/redfish/v1/Systems/2' })
    const info = { host: 'compute-3', serialNumber: 'SN-2' }
    await named.fencer.fence(info, anAttemptNow())
    expect((await named.fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    expect(['1', '2', '3'].map((id) => named.power(id))).toEqual(['On', 'Off', 'On'])
  })

  test('a machine that was reset since the holder started is left alone, and its holder gone', async () => {
    const { bmc, fencer, power } = await start()
    const info = { ...INFO, lastResetTime: '2031-01-01T00:00:00Z' }
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    const system = bmc.systems.get('1')
    if (system !== undefined) system.lastResetTime = '2031-01-01T00:10:00Z'
    await fencer.fence(info, anAttemptNow())
    expect([power(), resets(bmc).length]).toEqual(['On', 0])
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    // A BMC that does not tell when.
    if (system !== undefined) system.lastResetTime = ''
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
  })

  test.each(BLINDING)('a look that is answered by "%s" shows nothing', async (kind) => {
    const { bmc, fencer } = await start()
    const system = bmc.systems.get('1')
    if (system !== undefined) system.power = 'Off'
    bmc.server.fault(kind, (call) => call.method === 'GET')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
    await expect(fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })).rejects.toThrow(
      'compute-3',
    )
  })

  test('a BMC that is not there is unknown', async () => {
    const { bmc, fencer } = await start()
    await bmc.server.close()
    await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow('ECONNREFUSED')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
  })

  test('a BMC that hangs ends with the attempt; wrong credentials are not named', async () => {
    const { bmc, fencer } = await start()
    bmc.server.fault('hang')
    await expect(fencer.fence(INFO, anAttemptNow({ lengthMs: 100 }))).rejects.toThrow()
    expect((await fencer.verify(INFO, anAttemptNow({ lengthMs: 100 }))).state).toBe('unknown')
    const wrong = await start({ password: 'wrong-but-secret' })
    const said = await wrong.fencer.fence(INFO, anAttemptNow()).catch(String)
    expect(said).toContain('401')
    expect(said).not.toContain('wrong-but-secret')
    expect(wrong.power()).toBe('On')
  })

  test('sends its password to the BMC with the pinned certificate alone, whichever a machine has', async () => {
    const bmc = await startRedfishBmc({ password: PASSWORD, systems: 1, tls: true })
    bmcs.push(bmc)
    const { fingerprint } = bmc.server
    const wrong = (fingerprint ?? '').replace(/^../, (first) => (first === '00' ? '01' : '00'))
    const withTls = (ofAll: object, ofMachine?: object) => {
      const machine = { url: bmc.server.url, ...(ofMachine === undefined ? {} : { tls: ofMachine }) }
      const options = {
        machines: { 'compute-3': machine },
        username: 'fencer',
        password: PASSWORD,
        tls: ofAll,
      }
      const fencer = driver.create(driver.options.parse(options), context)
      fencers.push(fencer)
      return fencer
    }
    for (const fencer of [
      withTls({}),
      withTls({ fingerprint: wrong }),
      withTls({ fingerprint }, { fingerprint: wrong }),
    ]) {
      await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow()
      expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
    }
    expect(bmc.server.calls).toEqual([])
    const pinned = withTls({ fingerprint: wrong }, { fingerprint })
    await pinned.fence(INFO, anAttemptNow())
    expect((await pinned.verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('keeps one session at a BMC, opens another where that has ended, and closes it in the end', async () => {
    const { bmc, fencer } = await start()
    await Promise.all(Array.from({ length: 5 }, () => fencer.verify(INFO, anAttemptNow())))
    expect(bmc.openSessions.size).toBe(1)
    bmc.openSessions.clear()
    await fencer.fence(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
    expect(bmc.openSessions.size).toBe(1)
    await fencer.close?.()
    expect(bmc.openSessions.size).toBe(0)
  })
})
