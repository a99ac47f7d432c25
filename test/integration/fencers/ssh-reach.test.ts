// The ssh fencer where it ends a whole process group or cgroup at the far end, behind a real sshd.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { processScript } from '../../../fencers/host/script.ts'
import driver from '../../../fencers/ssh.ts'
import { FenceInfoFault } from '../../../gateway/spi/fencer.ts'
import { describeWith } from '../../house/availability.ts'
import { type Sshd, startSshd } from '../../support/sshd.ts'
import { whereabouts } from './host-support.ts'
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
import { anAttemptNow, realClock, startVictim } from './support.ts'

describeWith(['sshd', 'ssh', 'ssh-keygen'], 'over ssh', () => {
  let sshd: Sshd
  const closing: (() => Promise<void> | undefined)[] = []
  beforeAll(async () => {
    sshd = await startSshd()
  })
  afterAll(async () => {
    await sshd.stop()
  })
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
    await endAll()
  })
  function fencerOf(kill: 'process' | 'group' | 'cgroup', graceMs = 100) {
    const fencer = driver.create(driver.options.parse({ ...sshd.options, kill, graceMs }), {
      clock: realClock,
      note: () => undefined,
    })
    closing.push(() => fencer.close?.())
    return fencer
  }
  const infoOf = (pid: number, more: Readonly<Record<string, unknown>> = {}) =>
    driver.fenceInfo.parse({ host: '127.0.0.1', ...whereabouts(pid), ...more })
  const cgroupInfo = (folder: string) => ({
    cgroup: folder.slice(hierarchy()?.length),
    cgroupId: String(statSync(folder).ino),
  })
  const stateOf = async (fencer: ReturnType<typeof fencerOf>, info: ReturnType<typeof infoOf>) =>
    (await fencer.verify(info, anAttemptNow())).state

  test('a process group ends with its leader, those that ignore SIGTERM too', async () => {
    const { pid, child } = await aFamily('trap "" TERM; wait')
    const info = infoOf(pid)
    const fencer = fencerOf('group')
    expect(await stateOf(fencer, info)).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    await expect.poll(() => alive(pid) || alive(child)).toBe(false)
    expect(await stateOf(fencer, info)).toBe('fenced')
  })

  test('a group whose leader is gone is unknown while anybody is in it, and is left alone', async () => {
    const { leader, pid, child } = await aFamily('read -r line; exit 0')
    const info = infoOf(pid)
    leader.stdin?.end()
    await once(leader, 'exit')
    const fencer = fencerOf('group')
    await expect(fencer.fence(info, anAttemptNow())).rejects.toThrow('cannot be told')
    expect(await stateOf(fencer, info)).toBe('unknown')
    expect(alive(child)).toBe(true)
    process.kill(child, 'SIGKILL')
    await expect.poll(() => stateOf(fencer, info)).toBe('fenced')
  })

  test('a process that leads no group, and a group whose number was given to another, are left alone', async () => {
    const victim = await startVictim()
    closing.push(() => victim.end())
    await expect(fencerOf('group').fence(infoOf(victim.pid), anAttemptNow())).rejects.toThrow(
      'leads no process group',
    )
    expect(victim.isAlive()).toBe(true)
    const { pid, child } = await aFamily()
    const recycled = infoOf(pid, { startTime: whereabouts(pid).startTime - 1 })
    await fencerOf('group').fence(recycled, anAttemptNow())
    expect(await stateOf(fencerOf('group'), recycled)).toBe('fenced')
    expect(alive(pid) && alive(child)).toBe(true)
  })

  test.skipIf(!cgroupsAvailable())(
    'a cgroup ends with the holder, those that have left its session too',
    async () => {
      const folder = makeCgroup()
      const { victim, child } = await inCgroup(folder)
      const info = infoOf(victim.pid, cgroupInfo(folder))
      const fencer = fencerOf('cgroup')
      expect(() => fencer.check?.(info)).not.toThrow()
      expect(() => fencer.check?.(infoOf(victim.pid))).toThrow(FenceInfoFault)
      expect(await stateOf(fencer, info)).toBe('not-fenced')
      await victim.end()
      // The leader is gone, and what it has started is not.
      expect(await stateOf(fencerOf('process'), info)).toBe('fenced')
      expect(await stateOf(fencer, info)).toBe('not-fenced')
      await fencer.fence(info, anAttemptNow())
      await expect.poll(() => alive(child)).toBe(false)
      await expect.poll(() => stateOf(fencer, info)).toBe('fenced')
    },
  )

  test.skipIf(!cgroupsAvailable())('a cgroup of that name that was made anew is left alone', async () => {
    const folder = makeCgroup()
    const first = await inCgroup(folder)
    const info = infoOf(first.victim.pid, cgroupInfo(folder))
    process.kill(first.child, 'SIGKILL')
    await first.victim.end()
    await expect.poll(() => emptied(folder)).toBe(true)
    makeCgroup(info.cgroup?.slice(1))
    const second = await inCgroup(folder)
    const fencer = fencerOf('cgroup')
    await fencer.fence(info, anAttemptNow())
    expect(await stateOf(fencer, info)).toBe('fenced')
    expect(second.victim.isAlive() && alive(second.child)).toBe(true)
    const mixed = { ...infoOf(second.victim.pid), cgroup: info.cgroup, cgroupId: info.cgroupId }
    await fencer.fence(mixed, anAttemptNow())
    expect(alive(second.child)).toBe(true)
  })

  test.skipIf(!cgroupsAvailable())('a cgroup that holds the far end itself is not ended', async () => {
    const folder = makeCgroup()
    const { victim, child } = await inCgroup(folder)
    const reach = { kill: 'cgroup' as const, ...cgroupInfo(folder) }
    const script = processScript(whereabouts(victim.pid), 'SIGKILL', reach)
    const inside = `echo $$ >${join(folder, 'cgroup.procs')} && exec sh -s`
    const report = script.report(
      spawnSync('sh', ['-c', inside], { input: script.text, encoding: 'utf8' }).stdout,
    )
    expect(report).toMatchObject({ state: 'unknown', detail: expect.stringContaining('the far end itself') })
    expect(victim.isAlive() && alive(child)).toBe(true)
    for (const cgroup of ['/', '/..', '/a/../b', 'a', '/a//b', '/a\nb'])
      expect(
        driver.fenceInfo.safeParse({ ...infoOf(victim.pid), cgroup, cgroupId: '1' }).success,
        cgroup,
      ).toBe(false)
  })
})
