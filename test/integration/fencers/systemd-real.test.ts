// The systemd fencer, and units over ssh, on a machine that a real systemd runs: one of its own, in namespaces.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import ssh from '../../../fencers/ssh.ts'
import { startSshd } from '../../support/sshd.ts'
import { type RealSystemd, startSystemd, systemdUnavailable } from '../../support/systemd.ts'
import { anAttemptNow, realClock } from './support.ts'

const PROGRAM = fileURLToPath(new URL('../../support/driver-program.ts', import.meta.url))
const patient = { timeout: 15_000, interval: 50 }
const Told = z.object({
  answer: z.unknown().optional(),
  fault: z.string().optional(),
  notes: z.array(z.string()),
})
const Seen = z.looseObject({ state: z.string() })
type Info = Readonly<Record<string, unknown>>

const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const unavailable = systemdUnavailable()
const title = unavailable === null ? '' : ` (${unavailable})`

describe.skipIf(unavailable !== null)(`on a machine with systemd${title}`, { timeout: 60_000 }, () => {
  let systemd: RealSystemd
  let units = 0
  beforeAll(async () => {
    systemd = await startSystemd()
  })
  afterAll(() => systemd?.stop())

  /** A unit of two processes that do not mind SIGTERM, which runs. */
  function start(service: readonly string[] = []): string {
    const unit = `nova-compute@${++units}.service`
    const command = `sh -c 'trap "" TERM; sleep 600 & wait; sleep 600'`
    systemd.unit(unit, [`ExecStart=/bin/${command}`, ...service])
    systemd.systemctl('start', unit)
    return unit
  }
  const invocation = (unit: string) => systemd.show(unit, 'InvocationID')
  const processesOf = (unit: string) => {
    const cgroup = `/sys/fs/cgroup/system.slice/system-nova\\x2dcompute.slice/${unit}/cgroup.procs`
    return Number(systemd.run('sh', '-c', `cat '${cgroup}' 2>/dev/null | wc -l`))
  }

  /** A fencer in a process of the machine, as the gateway would be. */
  function fencerInside(options: Info = {}, through: readonly string[] = []) {
    const [program = '', ...words] = [...systemd.inside, ...through]
    const argv = [...words, process.execPath, PROGRAM, 'systemd', JSON.stringify(options)]
    const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout })
    open.push(async () => {
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
    })
    const ask = async (step: string, info: Info = {}) => {
      const answered = once(lines, 'line')
      child.stdin.write(`${JSON.stringify({ step, info })}\n`)
      return Told.parse(JSON.parse(String((await answered)[0])))
    }
    return {
      ask,
      complete: async (info: Info) =>
        z.record(z.string(), z.unknown()).parse((await ask('complete', info)).answer),
      state: async (info: Info) => Seen.parse((await ask('verify', info)).answer).state,
    }
  }

  test('a unit is known by its invocation, is stopped with all its processes, and its successor is left alone', async () => {
    const unit = start()
    const fencer = fencerInside({ graceMs: 500 })
    expect((await fencer.ask('monitor')).fault).toBeUndefined()
    const info = await fencer.complete({ unit })
    expect(info).toMatchObject({ unit, invocationId: invocation(unit), bootId: expect.any(String) })
    expect(await fencer.state(info)).toBe('not-fenced')
    expect(processesOf(unit)).toBe(2)

    const fenced = await fencer.ask('fence', info)
    expect([fenced.fault, fenced.notes.join()]).toEqual([undefined, expect.stringMatching(/stop .*SIGKILL/)])
    await expect.poll(() => fencer.state(info), patient).toBe('fenced')
    expect(processesOf(unit)).toBe(0)
    expect(systemd.show(unit, 'ActiveState')).not.toBe('active')

    systemd.systemctl('reset-failed', unit)
    systemd.systemctl('start', unit)
    await fencer.ask('fence', info)
    expect(await fencer.state(info)).toBe('fenced')
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
    expect(invocation(unit)).not.toBe(info['invocationId'])
  })

  test('a unit that systemd starts anew as soon as it is killed is over, as another invocation', async () => {
    const unit = start(['Restart=always', 'RestartSec=0'])
    const fencer = fencerInside({ graceMs: 0 })
    const info = await fencer.complete({ unit })
    expect((await fencer.ask('fence', info)).fault).toBeUndefined()
    await expect.poll(() => invocation(unit), patient).not.toBe(info['invocationId'])
    await expect.poll(() => fencer.state(info), patient).toBe('fenced')
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
  })

  test('a unit that leaves processes behind is not called fenced while they live', async () => {
    const unit = start(['KillMode=process'])
    const fencer = fencerInside({ graceMs: 0 })
    const info = await fencer.complete({ unit })
    // Only the main process, as `systemctl stop` does with this KillMode.
    systemd.systemctl('kill', '--kill-who=main', '--signal=SIGKILL', unit)
    await expect.poll(() => systemd.show(unit, 'ActiveState'), patient).toBe('failed')
    expect(processesOf(unit)).toBe(1)
    expect(await fencer.state(info)).toBe('unknown')
    systemd.systemctl('start', unit)
    expect(await fencer.state(info)).toBe('unknown')
    expect((await fencer.ask('fence', info)).fault).toContain('may have left processes')
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
  })

  test('a unit that systemd has forgotten is gone for whoever has seen it, and unknown for others', async () => {
    const fencer = fencerInside({ graceMs: 0 })
    const unit = 'transient.service'
    systemd.run(
      'systemd-run',
      '--property=DefaultDependencies=no',
      `--unit=${unit}`,
      '--collect',
      'sleep',
      '600',
    )
    const info = await fencer.complete({ unit })
    expect(await fencer.state(info)).toBe('not-fenced')
    await fencer.ask('fence', info)
    await expect.poll(() => systemd.show(unit, 'LoadState'), patient).toBe('not-found')
    expect(await fencer.state(info)).toBe('fenced')
    expect(await fencerInside().state(info)).toBe('unknown')
    expect((await fencer.ask('complete', { unit })).fault).toContain(`no unit ${unit} runs`)
    expect((await fencer.ask('complete', { unit: 'no-such.service' })).fault).toContain(
      'no unit no-such.service',
    )
  })

  test('a unit is stopped through ssh, and its successor is left alone', async () => {
    const unit = start()
    const sshd = await startSshd()
    open.push(() => sshd.stop())
    sshd.force(`exec ${systemd.inside.join(' ')} sh -c "$SSH_ORIGINAL_COMMAND"`)
    const options = ssh.options.parse({ ...sshd.options, graceMs: 300 })
    const fencer = ssh.create(options, { clock: realClock, note: () => undefined })
    open.push(async () => await fencer.close?.())
    const info = { host: '127.0.0.1', unit, invocationId: invocation(unit) }
    const state = async () => (await fencer.verify(info, anAttemptNow())).state
    expect(await state()).toBe('not-fenced')
    await fencer.fence({ ...info, invocationId: 'f'.repeat(32) }, anAttemptNow())
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
    await fencer.fence(info, anAttemptNow())
    await expect.poll(state, patient).toBe('fenced')
    expect(processesOf(unit)).toBe(0)
    systemd.systemctl('reset-failed', unit)
    systemd.systemctl('start', unit)
    expect(await state()).toBe('fenced')
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
  })

  test('a systemd that systemctl cannot reach is no reason to call the unit gone', async () => {
    const unit = start()
    const info = await fencerInside().complete({ unit })
    const hidden = 'mount -t tmpfs tmpfs /run && exec "$@"'
    const fencer = fencerInside({ graceMs: 0 }, ['unshare', '--mount', 'sh', '-c', hidden, 'sh'])
    expect((await fencer.ask('monitor')).fault).toContain('systemd does not answer')
    expect((await fencer.ask('fence', info)).fault).toContain('systemctl show failed')
    expect(await fencer.state(info)).toBe('unknown')
    expect(systemd.show(unit, 'ActiveState')).toBe('active')
  })
})
