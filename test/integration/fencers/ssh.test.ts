// The ssh fencer against a real sshd: who is let in, what is struck, and far ends that hang, babble and lie.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import driver from '../../../fencers/ssh.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { describeWith } from '../../house/availability.ts'
import { type Sshd, startSshd } from '../../support/sshd.ts'
import { whereabouts } from './host-support.ts'
import { anAttemptNow, realClock, startVictim, type Victim } from './support.ts'

const context = { clock: realClock, note: () => undefined }

describeWith(['sshd', 'ssh', 'ssh-keygen'], 'the ssh fencer', () => {
  const open: { close?(): Promise<void>; stop?(): Promise<void>; end?(): Promise<void> }[] = []
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await (one.close?.() ?? one.stop?.() ?? one.end?.())
  })
  async function victimOf(script?: string): Promise<Victim> {
    const victim = await startVictim(script)
    open.push(victim)
    return victim
  }
  async function server(command?: string): Promise<Sshd> {
    const sshd = await startSshd()
    open.push(sshd)
    if (command !== undefined) sshd.force(command)
    return sshd
  }
  function fencerOf(options: Readonly<Record<string, unknown>>) {
    const fencer: Fencer<ReturnType<typeof driver.fenceInfo.parse>> = driver.create(
      driver.options.parse(options),
      context,
    )
    open.push(fencer)
    return fencer
  }
  const infoOf = (pid: number, other: Readonly<Record<string, unknown>> = {}) =>
    driver.fenceInfo.parse({ host: '127.0.0.1', ...whereabouts(pid), ...other })

  test('asks with SIGTERM, then kills, all over one login', async () => {
    const sshd = await server()
    const victim = await victimOf("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)")
    const info = infoOf(victim.pid)
    const fencer = fencerOf({ ...sshd.options, monitorHosts: ['127.0.0.1'] })
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })
    const attempt = anAttemptNow()
    await fencer.fence(info, attempt)
    expect(attempt.notes.join()).toMatch(/SIGTERM.*SIGKILL/)
    await expect
      .poll(async () => (await fencer.verify(info, anAttemptNow())).state, { timeout: 10_000 })
      .toBe('fenced')
    expect(victim.isAlive()).toBe(false)
    expect(sshd.logins()).toBe(1)
  })

  test('never touches a process that took over the pid, that belongs to an earlier boot, or to a container', async () => {
    const fencer = fencerOf({ ...(await server()).options, graceMs: 0 })
    const victim = await victimOf()
    const recycled = infoOf(victim.pid, { startTime: whereabouts(victim.pid).startTime - 1 })
    const rebooted = infoOf(victim.pid, { bootId: '11111111-2222-3333-4444-555555555555' })
    const contained = infoOf(victim.pid, { pidNamespace: 'pid:[4026531001]' })
    for (const gone of [recycled, rebooted]) {
      await fencer.fence(gone, anAttemptNow())
      expect((await fencer.verify(gone, anAttemptNow())).state).toBe('fenced')
    }
    await expect(fencer.fence(contained, anAttemptNow())).rejects.toThrow('another pid namespace')
    expect((await fencer.verify(contained, anAttemptNow())).state).toBe('unknown')
    expect(victim.isAlive()).toBe(true)
  })

  test('talks to no host whose key is not the known one, and with no key of a stranger', async () => {
    const sshd = await server()
    const victim = await victimOf()
    for (const [change, complaint] of [
      [{ knownHostsFile: sshd.wrongKnownHosts }, 'Host key verification failed'],
      [{ knownHostsFile: '/dev/null' }, 'Host key verification failed'],
      [{ identityFile: sshd.strangerIdentity }, 'Permission denied'],
    ] as const) {
      const fencer = fencerOf({ ...sshd.options, ...change, monitorHosts: ['127.0.0.1'] })
      await expect(fencer.fence(infoOf(victim.pid), anAttemptNow())).rejects.toThrow(complaint)
      expect(await fencer.verify(infoOf(victim.pid), anAttemptNow())).toMatchObject({ state: 'unknown' })
      await expect(fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })).rejects.toThrow(
        complaint,
      )
    }
    expect(sshd.logins()).toBe(0)
    expect(victim.isAlive()).toBe(true)
  })

  test('a host that is not there is unknown', async () => {
    const sshd = await server()
    const victim = await victimOf()
    await sshd.stop()
    const fencer = fencerOf(sshd.options)
    await expect(fencer.fence(infoOf(victim.pid), anAttemptNow())).rejects.toThrow('Connection refused')
    expect((await fencer.verify(infoOf(victim.pid), anAttemptNow())).state).toBe('unknown')
  })

  test('a far end that babbles, floods, echoes, lies without the mark, or fails is unknown', async () => {
    const victim = await victimOf()
    const sshd = await server()
    const fencer = fencerOf(sshd.options)
    for (const command of [
      'echo fencegate gone; echo gone there is no such process',
      'head -c 3000000 /dev/zero | tr "\\000" x',
      'cat',
      'exit 255',
    ]) {
      sshd.force(command)
      await expect(fencer.fence(infoOf(victim.pid), anAttemptNow()), command).rejects.toThrow()
      expect((await fencer.verify(infoOf(victim.pid), anAttemptNow())).state, command).toBe('unknown')
    }
    expect(victim.isAlive()).toBe(true)
  })

  test('a far end that is slow is waited for', async () => {
    const sshd = await server()
    sshd.force('sleep 0.4; eval "$SSH_ORIGINAL_COMMAND"')
    const fencer = fencerOf(sshd.options)
    const victim = await victimOf()
    const info = infoOf(victim.pid)
    await fencer.fence(info, anAttemptNow())
    await expect.poll(() => victim.isAlive()).toBe(false)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
  })

  test('a far end that hangs is left at the deadline, and nothing is known', async () => {
    const fencer = fencerOf((await server('sleep 60')).options)
    const victim = await victimOf()
    const startedMs = realClock.monotonicMs()
    await expect(fencer.fence(infoOf(victim.pid), anAttemptNow({ lengthMs: 1_000 }))).rejects.toThrow()
    expect((await fencer.verify(infoOf(victim.pid), anAttemptNow({ lengthMs: 1_000 }))).state).toBe('unknown')
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(6_000)
  })

  test('a greeting before the report does no harm', async () => {
    const fencer = fencerOf((await server('echo "Welcome to compute-3"; exec /bin/sh -s')).options)
    const victim = await victimOf()
    expect((await fencer.verify(infoOf(victim.pid), anAttemptNow())).state).toBe('not-fenced')
  })

  test('what a holder says is neither an option of ssh nor a word of a shell', () => {
    const good = { host: 'h3', unit: 'nova@3.service', invocationId: '0'.repeat(32) }
    expect(driver.fenceInfo.safeParse(good).success).toBe(true)
    for (const bad of [
      { host: '-oProxyCommand=touch /nope' },
      { host: 'root@h3' },
      { host: 'h3 reboot' },
      { unit: "x';reboot;'" },
      { unit: '$(reboot)' },
      { invocationId: 'latest' },
      { invocationId: undefined },
      { pid: 7 },
    ]) {
      expect(driver.fenceInfo.safeParse({ ...good, ...bad }).success, JSON.stringify(bad)).toBe(false)
    }
    const { host, pid } = { host: 'h3', pid: 7 }
    expect(driver.fenceInfo.safeParse({ host, pid }).success).toBe(false)
    expect(driver.fenceInfo.safeParse({ host, pid, startTime: 1, bootId: '1'.repeat(36) }).success).toBe(
      false,
    )
  })

  test('kept connections end with the fencer', async () => {
    const sshd = await server()
    const victim = await victimOf()
    const before = connections()
    const fencer = fencerOf(sshd.options)
    await fencer.verify(infoOf(victim.pid), anAttemptNow())
    const [folder = ''] = connections().filter((name) => !before.includes(name))
    expect(folder).not.toBe('')
    expect(statSync(join(tmpdir(), folder)).mode & 0o077).toBe(0)
    await fencer.close?.()
    expect(connections()).not.toContain(folder)
    await expect.poll(() => keptMasters(folder)).toBe(0)
  })
})

function connections(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('fencegate-ssh-'))
}

/** Processes of ssh that still hold a connection whose socket is in this folder. */
function keptMasters(folder: string): number {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder)
    } catch {
      return false
    }
  }).length
}
