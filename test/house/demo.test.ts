import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'

const demo = join(import.meta.dirname, '..', '..', 'deploy', 'demo', 'demo.ts')
let running: ChildProcess | null = null

function start(): { readonly child: ChildProcess; readonly said: () => string } {
  const child = spawn(process.execPath, [demo], { stdio: ['ignore', 'pipe', 'pipe'] })
  running = child
  let said = ''
  const hear = (chunk: Buffer): void => {
    said += chunk.toString()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  return { child, said: () => said }
}

afterEach(() => {
  running?.kill('SIGTERM')
  running = null
})

describe('the demo', () => {
  it('observes every step of its story, in less than 30 seconds, in plain text where nobody watches', async () => {
    const { child, said } = start()
    await once(child, 'close')
    expect(said()).toMatch(/Every step was observed \(\d\d of them\)/)
    expect(child.exitCode).toBe(0)
    expect(said()).toContain('B, the owner, was overwritten')
    expect(said()).toContain('412 stale-token')

    expect(said()).not.toContain(String.fromCharCode(27))
  })

  it('leaves no process behind where it is interrupted, not even a stopped one', async () => {
    const { child, said } = start()
    const pid = await vi.waitFor(
      () => {
        expect(said()).toContain('SIGSTOP')
        return Number(/pid (?<pid>\d+)/.exec(said())?.groups?.['pid'])
      },
      { timeout: 20_000 },
    )
    child.kill('SIGTERM')
    await once(child, 'close')
    expect(child.exitCode).toBe(1)
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})
