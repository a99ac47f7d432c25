// The ceph-blocklist fencer against a real Ceph monitor and the real `ceph`.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import driver from '../../../fencers/ceph-blocklist.ts'
import { describeWith } from '../../house/availability.ts'
import { type CephMonitor, startCephMonitor } from '../../support/ceph-monitor.ts'
import { anAttemptNow, realClock } from './support.ts'

const context = { clock: realClock, note: () => undefined }
/** As the driver's options say that the key needs them. */
const CAPABILITIES = 'allow command "osd blocklist", allow command "osd blocklist ls"'
const SECONDS = 7_200

describeWith(['ceph', 'ceph-mon', 'ceph-authtool', 'monmaptool'], 'a real Ceph monitor', () => {
  let monitor: CephMonitor
  let clients = 0
  beforeAll(async () => {
    monitor = await startCephMonitor()
  }, 60_000)
  afterAll(() => monitor?.end())
  afterEach(() => monitor.resume())

  /** Another client each time. */
  const aClient = () => ({ cephClient: `10.0.0.3:0/${4_000 + ++clients}` })
  const create = (options: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}) =>
    driver.create(driver.options.parse({ expireSeconds: SECONDS, ...options, ...more }), context)
  type Client = ReturnType<typeof aClient>
  const seen = (fencer: ReturnType<typeof create>, info: Client, lengthMs = 15_000) =>
    fencer.verify(info, anAttemptNow({ lengthMs }))

  test('lists the client for as long as it was told, and takes it off again, with the capabilities that are asked for', async () => {
    expect(driver.options.toJSONSchema()).toMatchObject({
      properties: { keyring: { description: expect.stringContaining(CAPABILITIES) } },
    })
    const fencer = create(monitor.client(CAPABILITIES))
    const info = aClient()
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(15_000) })
    expect((await seen(fencer, info)).state).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    const fenced = await seen(fencer, info)
    if (fenced.state !== 'fenced') throw new Error(fenced.reason)
    const until = / until (\S+)$/.exec(fenced.evidence.observed)?.[1] ?? ''
    expect(Math.abs(Date.parse(until) - Date.now() - SECONDS * 1_000)).toBeLessThan(60_000)
    // Twice is no mistake; another instance of the client at the same address is not meant.
    await fencer.fence(info, anAttemptNow())
    expect((await seen(fencer, { cephClient: `${info.cephClient}1` })).state).toBe('not-fenced')
    await monitor.restart()
    expect((await seen(fencer, info)).state).toBe('fenced')
    await fencer.unfence?.(info, anAttemptNow())
    expect((await seen(fencer, info)).state).toBe('not-fenced')
  }, 60_000)

  test('knows IPv6 clients, and takes neither a range nor an entry that is about to end for one', async () => {
    const fencer = create(monitor.client(CAPABILITIES))
    const six = driver.fenceInfo.parse({ cephClient: '[fd00::3]:0/371' })
    await fencer.fence(six, anAttemptNow())
    expect((await seen(fencer, six)).state).toBe('fenced')
    const info = aClient()
    monitor.ceph('osd', 'blocklist', 'range', 'add', '10.0.0.0/24', '86400')
    expect((await seen(fencer, info)).state).toBe('not-fenced')
    expect((await seen(fencer, six)).state).toBe('fenced')
    monitor.ceph('osd', 'blocklist', 'add', info.cephClient, '60')
    expect(await seen(fencer, info)).toMatchObject({
      state: 'not-fenced',
      reason: expect.stringContaining('is listed no longer than'),
    })
    monitor.ceph('osd', 'blocklist', 'range', 'rm', '10.0.0.0/24')
  }, 60_000)

  test('with the wrong key, or with capabilities that do not suffice, fails, and knows nothing', async () => {
    const info = aClient()
    const reader = create(monitor.client('allow r'))
    await expect(reader.fence(info, anAttemptNow())).rejects.toThrow('exit code 13')
    expect((await seen(reader, info)).state).toBe('not-fenced')
    for (const options of [monitor.client('allow command "osd blocklist"'), monitor.stranger]) {
      const fencer = create(options)
      expect((await seen(fencer, info)).state).toBe('unknown')
      await expect(fencer.monitor({ ...context, signal: AbortSignal.timeout(15_000) })).rejects.toThrow()
    }
    await expect(create(monitor.stranger).fence(info, anAttemptNow())).rejects.toThrow()
  }, 60_000)

  test('which stands still is waited for until the attempt is over, and nothing is known', async () => {
    const fencer = create(monitor.client(CAPABILITIES))
    const info = aClient()
    monitor.pause()
    await expect(fencer.fence(info, anAttemptNow({ lengthMs: 1_000 }))).rejects.toThrow()
    expect((await seen(fencer, info, 1_000)).state).toBe('unknown')
    monitor.resume()
    await fencer.fence(info, anAttemptNow())
    expect((await seen(fencer, info)).state).toBe('fenced')
  }, 60_000)
})
