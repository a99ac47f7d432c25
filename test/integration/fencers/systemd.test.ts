// The systemd fencer, and units over ssh, against a systemctl of ours with a real process behind it.

import { spawnSync } from 'node:child_process'
import { afterEach, describe, expect, test } from 'vitest'
import { machine } from '../../../fencers/host/machine.ts'
import { processScript } from '../../../fencers/host/script.ts'
import ssh from '../../../fencers/ssh.ts'
import driver from '../../../fencers/systemd.ts'
import { FenceInfoFault } from '../../../gateway/spi/fencer.ts'
import { describeWith } from '../../house/availability.ts'
import { startSshd } from '../../support/sshd.ts'
import { type FakeUnit, fakeUnit } from '../../support/systemctl.ts'
import { whereabouts } from './host-support.ts'
import { anAttemptNow, realClock, startVictim, type Victim } from './support.ts'

const context = { clock: realClock, note: () => undefined }
const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function aUnit(script?: string): Promise<{ fake: FakeUnit; victim: Victim }> {
  const victim = await startVictim(script)
  const fake = fakeUnit(victim.pid)
  open.push(() => fake.close())
  open.push(() => victim.end())
  return { fake, victim }
}
const fencerOf = (fake: FakeUnit, graceMs = 200) =>
  driver.create(driver.options.parse({ systemctl: fake.program, graceMs }), context)
function infoOf(fake: FakeUnit, other: Readonly<Record<string, unknown>> = {}) {
  const { bootId, host } = machine()
  const { unit, invocationId } = fake
  return driver.fenceInfo.parse({ unit, invocationId, bootId, host, ...other })
}

