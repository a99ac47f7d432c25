// The fence-agent fencer: real agents of Debian against a BMC on real UDP, and agents that lie, hang and babble.

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/fence-agent.ts'
import { describeWith } from '../../house/availability.ts'
import { BMC_PASSWORD, BMC_USER, type Bmc, startBmc } from '../../support/bmc.ts'
import { anAttemptNow, realClock } from './support.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fence-agent-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const create = (options: Readonly<Record<string, unknown>>) =>
  driver.create(driver.options.parse(options), { clock: realClock, note: () => undefined })
const context = () => ({ clock: realClock, note: () => undefined, signal: AbortSignal.timeout(20_000) })
const INFO = { plug: 'vm-uuid-7' }

const METADATA = `<resource-agent name="fence_x"><parameters><parameter name="ip" unique="0"/><parameter name="plug"/>
<parameter name="password"/></parameters><actions><action name="off"/><action name="on" automatic="0"/>
<action name="status"/></actions></resource-agent>`

/** Its power is the file `power`; `script` sees $action and all that it was told in the file `told`. */
function anAgent(script: string): string {
  const path = join(folder, 'fence_x')
  writeFileSync(join(folder, 'power'), 'ON')
  writeFileSync(
    path,
    `#!/bin/sh
cd ${folder}; input=$(cat); printf '%s\\n--\\n' "$input" >> told; action=$(printf '%s' "$input" | sed -n 's/^action=//p')
if [ "$action" = metadata ]; then cat <<'XML'
${METADATA}
XML
exit 0; fi
${script}
case $action in
  off) echo OFF > power ;;
  on) echo ON > power ;;
  status) [ "$(cat power)" = OFF ] && exit 2 ;;
esac
exit 0
`,
  )
  chmodSync(path, 0o755)
  return path
}
const told = () =>
  readFileSync(join(folder, 'told'), 'utf8')
    .split('\n--\n')
    .map((text) => text.split('\n').filter((line) => line !== ''))
    .filter((lines) => lines.length > 0)
const power = () => readFileSync(join(folder, 'power'), 'utf8').trim()

