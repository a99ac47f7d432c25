import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const PROGRAM = fileURLToPath(new URL('wrong-gate.ts', import.meta.url))

describe('a gateway that finds itself to be wrong in the middle of a call', () => {
  test.each(['recheck', 'ended'])('ends its process (%s), and goes on with nothing', async (moment) => {
    const program = spawn(process.execPath, [PROGRAM, moment], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    program.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const [code]: unknown[] = await once(program, 'close')
    expect(said).toContain('InvariantViolation')
    expect(code).not.toBe(0)
  })
})
