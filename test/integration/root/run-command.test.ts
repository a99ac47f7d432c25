// `fencegate run`: the command has the lock for as long as it runs, and does not run for longer than it has the lock.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/main.ts', import.meta.url))
const Lock = z.looseObject({
  owners: z.array(z.looseObject({ token: z.string(), session: z.string(), state: z.string() })),
})
const Sessions = z.looseObject({ items: z.array(z.looseObject({ session: z.string() })) })

const folder = new GatewayFolder()
let gateway: GatewayProcess
const started: ChildProcess[] = []

beforeAll(async () => {
  folder.configure({ sessions: { ttlMin: 0.5 } })
  gateway = await folder.start()
})
afterAll(() => folder.remove())
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
})

interface Run {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  errors(): string
  output(): string
}

function run(lock: string, options: readonly string[], command: readonly string[]): Run {
  const child = spawn(execPath, [MAIN, 'run', '--lock', lock, ...options, '--', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FENCEGATE_CONTROL: gateway.control },
  })
  started.push(child)
  let errors = ''
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, ended, errors: () => errors, output: () => output }
}

async function ownersOf(lock: string) {
  const answer = await fetch(`${gateway.control}/v1/locks/${encodeURIComponent(lock)}`)
  return answer.status === 404 ? [] : Lock.parse(await answer.json()).owners
}

/** Says its token and its pid in a file once it runs, and then only waits. */
function waiting(file: string): readonly string[] {
  return [
    '/bin/sh',
    '-c',
    `echo "$FENCING_TOKEN $$" > ${file}.part && mv ${file}.part ${file}; exec sleep 600`,
  ]
}

async function begun(file: string): Promise<{ token: string; pid: number }> {
  await expect.poll(() => existsSync(file), { timeout: 20_000 }).toBe(true)
  const [token = '', pid = ''] = readFileSync(file, 'utf8').trim().split(' ')
  return { token, pid: Number(pid) }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe('fencegate run', () => {
  test('gives the command its token, ends with its exit code, and leaves nothing behind', async () => {
    const one = run('run/code', [], ['/bin/sh', '-c', 'echo "token $FENCING_TOKEN"; exit 7'])
    expect(await one.ended).toBe(7)
    expect(one.output()).toMatch(/^token \d+\n$/)
    expect(one.errors()).toBe('')
    expect(await ownersOf('run/code')).toEqual([])
    const sessions = Sessions.parse(await (await fetch(`${gateway.control}/v1/sessions`)).json())
    expect(sessions.items).toEqual([])
  })

  test('holds the lock while the command runs, and another command waits for it', async () => {
    const file = join(folder.path, 'first')
    const first = run('run/wait', [], waiting(file))
    const { token } = await begun(file)
    expect((await ownersOf('run/wait')).map((owner) => owner.token)).toEqual([token])

    const refused = run('run/wait', [], ['/bin/echo', 'never'])
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toBe('')
    expect(refused.errors()).toContain('held')

    const second = run('run/wait', ['--wait', '30'], ['/bin/sh', '-c', 'echo "$FENCING_TOKEN"'])
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(128 + 15)
    expect(await second.ended).toBe(0)
    expect(Number(second.output())).toBeGreaterThan(Number(token))
  })

  test('kills the command when the lock is lost', async () => {
    const file = join(folder.path, 'lost')
    const one = run('run/lost', ['--ttl', '1.5'], waiting(file))
    const { pid } = await begun(file)
    const [owner] = await ownersOf('run/lost')
    const order = await fetch(`${gateway.control}/v1/sessions/${owner?.session ?? ''}/fence`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ by: 'a test', reason: 'to see' }),
    })
    expect(order.status).toBe(202)
    expect(await one.ended).toBe(128 + 9)
    expect(isAlive(pid)).toBe(false)
    expect(one.errors()).toContain('the lock is lost')
  })

  test('ends the command before the lease can be over where the gateway does not answer', async () => {
    const file = join(folder.path, 'silent')
    const one = run('run/silent', ['--ttl', '3', '--grace', '0.5'], waiting(file))
    const { pid } = await begun(file)
    process.kill(gateway.pid, 'SIGSTOP')
    try {
      await expect.poll(() => isAlive(pid), { timeout: 3_000 }).toBe(false)
    } finally {
      process.kill(gateway.pid, 'SIGCONT')
    }
    expect(await one.ended).toBe(128 + 15)
    expect(one.errors()).toContain('cannot be kept')
  })

  test('the command does not outlive whoever holds the lock for it', async () => {
    const file = join(folder.path, 'orphan')
    const one = run('run/orphan', ['--ttl', '2'], waiting(file))
    const { pid } = await begun(file)
    one.child.kill('SIGKILL')
    await one.ended
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false)
  })

  test.each([
    ['an odd mode', ['--mode', 'both'], '--mode is exclusive or shared'],
    ['an odd time', ['--ttl', 'long'], '--ttl is a number of seconds'],
    ['an odd piece of fenceInfo', ['--fence-info', 'pid'], 'KEY=VALUE'],
  ])('says what is wrong with %s', async (_what, options, words) => {
    const one = run('run/odd', options, ['/bin/echo', 'never'])
    expect(await one.ended).toBe(1)
    expect(one.errors()).toContain(words)
    expect(one.output()).toBe('')
  })

  test('a program that is not there is an ending like any other', async () => {
    expect(await run('run/none', [], ['/no/such/program']).ended).toBe(127)
    expect(await ownersOf('run/none')).toEqual([])
  })
})