describe('the fence-agent fencer', () => {
  test('always writes an action first, and never reboot', async () => {
    const fencer = create({ agent: anAgent(''), parameters: { ip: '10.0.0.1' }, secrets: { password: 'pw' } })
    await fencer.fence(INFO, anAttemptNow())
    await fencer.verify(INFO, anAttemptNow())
    await fencer.monitor(context())
    await fencer.unfence?.(INFO, anAttemptNow())
    expect(told().map(([first]) => first)).toEqual([
      'action=metadata',
      'action=off',
      'action=status',
      'action=monitor',
      'action=on',
    ])
    expect(told()[1]).toEqual(['action=off', 'plug=vm-uuid-7', 'ip=10.0.0.1', 'password=pw'].toSorted(byTold))
  })

  test('takes parameters and secrets in one, as options, and shows no password of them', async () => {
    const fencer = create({
      agent: anAgent('echo "login failed for pw-7-secret"'),
      options: { ip: '10.0.0.1', password: 'pw-7-secret' },
    })
    const attempt = anAttemptNow()
    await fencer.fence(INFO, attempt)
    expect(told().at(-1)).toEqual(
      ['action=off', 'plug=vm-uuid-7', 'ip=10.0.0.1', 'password=pw-7-secret'].toSorted(byTold),
    )
    expect(attempt.notes.join()).toContain('login failed for [secret]')
    for (const parameters of [{ action: 'reboot' }, { ip: 'x\naction=reboot' }])
      expect(driver.options.safeParse({ agent: 'fence_x', options: parameters }).success).toBe(false)
  })

  test('nobody can say another action: not by a parameter, a line break, or a plug', () => {
    for (const parameters of [{ action: 'reboot' }, { option: 'reboot' }, { ip: 'x\naction=reboot' }]) {
      expect(driver.options.safeParse({ agent: 'fence_x', parameters }).success).toBe(false)
      expect(driver.options.safeParse({ agent: 'fence_x', machines: { a: parameters } }).success).toBe(false)
    }
    expect(driver.fenceInfo.safeParse({ plug: 'x\naction=reboot' }).success).toBe(false)
    expect(driver.fenceInfo.safeParse({ plug: 'x\r' }).success).toBe(false)
  })

  test('a parameter that the agent does not have is an error with the nearest name, and nothing is struck', async () => {
    const fencer = create({ agent: anAgent(''), secrets: { pasword: 'pw' } })
    await expect(fencer.monitor(context())).rejects.toThrow('no parameter pasword; did you mean password?')
    await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow('did you mean password?')
    const machines = create({ agent: anAgent(''), machines: { h3: { plugg: 1 } } })
    await expect(machines.fence({ plug: 'h3' }, anAttemptNow())).rejects.toThrow('did you mean plug?')
    expect(power()).toBe('ON')
  })

  test('a machine that is not on the list is not struck, and nothing is known of it', async () => {
    const fencer = create({ agent: anAgent(''), machines: { 'compute-3': { plug: '3' } } })
    await expect(fencer.fence({ plug: 'compute-33' }, anAttemptNow())).rejects.toThrow(
      'did you mean compute-3?',
    )
    expect((await fencer.verify({ plug: 'constructor' }, anAttemptNow())).state).toBe('unknown')
    expect(() => fencer.check?.({ plug: 'compute-33' })).toThrow('did you mean compute-3?')
    expect(() => fencer.check?.({ plug: 'compute-3' })).not.toThrow()
    expect(existsSync(join(folder, 'told'))).toBe(false)
  })

  test('an agent that reports success while the machine runs on is believed by nobody', async () => {
    const fencer = create({ agent: anAgent('[ $action = off ] && { echo "Success: Powered OFF"; exit 0; }') })
    await fencer.fence(INFO, anAttemptNow())
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('not-fenced')
  })

  test('an agent that fails after it has switched off is a failure, and the machine is seen to be off', async () => {
    const fencer = create({ agent: anAgent('[ $action = off ] && { echo OFF > power; exit 1; }') })
    await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow('exit code 1')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('a status that fails, dies, hangs or floods is unknown', async () => {
    const flood = 'head -c 5000000 /dev/zero | tr "\\\\0" "<"; exit 1'
    for (const script of ['echo broken >&2; exit 1', 'kill -9 $$', 'exit 3', flood, 'sleep 300']) {
      const fencer = create({ agent: anAgent(`[ $action = status ] && { ${script}; }`) })
      const attempt = anAttemptNow({ lengthMs: 1_500 })
      expect((await fencer.verify(INFO, attempt)).state, script).toBe('unknown')
    }
    expect((await create({ agent: '/no/such/agent' }).verify(INFO, anAttemptNow())).state).toBe('unknown')
  })

  test('an agent that takes its time is waited for', async () => {
    const fencer = create({ agent: anAgent('sleep 0.4') })
    await fencer.fence(INFO, anAttemptNow())
    expect(power()).toBe('OFF')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('fenced')
  })

  test('an agent that hangs is killed with all that it started', async () => {
    const fencer = create({ agent: anAgent('[ $action = off ] && { sleep 301 & echo $! > pid; wait; }') })
    const startedMs = realClock.monotonicMs()
    await expect(fencer.fence(INFO, anAttemptNow({ lengthMs: 1_500 }))).rejects.toThrow('was killed')
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(5_000)
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    expect(pid).toBeGreaterThan(1)
    await expect
      .poll(() => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '))
      .toBe(false)
  })

  test('a program that is no fence agent is never told to strike', async () => {
    for (const agent of ['/bin/cat', '/bin/true', '/bin/sh']) {
      await expect(create({ agent }).fence(INFO, anAttemptNow())).rejects.toThrow('is no fence agent')
    }
  })

  test('reboot, where it was asked for, is: off, seen to be off, on', async () => {
    const fencer = create({ agent: anAgent(''), action: 'reboot' })
    const attempt = anAttemptNow()
    await fencer.fence(INFO, attempt)
    expect(told().map(([first]) => first)).toEqual([
      'action=metadata',
      'action=off',
      'action=status',
      'action=on',
    ])
    expect(power()).toBe('ON')
    expect((await fencer.verify(INFO, attempt)).state).toBe('fenced')
    // Of another attempt nothing was seen, and the machine is on.
    expect((await fencer.verify(INFO, anAttemptNow({ number: 2 }))).state).toBe('not-fenced')
  })

  test('reboot of a machine that was never seen off is no fence, and it is not switched on', async () => {
    const fencer = create({ agent: anAgent('[ $action = off ] && exit 0'), action: 'reboot' })
    const attempt = anAttemptNow({ lengthMs: 2_000 })
    await expect(fencer.fence(INFO, attempt)).rejects.toThrow()
    expect(told().flat()).not.toContain('action=on')
    expect((await fencer.verify(INFO, anAttemptNow())).state).toBe('not-fenced')
  })

  test('a machine that does not come on again was fenced all the same', async () => {
    const fencer = create({ agent: anAgent('[ $action = on ] && exit 1'), action: 'reboot' })
    const attempt = anAttemptNow()
    await fencer.fence(INFO, attempt)
    expect((await fencer.verify(INFO, attempt)).state).toBe('fenced')
    expect(attempt.notes.join()).toContain('did not come on again')
  })

  test('what the agent repeats of the secrets is blotted out, and they are in no argument', async () => {
    const script = `printf '%s\\n' "$input" "$(tr '\\0' ' ' < /proc/$$/cmdline)"; [ $action = status ] && exit 1`
    const fencer = create({ agent: anAgent(script), secrets: { password: 'very-secret-word' } })
    const attempt = anAttemptNow()
    await fencer.fence(INFO, attempt)
    const said = JSON.stringify([attempt.notes, await fencer.verify(INFO, attempt)])
    expect(said).toContain('password=[secret]')
    expect(said).not.toContain('very-secret-word')
  })

  test('power is rationed unless the operator says that the agent cuts none', () => {
    const parse = (power?: boolean) =>
      driver.options.parse({ agent: 'fence_scsi', ...(power === undefined ? {} : { power }) })
    expect(driver.cutsPower?.(parse())).toBe(true)
    expect(driver.cutsPower?.(parse(false))).toBe(false)
  })
})

function byTold(a: string, b: string): number {
  const order = ['action', 'ip', 'password', 'plug']
  return order.indexOf(a.split('=')[0] ?? '') - order.indexOf(b.split('=')[0] ?? '')
}

describeWith(['fence_ipmilan', 'ipmi_sim', 'ipmitool'], 'with fence_ipmilan and a BMC', () => {
  const bmcs: Bmc[] = []
  afterEach(async () => {
    for (const bmc of bmcs.splice(0)) await bmc.stop()
  })
  async function aBmc(password = BMC_PASSWORD) {
    const bmc = await startBmc()
    bmcs.push(bmc)
    const fencer = create({
      agent: 'fence_ipmilan',
      // A cipher, or ipmitool asks the BMC for its list first, which takes ten seconds here.
      parameters: { username: BMC_USER, lanplus: true, cipher: 3, power_wait: 0 },
      secrets: { password },
      machines: { 'compute-3': { ip: '127.0.0.1', ipport: bmc.port } },
    })
    return { bmc, fencer, info: { plug: 'compute-3' } }
  }

  test('the power goes off, is seen to be off, and comes on again', async () => {
    const { bmc, fencer, info } = await aBmc()
    await fencer.monitor(context())
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
    await fencer.fence(info, anAttemptNow())
    expect(bmc.isOn()).toBe(false)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('fenced')
    await fencer.unfence?.(info, anAttemptNow())
    expect(bmc.isOn()).toBe(true)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
  })

  test('a BMC that says yes and does nothing is found out', async () => {
    const { bmc, fencer, info } = await aBmc()
    bmc.lie()
    await fencer.fence(info, anAttemptNow({ lengthMs: 5_000 })).catch(() => undefined)
    expect((await fencer.verify(info, anAttemptNow())).state).toBe('not-fenced')
  })

  test('with a wrong password, and without an answer, nothing is known', async () => {
    const wrong = await aBmc('not-the-password')
    await expect(wrong.fencer.fence(wrong.info, anAttemptNow())).rejects.toThrow()
    expect((await wrong.fencer.verify(wrong.info, anAttemptNow())).state).toBe('unknown')
    await expect(wrong.fencer.monitor(context())).rejects.toThrow('compute-3')
    expect(wrong.bmc.isOn()).toBe(true)
    const away = await aBmc()
    await away.bmc.stop()
    expect((await away.fencer.verify(away.info, anAttemptNow({ lengthMs: 1_500 }))).state).toBe('unknown')
  }, 60_000)
})
