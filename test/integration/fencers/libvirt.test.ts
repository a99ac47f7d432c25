// The libvirt fencer against a virsh of ours with a real process behind it, and against the real virsh, whose test driver
// forgets everything when virsh ends: a hypervisor that reports success and has the machine running again.

import { execFileSync } from 'node:child_process'
import { afterEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/libvirt.ts'
import { describeWith } from '../../house/availability.ts'
import { type FakeDomain, fakeDomain } from '../../support/virsh.ts'
import { anAttemptNow, realClock, startVictim, type Victim } from './support.ts'

const context = { clock: realClock, note: () => undefined }
const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function aDomain(): Promise<{ fake: FakeDomain; victim: Victim }> {
  const victim = await startVictim()
  const fake = fakeDomain(victim.pid)
  open.push(() => fake.close())
  open.push(() => victim.end())
  return { fake, victim }
}
const fencerOf = (fake: FakeDomain) =>
  driver.create(driver.options.parse({ uri: 'qemu:///system', virsh: fake.program }), context)
const infoOf = ({ domainUuid, domainId }: FakeDomain) => driver.fenceInfo.parse({ domainUuid, domainId })

describe('the libvirt fencer', () => {
  test('destroys the domain by its id, and never by a name that two incarnations share', async () => {
    const { fake, victim } = await aDomain()
    await fencerOf(fake).fence(infoOf(fake), anAttemptNow())
    expect(fake.asked()).toContain('destroy 7')
    await expect.poll(() => victim.isAlive()).toBe(false)
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
  })

  test('never touches a domain that was started anew, and calls the old one gone', async () => {
    const { fake, victim } = await aDomain()
    fake.say('id', '8')
    await fencerOf(fake).fence(infoOf(fake), anAttemptNow())
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
    expect(fake.asked().join()).not.toContain('destroy')
    expect(victim.isAlive()).toBe(true)
  })

  test('one that moved, was saved, or came back under another id is unknown, and is not touched', async () => {
    const { fake, victim } = await aDomain()
    fake.say('id', '8')
    for (const reason of ['migrated', 'restored', 'unpaused', 'unknown']) {
      fake.say('running', reason)
      await expect(fencerOf(fake).fence(infoOf(fake), anAttemptNow()), reason).rejects.toThrow(
        'under the id 8',
      )
      expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state, reason).toBe('unknown')
    }
    expect(victim.isAlive()).toBe(true)
    await victim.end()
    for (const reason of ['migrated', 'saved', 'unknown']) {
      fake.say('ended', reason)
      expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state, reason).toBe('unknown')
    }
    fake.say('ended', 'shutdown')
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
  })

  test('a domain that is not known is unknown, unless this fencer has destroyed it', async () => {
    const { fake } = await aDomain()
    const fencer = fencerOf(fake)
    const stranger = { ...infoOf(fake), domainUuid: '00000000-0000-0000-0000-000000000000' }
    await expect(fencer.fence(stranger, anAttemptNow())).rejects.toThrow('not known here')
    expect((await fencer.verify(stranger, anAttemptNow())).state).toBe('unknown')
    await fencer.fence(infoOf(fake), anAttemptNow())
    fake.first('echo "error: failed to get domain" >&2; exit 1')
    expect((await fencer.verify(infoOf(fake), anAttemptNow())).state).toBe('fenced')
    expect((await fencerOf(fake).verify(infoOf(fake), anAttemptNow())).state).toBe('unknown')
  })

  test('a virsh that fails, hangs, babbles, floods, says half, or is denied is unknown', async () => {
    const { fake, victim } = await aDomain()
    for (const line of [
      'echo "error: failed to connect to the hypervisor" >&2; exit 1',
      'echo "error: authentication failed" >&2; exit 1',
      'sleep 60',
      'echo hello; exit 0',
      'head -c 3000000 /dev/zero | tr "\\000" x; exit 0',
      'echo "shut off (destroyed)"; exit 0',
    ]) {
      fake.first(line)
      const attempt = anAttemptNow({ lengthMs: 2_000 })
      expect((await fencerOf(fake).verify(infoOf(fake), attempt)).state, line).toBe('unknown')
      await expect(fencerOf(fake).fence(infoOf(fake), anAttemptNow({ lengthMs: 1_000 }))).rejects.toThrow()
    }
    fake.first('exit 1')
    await expect(fencerOf(fake).monitor({ ...context, signal: AbortSignal.timeout(5_000) })).rejects.toThrow()
    expect(victim.isAlive()).toBe(true)
  })

  test('success that is not true is found out', async () => {
    const { fake, victim } = await aDomain()
    fake.first('case $commands in destroy*) echo "Domain destroyed"; exit 0 ;; esac')
    const fencer = fencerOf(fake)
    await fencer.fence(infoOf(fake), anAttemptNow())
    expect((await fencer.verify(infoOf(fake), anAttemptNow())).state).toBe('not-fenced')
    expect(victim.isAlive()).toBe(true)
  })
})

describeWith(['virsh'], 'the real virsh', () => {
  test('says what the fencer reads, and what it does not keep is found out', async () => {
    const uri = 'test:///default'
    const domainUuid = execFileSync('virsh', ['-q', '-c', uri, 'domuuid test'], { encoding: 'utf8' }).trim()
    const fencer = driver.create(driver.options.parse({ uri }), context)
    const info = driver.fenceInfo.parse({ domainUuid, domainId: 1 })
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })
    await fencer.fence(info, anAttemptNow())
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await expect(
      fencer.fence({ ...info, domainUuid: domainUuid.replace(/^......../, '00000000') }, anAttemptNow()),
    ).rejects.toThrow('not known here')
    const away = driver.create(
      driver.options.parse({ uri: 'qemu+unix:///system?socket=/nonexistent' }),
      context,
    )
    expect((await away.verify(info, anAttemptNow())).state).toBe('unknown')
  })
})
