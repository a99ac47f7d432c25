// Runs the real run.sh in a small checkout of its own, with a program in npm's place that notes how it was called.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..', '..')
let folder = ''
let checkout = ''
let bin = ''

function program(path: string, text: string): void {
  rmSync(path, { force: true })
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
}

/** Installs nothing but what run.sh looks for; `say` comes before it and may end it. */
function fakeNpm(say = ''): void {
  program(
    join(bin, 'npm'),
    `echo "$(basename "$PWD") $1" >>"${folder}/npm-calls"
${say}
sleep 0.2
mkdir -p node_modules/node-test/bin
ln -sf "${process.execPath}" node_modules/node-test/bin/node`,
  )
}

const npmCalls = (): readonly string[] => {
  const path = join(folder, 'npm-calls')
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fencegate-checkout-'))
  checkout = join(folder, 'checkout')
  bin = join(folder, 'bin')
  mkdirSync(bin)
  mkdirSync(join(checkout, 'gateway'), { recursive: true })
  mkdirSync(join(checkout, 'deploy'), { recursive: true })
  cpSync(join(root, 'deploy', 'checkout'), join(checkout, 'deploy', 'checkout'), {
    recursive: true,
    filter: (source) => !source.includes('node_modules'),
  })
  writeFileSync(
    join(checkout, 'package-lock.json'),
    '{"packages":{"node_modules/a":{"optionalDependencies":{"a-darwin":"1.0.0"}}}}',
  )
  writeFileSync(
    join(checkout, 'gateway', 'main.ts'),
    'console.log(JSON.stringify({ pid: process.pid, arguments: process.argv.slice(2), major: process.versions.node }))',
  )
  // Nothing of this machine's npm and Node.js may be found.
  for (const tool of [
    'sh',
    'dirname',
    'basename',
    'cksum',
    'cat',
    'find',
    'grep',
    'mkdir',
    'rmdir',
    'rm',
    'ln',
    'sed',
    'sleep',
    'uname',
    'id',
  ]) {
    const found = (process.env['PATH'] ?? '')
      .split(':')
      .map((at) => join(at, tool))
      .find(existsSync)
    if (found !== undefined) symlinkSync(found, join(bin, tool))
  }
  fakeNpm()
})

afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  readonly pid: number | undefined
  readonly code: number | null
  readonly out: string
  readonly said: string
}

async function run(...args: readonly string[]): Promise<Ended> {
  const child: ChildProcess = spawn('/bin/sh', [join(checkout, 'deploy/checkout/run.sh'), ...args], {
    env: { PATH: bin },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await once(child, 'close')
  return { pid: child.pid, code: child.exitCode, out, said }
}

const withNewNode = (): void => symlinkSync(process.execPath, join(bin, 'node'))
const withOldNode = (): void => program(join(bin, 'node'), 'echo 20')
const withNoNode = (): void => rmSync(join(bin, 'node'), { force: true })

describe('run.sh', () => {
  it('becomes any command of the program', async () => {
    withNewNode()
    const { pid, code, out } = await run('cli', 'locks', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ pid, arguments: ['locks', '--json'] })
  })

  it('installs the packages and becomes the program: same process, same arguments', async () => {
    withNewNode()
    const { pid, code, out } = await run('start', '-c', 'a file.yaml')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ pid, arguments: ['serve', '-c', 'a file.yaml'] })
    expect(npmCalls()).toEqual(['checkout ci'])
  })

  it('installs once, and again when the lockfile has changed', async () => {
    withNewNode()
    await run('start', '-c', 'x')
    const again = await run('start', '-c', 'x')
    expect(again).toMatchObject({ code: 0, said: '' })
    expect(npmCalls()).toHaveLength(1)
    writeFileSync(join(checkout, 'package-lock.json'), '{"packages":{}}')
    await run('start', '-c', 'x')
    expect(npmCalls()).toHaveLength(2)
  })

  it.each([
    ['too old', withOldNode],
    ['missing', withNoNode],
  ])('takes the pinned Node.js where the machine’s is %s', async (_, machine) => {
    machine()
    const { code, out, said } = await run('start', '-c', 'x')
    expect(said).toContain('needs 24 or later')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ major: process.versions.node })
    expect(npmCalls()).toEqual(['runtime ci', 'checkout ci'])
  })

  it.each([
    ['the packages', withNewNode, ['checkout ci']],
    ['Node.js as well', withOldNode, ['runtime ci', 'checkout ci']],
  ] as const)('installs %s once where three are started at once', async (_, machine, calls) => {
    machine()
    const all = await Promise.all([1, 2, 3].map(() => run('start', '-c', 'x')))
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(npmCalls()).toEqual(calls)
  })

  it('takes over the set-up of a process that died in it', async () => {
    withNewNode()
    const lock = join(checkout, '.cache', 'setup.lock')
    mkdirSync(lock, { recursive: true })
    const dead = spawn('/bin/sh', ['-c', 'exit 0'])
    await once(dead, 'close')
    writeFileSync(join(lock, 'pid'), `${dead.pid}\n`)
    const { code, said } = await run('start', '-c', 'x')
    expect(said).toContain('another process is setting this checkout up')
    expect(code).toBe(0)
    expect(existsSync(lock)).toBe(false)
  })

  it('says what to do where npm is missing', async () => {
    withNewNode()
    rmSync(join(bin, 'npm'))
    expect(await run('start', '-c', 'x')).toMatchObject({
      code: 1,
      said: expect.stringContaining('npm is not on the PATH. Install npm'),
    })
  })

  it('shows what npm said and what to do where it fails, and leaves the set-up to the next', async () => {
    withNewNode()
    // One that was told to be silent, as by `npm run --silent`, unless it is told otherwise.
    fakeNpm('case "$*" in *--loglevel=error*) echo "npm error network" >&2;; esac; exit 1')
    const failed = await run('start', '-c', 'x')
    expect(failed.code).toBe(1)
    expect(failed.said).toMatch(/npm error network\n.*check the network/s)
    expect(existsSync(join(checkout, '.cache', 'setup.lock'))).toBe(false)
    fakeNpm()
    expect((await run('start', '-c', 'x')).code).toBe(0)
  })

  it('installs from the same lockfile where npm ci misses nothing but other platforms', async () => {
    withNewNode()
    const refuse = (name: string): string =>
      `if [ "$1" = ci ]; then echo "npm error Missing: ${name} from lock file" >&2; exit 1; fi`
    fakeNpm(refuse('a-darwin@1.0.0'))
    expect((await run('start', '-c', 'x')).code).toBe(0)
    expect(npmCalls()).toEqual(['checkout ci', 'checkout install'])
    rmSync(join(checkout, 'node_modules'), { recursive: true })
    fakeNpm(refuse('left-pad@1.0.0'))
    expect((await run('start', '-c', 'x')).code).toBe(1)
    expect(npmCalls().at(-1)).toBe('checkout ci')
  })

  it('does not go on with an installation that changed the lockfile', async () => {
    withNewNode()
    fakeNpm('echo "{}" >package-lock.json')
    const { code, said } = await run('start', '-c', 'x')
    expect(code).toBe(1)
    expect(said).toContain('is not what is pinned')
  })

  it('explains itself where it is asked for nothing it knows', async () => {
    expect(await run('dance')).toMatchObject({ code: 2, said: expect.stringContaining('usage:') })
    expect(npmCalls()).toEqual([])
  })
})