describe('the systemd fencer', () => {
  test('stops the unit, and kills what does not stop', async () => {
    const { fake, victim } = await aUnit("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)")
    const attempt = anAttemptNow()
    await fencerOf(fake).fence(infoOf(fake), attempt)
    expect(attempt.notes.join()).toMatch(/stop nova.*SIGKILL nova/)
    await expect.poll(() => victim.isAlive()).toBe(false)
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
  })

  test('never touches a unit that was started anew, and calls the old one gone', async () => {
    const { fake, victim } = await aUnit()
    const old = infoOf(fake, { invocationId: 'f'.repeat(32) })
    await fencerOf(fake, 0).fence(old, anAttemptNow())
    expect((await fencerOf(fake).verify(old, anAttemptNow())).state).toBe('fenced')
    expect(victim.isAlive()).toBe(true)
  })

  test('knows nothing of a unit of which former processes may be left', async () => {
    const { fake, victim } = await aUnit()
    fake.say('KillMode', 'process')
    const old = infoOf(fake, { invocationId: 'f'.repeat(32) })
    await expect(fencerOf(fake, 0).fence(old, anAttemptNow())).rejects.toThrow('may have left processes')
    expect((await fencerOf(fake).verify(old, anAttemptNow())).state).toBe('unknown')
    expect(victim.isAlive()).toBe(true)
  })

  test('knows nothing of a unit of another machine, or one whose invocation is not on record', async () => {
    const { fake, victim } = await aUnit()
    for (const foreign of [
      infoOf(fake, { bootId: '1'.repeat(36), host: 'another/host' }),
      infoOf(fake, { invocationId: undefined }),
    ]) {
      await expect(fencerOf(fake, 0).fence(foreign, anAttemptNow())).rejects.toThrow()
      expect((await fencerOf(fake).verify(foreign, anAttemptNow())).state).toBe('unknown')
    }
    const rebooted = infoOf(fake, { bootId: '1'.repeat(36) })
    expect((await fencerOf(fake).verify(rebooted, anAttemptNow())).state).toBe('fenced')
    expect(victim.isAlive()).toBe(true)
  })

  test('a name that systemd does not know is unknown, unless it was seen alive under it', async () => {
    const { fake } = await aUnit()
    const fencer = fencerOf(fake)
    const misspelt = infoOf(fake, { unit: 'nova-conpute@3.service' })
    expect((await fencer.verify(misspelt, anAttemptNow())).state).toBe('unknown')
    expect((await fencer.verify(infoOf(fake), anAttemptNow())).state).toBe('not-fenced')
    fake.say('LoadState', 'not-found')
    fake.say('ActiveState', 'inactive')
    expect((await fencer.verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('unknown')
  })

  test('a systemctl that fails, hangs, babbles, floods, or says half is unknown', async () => {
    const { fake, victim } = await aUnit()
    for (const line of [
      'echo "Failed to connect to bus" >&2; exit 1',
      'sleep 60',
      'echo hello; exit 0',
      'head -c 3000000 /dev/zero | tr "\\000" x; exit 0',
      'echo ActiveState=inactive; exit 0',
      'kill -9 $$',
    ]) {
      fake.first(line)
      const attempt = anAttemptNow({ lengthMs: 2_000 })
      expect((await fencerOf(fake).verify(infoOf(fake), attempt)).state, line).toBe('unknown')
    }
    fake.first('exit 1')
    await expect(fencerOf(fake).monitor({ ...context, signal: AbortSignal.timeout(5_000) })).rejects.toThrow()
    expect(victim.isAlive()).toBe(true)
  })

  test('a systemctl that says that it has stopped the unit, and has not, is found out', async () => {
    const { fake, victim } = await aUnit()
    fake.first('[ "$verb" = show ] || exit 0')
    await fencerOf(fake).fence(infoOf(fake), anAttemptNow())
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('not-fenced')
    expect(victim.isAlive()).toBe(true)
  })

  test('a systemctl that is denied the strike is a failure, and the unit is not fenced', async () => {
    const { fake, victim } = await aUnit()
    fake.first('[ "$verb" = show ] || { echo "Access denied" >&2; exit 4; }')
    await expect(fencerOf(fake).fence(infoOf(fake), anAttemptNow())).rejects.toThrow('Access denied')
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('not-fenced')
    expect(victim.isAlive()).toBe(true)
  })

  test('a unit that runs nowhere is refused when the session is opened', () => {
    expect(() => driver.complete?.({ unit: 'no-such.service' })).toThrow(FenceInfoFault)
  })
})

describeWith(['sshd', 'ssh', 'ssh-keygen'], 'a unit over ssh', () => {
  test('is killed at the far end, and its successor is left alone', async () => {
    const { fake, victim } = await aUnit()
    const sshd = await startSshd()
    open.push(() => sshd.stop())
    sshd.force(`PATH=${fake.folder}:$PATH; export PATH; eval "$SSH_ORIGINAL_COMMAND"`)
    const fencer = ssh.create(ssh.options.parse({ ...sshd.options, graceMs: 0 }), context)
    open.push(async () => await fencer.close?.())
    const info = { host: '127.0.0.1', unit: fake.unit, invocationId: fake.invocationId }
    await fencer.fence({ ...info, invocationId: 'f'.repeat(32) }, anAttemptNow())
    expect(victim.isAlive()).toBe(true)
    await fencer.fence(info, anAttemptNow())
    await expect.poll(() => victim.isAlive()).toBe(false)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
  })
})

const namespacesAvailable = () => spawnSync('unshare', ['--pid', '--fork', '--mount', 'true']).status === 0

describe.skipIf(!namespacesAvailable())('a look at a process', () => {
  test('sees nothing where /proc hides the processes of others', async () => {
    const victim = await startVictim()
    open.push(() => victim.end())
    const script = processScript(whereabouts(victim.pid), 'look')
    const look = (options: string): string =>
      script.report(
        spawnSync(
          'unshare',
          [
            '--mount',
            'sh',
            '-c',
            `mount -t proc -o ${options} proc /proc && exec setpriv --reuid=65534 --clear-groups --regid=65534 sh -s`,
          ],
          { input: script.text, encoding: 'utf8' },
        ).stdout,
      ).state
    expect(look('hidepid=0')).toBe('alive')
    expect(look('hidepid=2')).toBe('unknown')
  })
})
