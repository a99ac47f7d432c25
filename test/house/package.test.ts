// Packs the package as `npm pack` does for everybody, installs it in an empty folder, and uses it there.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..', '..')
// The Node.js that runs this test comes first: the package needs a newer one than the machine may have.
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` }
const npmMs = 240_000
let folder = ''
let project = ''

function npm(cwd: string, ...args: readonly string[]): string {
  return execFileSync('npm', args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: npmMs,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fencegate-package-'))
  project = join(folder, 'project')
  mkdirSync(project)
  const packed = npm(root, 'pack', '--ignore-scripts=false', '--pack-destination', folder)
    .trim()
    .split('\n')
    .at(-1)
  writeFileSync(join(project, 'package.json'), '{"name":"project","private":true,"type":"module"}')
  npm(
    project,
    'install',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    join(folder, packed ?? ''),
  )
  cpSync(join(root, 'deploy', 'examples', 'sample.yaml'), join(project, 'sample.yaml'))
}, npmMs)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function fencegate(...args: readonly string[]): { readonly code: number | null; readonly said: string } {
  const ended = spawnSync('npx', ['--no', 'fencegate', ...args], {
    cwd: project,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { code: ended.status, said: ended.stdout + ended.stderr }
}

describe('the installed package', () => {
  it('checks a configuration', () => {
    const { code, said } = fencegate('check', '-c', 'sample.yaml')
    expect(said).toContain('sample.yaml is valid')
    expect(code).toBe(0)
  })

  it('brings every policy and every fencer of the checkout', () => {
    const source = (kind: string): readonly string[] =>
      listed(
        spawnSync(process.execPath, [join(root, 'gateway', 'main.ts'), kind, 'list', '--json'], {
          encoding: 'utf8',
        }).stdout,
      )
    for (const kind of ['policies', 'fencers']) {
      const names = listed(fencegate(kind, 'list', '--json').said)
      expect(names, kind).toEqual(source(kind))
      expect(names.length, kind).toBeGreaterThan(0)
    }
  })

  it('has types for who writes a fencer', () => {
    writeFileSync(
      join(project, 'fencer.ts'),
      `import { z } from 'zod'
import { defineFencer, type Attempt } from 'fencegate'

export default defineFencer({
  id: 'bell',
  summary: 'rings a bell',
  options: z.strictObject({}),
  fenceInfo: z.object({ room: z.string() }),
  proves: () => [],
  target: (info) => info.room,
  create: () => ({
    async fence(info: { room: string }, attempt: Attempt) {
      attempt.note(info.room)
    },
    verify: async () => ({ state: 'unknown', reason: 'nobody looked' }),
    monitor: async () => {},
  }),
})
`,
    )
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--skipLibCheck',
      '--types',
      '',
    ]
    const compiled = spawnSync(process.execPath, [compiler, ...options, 'fencer.ts'], {
      cwd: project,
      encoding: 'utf8',
    })
    expect(compiled.stdout + compiled.stderr).toBe('')
    expect(compiled.status).toBe(0)
  })

  it('holds what is needed to run it, and nothing of the workshop', () => {
    const installed = join(project, 'node_modules', 'fencegate')
    for (const path of [
      'dist/gateway/main.js',
      'dist/policies',
      'deploy/examples/sample.yaml',
      'LICENSE',
      'README.md',
    ]) {
      expect(existsSync(join(installed, path)), path).toBe(true)
    }
    for (const path of ['gateway', 'test', 'node_modules/vitest', 'dist/test']) {
      expect(existsSync(join(installed, path)), path).toBe(false)
    }
  })
})

/** The names in a listing: of `{items: […]}` or of a plain list. */
function listed(text: string): readonly string[] {
  return [...text.matchAll(/"(?:name|driver)": *"(?<name>[^"]+)"/g)].map(
    (match) => match.groups?.['name'] ?? '',
  )
}
