// The libvirt fencer against a real libvirtd and the real virsh.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import driver from '../../../fencers/libvirt.ts'
import { describeWith } from '../../house/availability.ts'
import { type Libvirtd, startLibvirtd } from '../../support/libvirtd.ts'
import { anAttemptNow, realClock } from './support.ts'

const context = { clock: realClock, note: () => undefined }
type Info = ReturnType<typeof driver.fenceInfo.parse>

describeWith(['virsh', 'libvirtd'], 'a real libvirtd', () => {
  let libvirtd: Libvirtd
  beforeAll(async () => {
    libvirtd = await startLibvirtd()
  }, 30_000)
  afterAll(() => libvirtd?.stop())
  afterEach(() => libvirtd.resume())

  const create = (uri = libvirtd.uri) => driver.create(driver.options.parse({ uri }), context)
  const seen = async (info: Info, fencer = create(), lengthMs = 15_000) =>
    (await fencer.verify(info, anAttemptNow({ lengthMs }))).state

  test('destroys the domain that runs under that id, and leaves the one alone that was started anew', async () => {
    const info = libvirtd.domain()
    const fencer = create()
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })
    expect(await seen(info)).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    expect(libvirtd.virsh(`domstate --reason ${info.domainUuid}`)).toBe('shut off (destroyed)')
    expect(await seen(info)).toBe('fenced')
    libvirtd.virsh(`start ${info.domainUuid}`)
    await fencer.fence(info, anAttemptNow())
    expect(await seen(info)).toBe('fenced')
    expect(libvirtd.virsh(`domstate ${info.domainUuid}`)).toBe('running')
    expect(libvirtd.idOf(info.domainUuid)).not.toBe(String(info.domainId))
  })

  test('a paused domain is destroyed, too', async () => {
    const info = libvirtd.domain()
    libvirtd.virsh(`suspend ${info.domainUuid}`)
    expect(await seen(info)).toBe('not-fenced')
    await create().fence(info, anAttemptNow())
    expect(await seen(info)).toBe('fenced')
  })

  test('a domain that shut down or crashed by itself is gone', async () => {
    const info = libvirtd.domain()
    libvirtd.virsh(`shutdown ${info.domainUuid}`)
    const attempt = anAttemptNow()
    await create().fence(info, attempt)
    expect(attempt.notes.join()).toContain('shut off (shutdown)')
    expect(await seen(info)).toBe('fenced')
  })

  test('a domain that was saved, and one that came back from that, is unknown and left alone', async () => {
    const info = libvirtd.domain()
    libvirtd.virsh(`save ${info.domainUuid} ${libvirtd.file('saved')}`)
    expect(await seen(info)).toBe('unknown')
    libvirtd.virsh(`restore ${libvirtd.file('saved')}`)
    expect(await seen(info)).toBe('unknown')
    await expect(create().fence(info, anAttemptNow())).rejects.toThrow('running (restored) under the id')
    expect(libvirtd.virsh(`domstate ${info.domainUuid}`)).toBe('running')
  })

  test('a transient domain is forgotten by libvirt, and gone for the fencer that has destroyed it alone', async () => {
    const info = libvirtd.domain('transient')
    const fencer = create()
    await fencer.fence(info, anAttemptNow())
    expect(libvirtd.virsh('list --all --uuid')).not.toContain(info.domainUuid)
    expect(await seen(info, fencer)).toBe('fenced')
    expect(await seen(info)).toBe('unknown')
  })

  test('who may only read fences nobody, and knows nothing', async () => {
    const info = libvirtd.domain()
    const reader = create(libvirtd.readOnlyUri)
    await expect(reader.fence(info, anAttemptNow())).rejects.toThrow()
    expect(libvirtd.virsh(`domstate ${info.domainUuid}`)).toBe('running')
    expect(await seen(info, reader)).not.toBe('fenced')
  })

  test('which stands still is waited for until the attempt is over, and nothing is known', async () => {
    const info = libvirtd.domain()
    libvirtd.pause()
    await expect(create().fence(info, anAttemptNow({ lengthMs: 1_000 }))).rejects.toThrow()
    expect(await seen(info, create(), 1_000)).toBe('unknown')
    libvirtd.resume()
    await create().fence(info, anAttemptNow())
    expect(await seen(info)).toBe('fenced')
  })
})
