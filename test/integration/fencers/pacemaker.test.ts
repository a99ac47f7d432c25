// The pacemaker fencer with Debian's stonith_admin: on a cluster of one node, without any cluster, and a stonith_admin of ours for
// what the real one seldom does.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import driver from '../../../fencers/pacemaker.ts'
import { FenceInfoFault } from '../../../gateway/spi/fencer.ts'
import { findProgram } from '../../house/availability.ts'
import {
  fakeStonithAdmin,
  type PacemakerCluster,
  pacemakerAvailable,
  startPacemaker,
} from '../../support/pacemaker.ts'
import { anAttemptNow, realClock } from './support.ts'

const context = { clock: realClock, note: () => undefined }
const create = (stonithAdmin: string, more: Readonly<Record<string, unknown>> = {}) =>
  driver.create(driver.options.parse({ stonithAdmin, ...more }), context)
const monitored = (fencer: ReturnType<typeof create>) =>
  fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })
const now = () => new Date().toISOString()

describe.skipIf(!pacemakerAvailable())('the pacemaker fencer, on a cluster', () => {
  let cluster: PacemakerCluster
  beforeAll(async () => {
    cluster = await startPacemaker()
  }, 90_000)
  afterAll(async () => {
    await cluster.stop()
  })
  const admin = () => create(cluster.program)

  test('the node goes off, the history shows by whom and for which fence, and unfence has it on again', async () => {
    const node = cluster.addNode()
    const attempt = anAttemptNow()
    expect((await admin().verify({ node }, attempt)).state).toBe('unknown')
    await admin().fence({ node }, attempt)
    expect(cluster.power(node)).toBe('off')
    // Another gateway, on another attempt of the same fence, sees it too.
    expect(await admin().verify({ node }, anAttemptNow({ number: 2 }))).toMatchObject({
      state: 'fenced',
      evidence: {
        observed: expect.stringMatching(/^off of compute-\d+ succeeded at 20\S+ .*by gateway-1 for this/),
      },
    })
    await admin().unfence?.({ node }, attempt)
    expect(cluster.power(node)).toBe('on')
  })

  test('a fence that has succeeded is not struck again, and another fence is', async () => {
    const node = cluster.addNode()
    await admin().fence({ node }, anAttemptNow())
    cluster.setPower(node, 'on')
    await admin().fence({ node }, anAttemptNow({ number: 2 }))
    expect(cluster.power(node)).toBe('on')
    const another = { ...anAttemptNow(), fenceId: 'f01' }
    expect((await admin().verify({ node }, another)).state).toBe('unknown')
    await admin().fence({ node }, another)
    expect(cluster.power(node)).toBe('off')
  })

  test('a node that was fenced since the holder started is left alone, and its holder gone', async () => {
    const node = cluster.addNode()
    const before = { node, lastFenced: 'never' as const }
    expect((await admin().verify(before, anAttemptNow())).state).toBe('unknown')
    cluster.admin(`--reboot=${node}`, '--timeout=10')
    cluster.setPower(node, 'on')
    await admin().fence(before, anAttemptNow())
    expect(cluster.power(node)).toBe('on')
    expect(await admin().verify(before, anAttemptNow())).toMatchObject({
      state: 'fenced',
      evidence: { observed: expect.stringContaining('for somebody else') },
    })
    // A holder that started afterwards is another one.
    const after = { node, lastFenced: new Date(Date.now() + 1_000).toISOString() }
    expect((await admin().verify(after, anAttemptNow())).state).toBe('unknown')
    await admin().fence(after, anAttemptNow())
    expect(cluster.power(node)).toBe('off')
  })

  test("what an operator has told the cluster is his word, and the cluster's unfencing is no fence", async () => {
    const node = cluster.addNode()
    const info = { node, lastFenced: 'never' as const }
    cluster.admin(`--confirm=${node}`)
    cluster.admin(`--unfence=${node}`, '--timeout=10')
    expect(cluster.admin(`--history=${node}`, '--verbose')).toContain('a human')
    expect((await admin().verify(info, anAttemptNow())).state).toBe('unknown')
  })

  test('a device that fails is a failure, and the node is not fenced', async () => {
    const node = cluster.addNode()
    cluster.setPower(node, 'neither on nor off')
    await expect(admin().fence({ node }, anAttemptNow())).rejects.toThrow(
      `--fence ${node} ended with exit code 1`,
    )
    expect((await admin().verify({ node }, anAttemptNow())).state).toBe('not-fenced')
  })

  test('a node that no device can fence is found by monitor, and fails at once', async () => {
    const good = cluster.addNode()
    const bad = cluster.addNode({ device: false })
    await monitored(create(cluster.program, { nodes: [good] }))
    await expect(monitored(create(cluster.program, { nodes: [good, bad] }))).rejects.toThrow(`--list=${bad}`)
    await expect(admin().fence({ node: bad }, anAttemptNow())).rejects.toThrow('No such device')
    expect((await admin().verify({ node: bad }, anAttemptNow())).state).not.toBe('fenced')
  })

  test('somebody whom the cluster does not let in is a failure, and nothing is known', async () => {
    const node = cluster.addNode()
    const fencer = create(cluster.programOfNobody)
    await expect(fencer.fence({ node }, anAttemptNow())).rejects.toThrow()
    expect((await fencer.verify({ node }, anAttemptNow())).state).toBe('unknown')
    await expect(monitored(fencer)).rejects.toThrow()
    expect(cluster.power(node)).toBe('on')
  })

  test('a device that is slow is waited for, and nobody is fenced meanwhile', async () => {
    const node = cluster.addNode({ sleepSeconds: 3 })
    const fencer = admin()
    let done = false
    const fencing = fencer.fence({ node }, anAttemptNow()).then(() => {
      done = true
    })
    // A device of one second takes one second or more.
    expect((await fencer.verify({ node }, anAttemptNow())).state).not.toBe('fenced')
    await fencing
    expect(done).toBe(true)
    expect((await fencer.verify({ node }, anAttemptNow())).state).toBe('fenced')
  })
})

