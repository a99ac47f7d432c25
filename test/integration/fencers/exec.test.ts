// The exec fencer against real commands: codes, hangs, floods, and what commands leave behind.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/exec.ts'
import { anAttemptNow, realClock } from './support.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'exec-fencer-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const sh = (script: string): string[] => ['/bin/sh', '-c', script]
const create = (options: Readonly<Record<string, unknown>>) =>
  driver.create(driver.options.parse(options), { clock: realClock, note: () => undefined })
const INFO = { unit: 'nova-3', hostName: 'h3', nested: { a: 1 } }

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A killed orphan may stay a zombie where nobody collects it.
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

describe('the exec fencer', () => {
  test('exit code 0 is done, and the evidence says that nothing was looked at', async () => {
    const fencer = create({ command: sh('echo killed it; exit 0') })
    const attempt = anAttemptNow()
    await fencer.fence(INFO, attempt)
    expect(attempt.notes).toEqual(['killed it'])
    const verification = await fencer.verify(INFO, attempt)
    expect(verification).toMatchObject({ state: 'fenced' })
    expect(JSON.stringify(verification)).toContain('nothing was looked at')
  })

  test('any other ending is a failure, and what was printed is on record', async () => {
    for (const [script, expected] of [
      ['echo no power >&2; exit 3', 'exit code 3'],
      ['kill -9 $$', 'signal SIGKILL'],
    ]) {
      const fencer = create({ command: sh(script ?? '') })
      const attempt = anAttemptNow()
      await expect(fencer.fence(INFO, attempt)).rejects.toThrow(expected)
      expect((await fencer.verify(INFO, attempt)).state).toBe('unknown')
    }
  })

  test('a success of another attempt is none of this one', async () => {
    const fencer = create({ command: sh('exit 0') })
    await fencer.fence(INFO, anAttemptNow({ number: 1 }))
    expect((await fencer.verify(INFO, anAttemptNow({ number: 2 }))).state).toBe('unknown')
  })

  test('a verify command sees it gone, alive, or nothing, by its exit code', async () => {
    for (const [code, state] of [
      [0, 'fenced'],
      [1, 'not-fenced'],
      [2, 'unknown'],
    ] as const) {
      const fencer = create({ command: sh('exit 0'), verifyCommand: sh(`echo looked; exit ${code}`) })
      expect((await fencer.verify(INFO, anAttemptNow())).state).toBe(state)
    }
  })

  test('is told who and what on standard input and by FENCE_ variables, and nothing else of the environment', async () => {
    process.env['GATEWAY_SECRET_OF_A_TEST'] = 'do-not-inherit'
    const out = join(folder, 'seen')
    const fencer = create({ command: sh(`cat > ${out}.in; env > ${out}.env`), env: { MINE: 'yes' } })
    await fencer.fence(INFO, anAttemptNow({ number: 4 }))
    delete process.env['GATEWAY_SECRET_OF_A_TEST']
    expect(JSON.parse(readFileSync(`${out}.in`, 'utf8'))).toMatchObject({
      action: 'fence',
      fenceId: 'f00',
      attempt: 4,
      holder: { id: 'a-test' },
      fenceInfo: INFO,
    })
    const environment = readFileSync(`${out}.env`, 'utf8')
    for (const line of [
      'FENCE_ACTION=fence',
      'FENCE_ID=f00',
      'FENCE_INFO_UNIT=nova-3',
      'FENCE_INFO_HOST_NAME=h3',
      'MINE=yes',
    ]) {
      expect(environment).toContain(line)
    }
    expect(environment).not.toContain('do-not-inherit')
  })

  test("the holder's words reach no shell", async () => {
    const fencer = create({ command: ['/usr/bin/printf', '%s', '$(touch /nope)'] })
    const attempt = anAttemptNow()
    await fencer.fence({ unit: `$(touch ${folder}/owned); \`touch ${folder}/owned\`` }, attempt)
    expect(attempt.notes).toEqual(['$(touch /nope)'])
    expect(() => readFileSync(join(folder, 'owned'))).toThrow()
  })

  test('a command that hangs is killed with all that it started, when the attempt is over', async () => {
    const pids = join(folder, 'pids')
    const fencer = create({ command: sh(`sleep 300 & echo $! >> ${pids}; echo $$ >> ${pids}; wait`) })
    const startedMs = realClock.monotonicMs()
    await expect(fencer.fence(INFO, anAttemptNow({ lengthMs: 500 }))).rejects.toThrow('was killed')
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(3_000)
    const [child = 0, shell = 0] = readFileSync(pids, 'utf8').trim().split('\n').map(Number)
    expect(child).toBeGreaterThan(1)
    await expect.poll(() => [isAlive(child), isAlive(shell)]).toEqual([false, false])
  })

  test('a grandchild that holds the pipe holds up nothing, and does not outlive the command', async () => {
    const pids = join(folder, 'pids')
    const fencer = create({ command: sh(`sleep 300 & echo $! > ${pids}; echo done`) })
    const attempt = anAttemptNow()
    const startedMs = realClock.monotonicMs()
    await fencer.fence(INFO, attempt)
    expect(realClock.monotonicMs() - startedMs).toBeLessThan(3_000)
    expect(attempt.notes).toEqual(['done'])
    const grandchild = Number(readFileSync(pids, 'utf8'))
    await expect.poll(() => isAlive(grandchild)).toBe(false)
  })

  test('what has left the process group of the command holds up nothing', async () => {
    const pids = join(folder, 'pids')
    const fencer = create({
      command: sh(
        `setsid sh -c 'echo $$ > ${pids}; exec sleep 300' & until [ -s ${pids} ]; do :; done; echo done`,
      ),
    })
    const attempt = anAttemptNow()
    try {
      await fencer.fence(INFO, attempt)
      expect(attempt.notes).toEqual(['done'])
    } finally {
      process.kill(Number(readFileSync(pids, 'utf8')), 'SIGKILL')
    }
  })

  test('a flood of output is cut off, and is not waited for', async () => {
    const fencer = create({ command: sh('head -c 50000000 /dev/zero | tr "\\\\0" x; exit 5') })
    const attempt = anAttemptNow()
    await expect(fencer.fence(INFO, attempt)).rejects.toThrow('exit code 5')
    expect(attempt.notes.join('').length).toBeLessThanOrEqual(4_096)
  })

  test('a command that does not read its input is fine', async () => {
    const fencer = create({ command: sh('exec <&-; exit 0') })
    await fencer.fence({ unit: 'x'.repeat(1_000_000) }, anAttemptNow())
  })

  test('is not run once the claim is lost', async () => {
    const out = join(folder, 'ran')
    const fencer = create({ command: sh(`touch ${out}`) })
    await expect(fencer.fence(INFO, anAttemptNow({ mayStrike: false }))).rejects.toThrow('not run')
    expect(() => readFileSync(out)).toThrow()
  })

  test('monitor finds a missing program, and one that fences nobody', async () => {
    const context = { clock: realClock, note: () => undefined, signal: AbortSignal.timeout(5_000) }
    await expect(create({ command: ['/no/such/program'] }).monitor(context)).rejects.toThrow()
    await expect(create({ command: ['/bin/true'] }).monitor(context)).rejects.toThrow('fences nobody')
    await expect(create({ command: ['/bin/sh', '-c', 'exit 0'] }).monitor(context)).resolves.toBeUndefined()
    await expect(create({ command: ['/no/such/program'] }).fence(INFO, anAttemptNow())).rejects.toThrow(
      'ENOENT',
    )
  })

  test('a command without an absolute path, and a holder who names nothing, are refused', () => {
    expect(driver.options.safeParse({ command: ['fence-it'] }).success).toBe(false)
    expect(driver.options.safeParse({ command: [] }).success).toBe(false)
    expect(driver.fenceInfo.safeParse({}).success).toBe(false)
  })

  test('two holders have two targets, however much they said', () => {
    const long = 'x'.repeat(5_000)
    expect(driver.target({ unit: `${long}1` })).not.toBe(driver.target({ unit: `${long}2` }))
    expect(driver.target({ a: 1, b: 2 })).toBe(driver.target({ b: 2, a: 1 }))
    expect(driver.target({ target: 'h3', pid: 1 })).toBe('h3')
  })
})
