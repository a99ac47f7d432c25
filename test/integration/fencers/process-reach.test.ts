// The process fencer where it ends more than one process, and where the pid of the holder was handed out anew: in real process
// groups, real cgroups, and a pid namespace in which the kernel is told which pid comes next.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import driver from '../../../fencers/process.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'
import { FenceInfoFault } from '../../../gateway/spi/fencer.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import {
  aFamily,
  alive,
  cgroupsAvailable,
  emptied,
  endAll,
  hierarchy,
  inCgroup,
  makeCgroup,
} from './reach-support.ts'
import { anAttemptNow, realClock, startVictim, type Victim } from './support.ts'

const fencerOf = (kill: 'process' | 'group' | 'cgroup', graceMs = 100, clock: Clock = realClock) =>
  driver.create(driver.options.parse({ kill, graceMs }), { clock, note: () => undefined })
const complete = (pid: number) => driver.complete?.({ pid }) ?? { pid }
const victims: Victim[] = []
afterEach(async () => {
  await Promise.all(victims.splice(0).map((victim) => victim.end()))
  await endAll()
})

describe.skipIf(process.platform !== 'linux')('a whole process group', () => {
  test('ends with the holder, those that ignore SIGTERM too, and is not taken for gone before', async () => {
    const { pid, child } = await aFamily()
    const info = complete(pid)
    // The grace is over when the test says so.
    const clock = new ManualClock()
    const fencer = fencerOf('group', 1_000, clock)
    expect(() => fencer.check?.(info)).not.toThrow()
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    const attempt = anAttemptNow()
    const fencing = fencer.fence(info, attempt)
    await expect.poll(() => alive(pid)).toBe(false)
    expect(alive(child)).toBe(true)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    // One process alone would be called gone by now.
    expect((await fencerOf('process').verify(info, anAttemptNow())).state).toBe('fenced')
    await clock.advance(1_000)
    await fencing
    await expect.poll(() => alive(child)).toBe(false)
    await expect.poll(async () => (await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    expect(attempt.notes.join()).toContain(`sent SIGKILL to process group ${pid}`)
  })

  test('whose leader was gone before anybody looked is unknown, and nobody of it is touched', async () => {
    const { leader, pid, child } = await aFamily('read -r line; exit 0')
    const info = complete(pid)
    leader.stdin?.end()
    await once(leader, 'exit')
    const fencer = fencerOf('group')
    await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow('cannot be told')
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('unknown')
    expect(alive(child)).toBe(true)
    process.kill(child, 'SIGKILL')
    await expect.poll(async () => (await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
  })

  test('is known by those who were seen in it, when its leader is gone', async () => {
    const { leader, pid, child } = await aFamily('read -r line; exit 0')
    const info = complete(pid)
    const fencer = fencerOf('group')
    await fencer.verify(info, anAttemptNow())
    leader.stdin?.end()
    await once(leader, 'exit')
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    await expect.poll(() => alive(child)).toBe(false)
  })

  test('is not ended for a holder who leads none, and never while the gateway is in it', async () => {
    const victim = await startVictim()
    victims.push(victim)
    const info = complete(victim.pid)
    const fencer = fencerOf('group')
    expect(() => fencer.check?.(info)).toThrow(FenceInfoFault)
    await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow('leads no process group')
    expect(victim.isAlive()).toBe(true)
    const stat = readFileSync('/proc/self/stat', 'utf8')
    const ours = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
    expect(() => fencer.check?.({ ...info, pid: ours, processGroup: ours })).toThrow('the gateway itself')
  })
})

describe.skipIf(!cgroupsAvailable())('a whole cgroup', () => {
  test('ends with the holder, those that have left its session too, and is not taken for gone before', async () => {
    const folder = makeCgroup()
    const { victim, child } = await inCgroup(folder)
    const outside = await startVictim()
    victims.push(outside)
    const info = complete(victim.pid)
    expect(info).toMatchObject({
      cgroup: folder.slice(hierarchy()?.length),
      cgroupId: String(statSync(folder).ino),
    })
    const clock = new ManualClock()
    const fencer = fencerOf('cgroup', 1_000, clock)
    expect(() => fencer.check?.(info)).not.toThrow()
    const fencing = fencer.fence(info, anAttemptNow())
    await expect.poll(() => victim.isAlive()).toBe(false)
    expect(alive(child)).toBe(true)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await clock.advance(1_000)
    await fencing
    await expect
      .poll(async () => await fencer.verify(info, anAttemptNow()))
      .toMatchObject({
        state: 'fenced',
        evidence: { observed: expect.stringContaining('is empty') },
      })
    expect(alive(child)).toBe(false)
    expect(outside.isAlive()).toBe(true)
    emptied(folder)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
  })

  test('of the same name that was made anew is never touched, and the old one is gone', async () => {
    const folder = makeCgroup()
    const first = await inCgroup(folder)
    const info = complete(first.victim.pid)
    process.kill(first.child, 'SIGKILL')
    await first.victim.end()
    await expect.poll(() => emptied(folder)).toBe(true)
    makeCgroup(folder.slice((hierarchy()?.length ?? 0) + 1))
    const second = await inCgroup(folder)
    await fencerOf('cgroup').fence(info, anAttemptNow())
    expect((await fencerOf('cgroup').verify(info, anAttemptNow())).state).toBe('fenced')
    // Even where the leader is taken for alive still.
    const mixed = { ...complete(second.victim.pid), cgroupId: info.cgroupId }
    await fencerOf('cgroup').fence(mixed, anAttemptNow())
    await expect.poll(() => second.victim.isAlive()).toBe(false)
    expect(alive(second.child)).toBe(true)
  })

  test('is not ended for a holder in the root or in one that holds the gateway, nor by a path that leads out', async () => {
    const victim = await startVictim()
    victims.push(victim)
    const info = complete(victim.pid)
    const fencer = fencerOf('cgroup')
    // The victim is where this test is.
    expect(() => fencer.check?.(info)).toThrow(FenceInfoFault)
    await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow()
    for (const cgroup of ['/', '/../..', '/a/../..', '/.']) {
      const led = { ...info, cgroup, cgroupId: String(statSync(hierarchy() ?? '/').ino) }
      await expect(fencer.fence(led, anAttemptNow()), cgroup).rejects.toThrow()
      expect((await fencer.verify(led, anAttemptNow())).state, cgroup).not.toBe('fenced')
    }
    expect(victim.isAlive()).toBe(true)
    expect(() => driver.complete?.({ pid: victim.pid, cgroup: '/of-another' })).toThrow('cgroup')
  })

  test('is left alone once the claim is lost', async () => {
    const folder = makeCgroup()
    const { victim, child } = await inCgroup(folder)
    const info = complete(victim.pid)
    const attempt = anAttemptNow({ mayStrike: false })
    await expect(fencerOf('cgroup').fence(info, attempt)).rejects.toThrow('withheld')
    expect(victim.isAlive() && alive(child)).toBe(true)
    writeFileSync(join(folder, 'cgroup.kill'), '1')
  })
})

const NAMESPACE = ['--pid', '--fork', '--mount-proc', '--kill-child']
const pidNamespaceAvailable = (): boolean =>
  spawnSync('unshare', [...NAMESPACE, 'sh', '-c', 'echo 300 > /proc/sys/kernel/ns_last_pid']).status === 0

describe.skipIf(!pidNamespaceAvailable())('a pid that was handed out anew', () => {
  const Outcome = z.object({
    before: z.string(),
    after: z.looseObject({ state: z.string() }),
    notes: z.array(z.string()),
    samePid: z.boolean(),
    isAlive: z.boolean(),
  })
  const program = fileURLToPath(new URL('../../support/recycled-pid.ts', import.meta.url))

  test.each(['process', 'group'] as const)('is another process, and is not touched (kill: %s)', (kill) => {
    const options = JSON.stringify({ kill, graceMs: 50 })
    const ran = spawnSync('unshare', [...NAMESPACE, process.execPath, program, options], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect(ran.status, ran.stderr).toBe(0)
    const outcome = Outcome.parse(JSON.parse(ran.stdout))
    expect(outcome).toMatchObject({
      before: 'not-fenced',
      after: { state: 'fenced' },
      notes: [expect.stringContaining('is another one')],
      samePid: true,
      isAlive: true,
    })
  })
})
