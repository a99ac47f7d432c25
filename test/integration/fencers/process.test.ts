// The process fencer against real processes: those that resist, and those that must not be touched.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/process.ts'
import { FenceInfoFault } from '../../../gateway/spi/fencer.ts'
import { anAttemptNow, realClock, startVictim, type Victim } from './support.ts'

const victims: Victim[] = []
afterEach(async () => {
  await Promise.all(victims.splice(0).map((victim) => victim.end()))
})

async function victim(script?: string): Promise<Victim> {
  const started = await startVictim(script)
  victims.push(started)
  return started
}

const fencer = (graceMs = 200) =>
  driver.create(driver.options.parse({ graceMs }), { clock: realClock, note: () => undefined })

function complete(pid: number) {
  const completed = driver.complete?.({ pid })
  if (completed === undefined) throw new Error('the driver completes nothing')
  return completed
}

/** Only root can start a process that another user may not signal. */
const otherUserAvailable = (): boolean => process.getuid?.() === 0

const untilGone = (info: ReturnType<typeof complete>) =>
  expect
    .poll(async () => (await fencer().verify(info, anAttemptNow())).state, { timeout: 5_000 })
    .toBe('fenced')

describe.skipIf(process.platform !== 'linux')('the process fencer', () => {
  test('asks with SIGTERM, and does not kill what goes by itself', async () => {
    const target = await victim("process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000)")
    const info = complete(target.pid)
    const exited = once(target.child, 'exit')
    const attempt = anAttemptNow()
    await fencer(5_000).fence(info, attempt)
    expect(await exited).toEqual([7, null])
    expect(attempt.notes.join()).not.toContain('SIGKILL')
    expect((await fencer().verify(info, anAttemptNow())).state).toBe('fenced')
  })

  test('kills a process that ignores SIGTERM', async () => {
    const target = await victim("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)")
    const info = complete(target.pid)
    await fencer().fence(info, anAttemptNow())
    await untilGone(info)
  })

  test('kills a process that is stopped', async () => {
    const target = await victim()
    const info = complete(target.pid)
    target.child.kill('SIGSTOP')
    expect((await fencer().verify(info, anAttemptNow())).state).toBe('not-fenced')
    await fencer().fence(info, anAttemptNow())
    await untilGone(info)
  })

  test('never touches a process that took over the pid, and counts the old one as gone', async () => {
    const target = await victim()
    const info = complete(target.pid)
    const recycled = { ...info, startTime: (info.startTime ?? 0) - 100 }
    await fencer(0).fence(recycled, anAttemptNow())
    const verification = await fencer().verify(recycled, anAttemptNow())
    expect(verification.state).toBe('fenced')
    expect(target.isAlive()).toBe(true)
  })

  test('never touches a process of another machine or pid namespace, and knows nothing of it', async () => {
    const target = await victim()
    const info = complete(target.pid)
    for (const foreign of [
      { ...info, bootId: '11111111-2222-3333-4444-555555555555', host: 'another/host' },
      { ...info, pidNamespace: 'pid:[1]' },
    ]) {
      await expect(fencer(0).fence(foreign, anAttemptNow())).rejects.toThrow('belongs to another')
      expect((await fencer().verify(foreign, anAttemptNow())).state).toBe('unknown')
    }
    expect(target.isAlive()).toBe(true)
  })

  test('counts a process from before a restart of its machine as gone', async () => {
    const target = await victim()
    const info = { ...complete(target.pid), bootId: '11111111-2222-3333-4444-555555555555' }
    await fencer(0).fence(info, anAttemptNow())
    expect((await fencer().verify(info, anAttemptNow())).state).toBe('fenced')
    expect(target.isAlive()).toBe(true)
  })

  test('never touches a process of which the incarnation is not on record', async () => {
    const target = await victim()
    await expect(fencer(0).fence({ pid: target.pid }, anAttemptNow())).rejects.toThrow('not on record')
    expect((await fencer().verify({ pid: target.pid }, anAttemptNow())).state).toBe('unknown')
    expect(target.isAlive()).toBe(true)
  })

  test('is refused by its schema for pid 1, 0 and negative ones, and never strikes its own process', () => {
    for (const pid of [1, 0, -1, 1.5]) expect(driver.fenceInfo.safeParse({ pid }).success).toBe(false)
    expect(() => complete(process.pid)).toThrow(FenceInfoFault)
  })

  test('its own process is never struck, even when a record says so', async () => {
    const text = readFileSync('/proc/self/stat', 'utf8')
    const startTime = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19])
    const other = await victim()
    const { bootId, pidNamespace, host } = complete(other.pid)
    const self = driver.fenceInfo.parse({ pid: process.pid, startTime, bootId, pidNamespace, host })
    await expect(fencer(0).fence(self, anAttemptNow())).rejects.toThrow('never struck')
  })

  test('strikes no more once the claim is lost between SIGTERM and SIGKILL', async () => {
    const target = await victim("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)")
    const attempt = anAttemptNow()
    const fenced = fencer(2_000).fence(complete(target.pid), attempt)
    await expect.poll(() => attempt.notes.join()).toContain('SIGTERM')
    attempt.abort()
    await expect(fenced).rejects.toThrow()
    expect(target.isAlive()).toBe(true)
  })

  test('a dead process that nobody has collected is gone', async () => {
    // The shell starts a child, becomes a program that never waits for children, and the child dies.
    const parent = await victim(
      `const { spawn } = require('node:child_process');
       const c = spawn('/bin/sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'] });
       c.stdout.once('data', (pid) => console.log('child ' + pid)); process.on('exit', () => c.kill('SIGKILL'));
       process.on('SIGTERM', () => process.exit())`,
    )
    await expect.poll(() => parent.output()).toMatch(/child \d+/)
    const pid = Number(/child (\d+)/.exec(parent.output())?.[1])
    const info = complete(pid)
    await expect
      .poll(async () => JSON.stringify(await fencer().verify(info, anAttemptNow())), { timeout: 5_000 })
      .toContain('waits for its parent')
    const ended = once(parent.child, 'exit')
    parent.child.kill('SIGTERM')
    await ended
  })

  const pythonAvailable = () => spawnSync('python3', ['-c', 'import ctypes']).status === 0
  test.skipIf(!pythonAvailable())(
    'a process whose first thread has ended while others go on is alive',
    async () => {
      const { spawn } = await import('node:child_process')
      const child = spawn(
        'python3',
        [
          '-c',
          'import ctypes,threading,time\nthreading.Thread(target=lambda: time.sleep(60)).start()\nprint("up",flush=True)\nctypes.CDLL(None).pthread_exit(0)',
        ],
        { stdio: ['ignore', 'pipe', 'ignore'] },
      )
      try {
        await once(child.stdout, 'data')
        const pid = child.pid ?? 0
        const info = complete(pid)
        await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(') Z ')
        expect((await fencer().verify(info, anAttemptNow())).state).toBe('not-fenced')
        await fencer(0).fence(info, anAttemptNow())
        await untilGone(info)
      } finally {
        child.kill('SIGKILL')
      }
    },
  )

  test.skipIf(!otherUserAvailable())(
    'a process that it may not signal is a failure, and is not fenced',
    async () => {
      const child = spawn('sleep', ['600'], { uid: 65_533, stdio: 'ignore' })
      await once(child, 'spawn')
      const info = complete(child.pid ?? 0)
      process.seteuid?.(65_534)
      let fencing: Promise<void>
      try {
        // Without a grace it signals before its first await.
        fencing = fencer(0).fence(info, anAttemptNow())
      } finally {
        process.seteuid?.(0)
      }
      await expect(fencing).rejects.toThrow('EPERM')
      expect((await fencer().verify(info, anAttemptNow())).state).toBe('not-fenced')
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  )

  test('a session is not opened with a pid that is nobody, or that was somebody else', async () => {
    const target = await victim()
    const info = complete(target.pid)
    expect(() => driver.complete?.({ pid: target.pid, startTime: 1 })).toThrow(/start time/)
    expect(() => driver.complete?.({ pid: target.pid, bootId: 'elsewhere' })).toThrow(/bootId/)
    await target.end()
    expect(() => complete(target.pid)).toThrow(FenceInfoFault)
    // Complete already: it is taken as it is, gone or not.
    expect(driver.complete?.(info)).toEqual(info)
  })
})
