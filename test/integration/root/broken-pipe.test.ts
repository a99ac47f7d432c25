// What is printed goes to a reader that may leave early.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../../gateway/main.ts', import.meta.url))

test('a command whose reader has left ends without a word', async () => {
  const child = spawn(execPath, [MAIN, 'policies', 'describe', 'cinder', '--json'])
  // Before it can have printed anything.
  child.stdout.destroy()
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  const [code] = await once(child, 'close')
  expect([code, errors]).toEqual([0, ''])
}, 30_000)
