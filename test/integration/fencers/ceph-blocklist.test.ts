// The ceph-blocklist fencer against a ceph command of ours: who is listed, for how long, and commands that lie.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/ceph-blocklist.ts'
import { type FakeCeph, fakeCeph } from '../../support/ceph.ts'
import { anAttemptNow, realClock } from './support.ts'

const INFO = { cephClient: '10.0.0.3:0/371' }
const context = { clock: realClock, note: () => undefined }
let ceph: FakeCeph
beforeEach(() => {
  ceph = fakeCeph()
})
afterEach(() => ceph.close())
const create = (more: Readonly<Record<string, unknown>> = {}) =>
  driver.create(driver.options.parse({ ...ceph.options, ...more }), context)

describe('the ceph-blocklist fencer', () => {
  test('lists one instance of a client, and takes it off again', async () => {
    const fencer = create()
    await fencer.fence(INFO, anAttemptNow())
    expect(ceph.asked().join()).toContain('osd blocklist add 10.0.0.3:0/371 2592000')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
    // The client that was started anew on the same host goes on.
    expect((await fencer.verify({ cephClient: '10.0.0.3:0/3712' }, anAttemptNow())).state).toBe('not-fenced')
    await fencer.unfence?.(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('not-fenced')
  })

  test('an entry that has ended, or is about to, is none', async () => {
    for (const until of [
      '2020-01-01T00:00:00.000000+0000',
      new Date(Date.now() + 60_000).toISOString(),
      'soon',
    ]) {
      ceph.add(INFO.cephClient, until)
      expect((await create().verify(INFO, anAttemptNow())).state, until).toBe('not-fenced')
      await create().unfence?.(INFO, anAttemptNow())
    }
  })

  test('an entry that was confirmed and is not in the list is none', async () => {
    ceph.first('[ $action = add ] && { echo "blocklisting $client until later" >&2; exit 0; }')
    await create().fence(INFO, anAttemptNow())
    expect((await create().verify(INFO, anAttemptNow())).state).toBe('not-fenced')
  })

  test('a list that fails, hangs, babbles, floods, or is cut off is unknown', async () => {
    ceph.add(INFO.cephClient, '2199-01-01T00:00:00.000000+0000')
    for (const line of [
      'echo "[errno 13] RADOS permission denied" >&2; exit 13',
      'sleep 60',
      'echo hello; exit 0',
      'exit 0',
      `echo '[{"addr":"10.0.0.3:0/371","until":"2199-01-01T00:00:00'; exit 0`,
      'head -c 9000000 /dev/zero | tr "\\000" "["; exit 0',
    ]) {
      ceph.first(line)
      const verification = await create().verify(INFO, anAttemptNow({ lengthMs: 2_000 }))
      expect(verification.state, line).toBe('unknown')
      await expect(
        create().monitor({ ...context, signal: AbortSignal.timeout(1_000) }),
        line,
      ).rejects.toThrow()
    }
    ceph.first('exit 1')
    await expect(create().fence(INFO, anAttemptNow())).rejects.toThrow('exit code 1')
  })

  test('speaks the older word where it is told to, and proves nothing unless told', async () => {
    await create({ spelling: 'blacklist' }).fence(INFO, anAttemptNow())
    expect(ceph.asked().join()).toContain('osd blacklist add')
    expect(driver.proves(driver.options.parse(ceph.options))).toEqual([])
  })

  test('takes no whole address, no range, and no option for a client', () => {
    for (const cephClient of [
      '10.0.0.3',
      '10.0.0.3:0/0',
      '10.0.0.3:0',
      '10.0.0.0/24',
      '--all',
      'v1:10.0.0.3:0/3',
    ]) {
      expect(driver.fenceInfo.safeParse({ cephClient }).success, cephClient).toBe(false)
    }
    expect(driver.fenceInfo.safeParse({ cephClient: '[fd00::3]:0/371' }).success).toBe(true)
  })
})