describe.skipIf(!pacemakerAvailable())('without a cluster', () => {
  test('stonith_admin says that there is no connection, and nothing is known', async () => {
    // A name space without anybody listening, should this machine have a cluster of its own.
    const real = findProgram('stonith_admin') ?? ''
    const alone = fakeStonithAdmin(`exec unshare --net ${real} "$@"`)
    const fencer = create(alone.program)
    await expect(fencer.fence({ node: 'compute-3' }, anAttemptNow())).rejects.toThrow('not connected')
    expect(await fencer.verify({ node: 'compute-3' }, anAttemptNow())).toMatchObject({
      state: 'unknown',
      reason: expect.stringContaining('exit code 102'),
    })
    await expect(monitored(fencer)).rejects.toThrow('exit code 102')
    alone.close()
  })
})

describe('the pacemaker fencer', () => {
  const fakes: { close(): void }[] = []
  afterEach(() => {
    for (const fake of fakes.splice(0)) fake.close()
  })
  const said = (script: string, events: readonly string[] = []) => {
    const fake = fakeStonithAdmin(script, events)
    fakes.push(fake)
    return fake
  }
  const event = (words: Readonly<Record<string, string>>) => {
    const all = {
      action: 'off',
      target: 'compute-3',
      client: '(null).fencegate-f00-1.77',
      origin: 'gateway-1',
      status: 'success',
      delegate: 'gateway-1',
      completed: '2026-11-21 16:32:31Z',
      ...words,
    }
    return `<fence_event ${Object.entries(all)
      .map(([name, value]) => `${name}="${value}"`)
      .join(' ')}/>`
  }
  const INFO = { node: 'compute-3' }

  test('success that is reported and not in the history is found out', async () => {
    const fake = said('case $* in *--fence*) exit 0 ;; esac')
    const fencer = create(fake.program)
    await fencer.fence(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('unknown')
  })

  test('only what the history shows done, of this node, for this fence, by somebody, is a fence', async () => {
    const stateOf = async (
      words: Readonly<Record<string, string>>,
      info: Parameters<typeof driver.target>[0] = INFO,
    ) => (await create(said('', [event(words)]).program).verify(info, anAttemptNow())).state
    expect(await stateOf({})).toBe('fenced')
    expect(await stateOf({ action: 'reboot' })).toBe('fenced')
    expect(await stateOf({ status: 'pending' })).toBe('not-fenced')
    expect(await stateOf({ status: 'failed' })).toBe('not-fenced')
    expect(await stateOf({ action: 'on' })).toBe('unknown')
    expect(await stateOf({ target: 'compute-33' })).toBe('unknown')
    expect(await stateOf({ delegate: '' })).toBe('unknown')
    expect(await stateOf({ delegate: 'a human' })).toBe('unknown')
    expect(await stateOf({ client: '(null).fencegate-f001-1.77' })).toBe('unknown')
    expect(await stateOf({ client: 'stonith_admin.77' })).toBe('unknown')
    const other = { client: 'pacemaker-controld.9' }
    expect(await stateOf(other, { ...INFO, lastFenced: '2026-11-21T16:32:30Z' })).toBe('fenced')
    expect(await stateOf(other, { ...INFO, lastFenced: '2026-11-21T16:32:31Z' })).toBe('unknown')
    expect(await stateOf(other, { ...INFO, lastFenced: '2026-11-21T18:32:30+02:00' })).toBe('fenced')
    expect(await stateOf({ ...other, completed: 'soon' }, { ...INFO, lastFenced: 'never' })).toBe('unknown')
  })

  test('of several attempts one success is enough', async () => {
    const events = [event({ status: 'failed', client: 'x.fencegate-f00-2.78' }), event({})]
    const fencer = create(said('', events).program)
    expect((await fencer.verify(INFO, anAttemptNow({ number: 2 }))).state).toBe('fenced')
  })

  test('a history that fails, hangs, babbles, floods, or is cut off is unknown, and nothing is struck', async () => {
    const whole = [event({}), event({})].join('')
    for (const script of [
      'echo "Could not connect to fencer" >&2; exit 102',
      'sleep 300',
      'echo "2 events found"; exit 0',
      'head -c 5000000 /dev/zero | tr "\\000" "<"; exit 0',
      `echo '<pacemaker-result><list count="3">${whole}</list><status code="0"/></pacemaker-result>'; exit 0`,
      `echo '<pacemaker-result><list count="2">${whole}</list><status code="1"/></pacemaker-result>'; exit 0`,
      `echo '<pacemaker-result><list count="2">${whole}</list>'; exit 0`,
      'kill -9 $$',
    ]) {
      const fake = said(script)
      const fencer = create(fake.program)
      expect((await fencer.verify(INFO, anAttemptNow({ lengthMs: 1_500 }))).state, script).toBe('unknown')
      await expect(fencer.fence(INFO, anAttemptNow({ lengthMs: 1_000 }))).rejects.toThrow()
      expect(fake.asked().join()).not.toContain('--fence')
    }
    expect((await create('/no/such/program').verify(INFO, anAttemptNow())).state).toBe('unknown')
  })

  test('what libraries print around the document does no harm', async () => {
    const fake = said('echo "warning: <something>" >&2', [event({})])
    expect((await create(fake.program).verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('one that hangs is killed, and the cluster was given less time than the attempt has', async () => {
    const fake = said('case $* in *--fence*) sleep 300 ;; esac')
    const startedMs = realClock.monotonicMs()
    await expect(create(fake.program).fence(INFO, anAttemptNow({ lengthMs: 4_000 }))).rejects.toThrow(
      'was killed',
    )
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(6_000)
    expect(fake.asked().at(-1)).toBe('--fence=compute-3 --timeout=2 --tag=fencegate-f00-1')
  })

  test('fences those nodes alone that are configured, none by an option, and all of them by no name', async () => {
    const fake = said('')
    const fencer = create(fake.program, { nodes: ['compute-3'], action: 'reboot' })
    expect(() => fencer.check?.({ node: 'compute-4' })).toThrow(FenceInfoFault)
    await expect(fencer.fence({ node: 'compute-4' }, anAttemptNow())).rejects.toThrow(
      "none of this fencer's nodes",
    )
    expect(fake.asked()).toEqual([])
    await fencer.fence(INFO, anAttemptNow())
    expect(fake.asked().at(-1)).toMatch(/^--reboot=compute-3 /)
    for (const node of ['*', '--cleanup', '-x', 'a b', '', 'a\nb', 'a/b'])
      expect(driver.fenceInfo.safeParse({ node }).success, node).toBe(false)
    for (const lastFenced of ['yesterday', '', now().slice(0, 10)])
      expect(driver.fenceInfo.safeParse({ node: 'a', lastFenced }).success, lastFenced).toBe(false)
  })
})
