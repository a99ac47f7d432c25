import { describe, expect, it } from 'vitest'
import { findViolations } from './rules.ts'
import { importsOf, scanTokens } from './scan.ts'

const head = '// Head.\n'

function faults(files: Readonly<Record<string, string>>): readonly string[] {
  return findViolations(new Map(Object.entries(files))).map(
    ({ rule, path, line }) => `${rule} ${path}:${line}`,
  )
}

const files = (path: string, text: string): Record<string, string> => ({
  'gateway/core/token.ts': head,
  'gateway/spi/store.ts': head,
  'gateway/store/etcd/store.ts': head,
  'gateway/proxy/guard.ts': head,
  'fencers/process.ts': head,
  'test/support/ports.ts': '',
  [path]: text,
})

describe('a planted fault is found', () => {
  const imports: readonly (readonly [string, string, string])[] = [
    ['the core imports a contract', 'gateway/core/a.ts', "import type { Store } from '../spi/store.ts'"],
    ['the core imports Node', 'gateway/core/a.ts', "import { readFileSync } from 'node:fs'"],
    ['the core imports zod', 'gateway/core/a.ts', "import { z } from 'zod'"],
    ['a contract imports an adapter', 'gateway/spi/a.ts', "export type { X } from '../store/etcd/store.ts'"],
    ['an adapter imports another', 'gateway/policy/a.ts', "import { x } from '../proxy/guard.ts'"],
    ['an adapter imports the root', 'gateway/proxy/a.ts', "import { main } from '../main.ts'"],
    ['one store imports the other', 'gateway/store/embedded/a.ts', "import { x } from '../etcd/store.ts'"],
    ['a fencer imports an adapter', 'fencers/a.ts', "import { x } from '../gateway/proxy/guard.ts'"],
    ['the gateway imports a test', 'gateway/main.ts', "import { x } from '../test/support/ports.ts'"],
    ['protobufjs outside its room', 'gateway/locking/a.ts', "import { Reader } from 'protobufjs'"],
    ['a subpath outside its room', 'gateway/locking/a.ts', "import x from 'yaml/util'"],
    ['a scope outside its room', 'gateway/proxy/a.ts', "import x from '@fastify/swagger'"],
    ['SQLite outside its room', 'gateway/store/etcd/a.ts', "import { DatabaseSync } from 'node:sqlite'"],
    ['a library without a room', 'gateway/proxy/a.ts', "import _ from 'lodash'"],
    ['a library that is set up elsewhere', 'test/unit/a.test.ts', "import fc from 'fast-check'"],
    ['a dynamic import', 'gateway/proxy/a.ts', "const x = await import('protobufjs')"],
    ['a type query', 'gateway/proxy/a.ts', "export type X = import('protobufjs').Reader"],
    ['an import for its side effect', 'gateway/proxy/a.ts', "import 'protobufjs'"],
    ['an import without its ending', 'gateway/proxy/a.ts', "import { x } from '../spi/store'"],
    ['an import of what is not there', 'gateway/proxy/a.ts', "import { x } from '../spi/gone.ts'"],
  ]

  it.each(imports)('%s', (_, path, line) => {
    const planted = {
      ...files(path, `${head}${line}\n`),
      'gateway/main.ts': path === 'gateway/main.ts' ? `${head}${line}\n` : head,
    }
    expect(faults(planted)).toEqual([`import ${path}:2`])
  })

  const others: readonly (readonly [string, string, string, string])[] = [
    ['a name in camel case', 'gateway/proxy/callGuard.ts', head, 'name gateway/proxy/callGuard.ts:0'],
    ['a name with underscores', 'gateway/call_guard/a.ts', head, 'name gateway/call_guard/a.ts:0'],
    ['a file named after nothing', 'gateway/proxy/http-utils.ts', head, 'name gateway/proxy/http-utils.ts:0'],
    ['a folder named after nothing', 'test/helpers/a.ts', '', 'name test/helpers/a.ts:0'],
    ['a file that is too long', 'deploy/a.ts', 'x\n'.repeat(401), 'length deploy/a.ts:400'],
    ['a test that is too long', 'test/unit/a.test.ts', 'x\n'.repeat(801), 'length test/unit/a.test.ts:800'],
    ['a fencer without a head comment', 'fencers/a.ts', 'export {}\n', 'head-comment fencers/a.ts:1'],
    ['a machine path', 'docs/a.md', 'see\n/root/x/y', 'machine-path docs/a.md:2'],
    ['a home in a string', 'deploy/a.ts', "const a = '/home/me/x'", 'machine-path deploy/a.ts:1'],
    ['a registry', '.npmrc', 'registry=https://x.example', 'registry-host .npmrc:1'],
    ['a registry host', 'docs/a.md', 'https://registry.example.org/x', 'registry-host docs/a.md:1'],
    ['work left behind', 'deploy/a.ts', '// TODO: later', 'to-do deploy/a.ts:1'],
    ['a focused test', 'test/unit/a.test.ts', "it.only('x', () => {})", 'skipped-test test/unit/a.test.ts:1'],
    ['a skipped test', 'test/unit/a.test.ts', "\nit.skip('x')", 'skipped-test test/unit/a.test.ts:2'],
    [
      'a test skipped on a condition',
      'test/sim/a.test.ts',
      'describe.skipIf(x)()',
      'skipped-test test/sim/a.test.ts:1',
    ],
    [
      'a focused table of tests',
      'test/unit/a.test.ts',
      'it.only.each([])()',
      'skipped-test test/unit/a.test.ts:1',
    ],
    [
      'a version range',
      'clients/ts/package.json',
      '{"dependencies":{"a":"^1.0.0"}}',
      'exact-version clients/ts/package.json:0',
    ],
  ]

  it.each(others)('%s', (_, path, text, expected) => {
    expect(faults(files(path, text))).toEqual([expected])
  })

  it('a library that package.json does not name', () => {
    const planted = files('gateway/store/etcd/a.ts', `${head}import { Reader } from 'protobufjs'\n`)
    const manifest = (dependencies: string): Record<string, string> => ({
      'package.json': `{"dependencies":{${dependencies}}}`,
    })
    expect(faults({ ...planted, ...manifest('"protobufjs":"1.0.0"') })).toEqual([])
    expect(faults({ ...planted, ...manifest('"zod":"1.0.0"') })).toEqual(['import gateway/store/etcd/a.ts:2'])
  })

  it('a lockfile that names a host, or is not of its package.json', () => {
    const manifest = '{"devDependencies":{"a":"1.0.0"}}'
    const lock = (version: string, more: string): string =>
      `{"packages":{"":{"devDependencies":{"a":"${version}"}},"node_modules/a":{"version":"${version}"${more}}}}`
    expect(faults({ 'package.json': manifest, 'package-lock.json': lock('1.0.0', '') })).toEqual([])
    expect(faults({ 'package.json': manifest, 'package-lock.json': lock('1.0.1', '') })).toHaveLength(1)
    expect(
      faults({ 'package.json': manifest, 'package-lock.json': lock('1.0.0', ',"resolved":"x"') }),
    ).toHaveLength(1)
  })
})

describe('what is allowed is not called a fault', () => {
  const allowed: readonly (readonly [string, string, string])[] = [
    ['an adapter imports the contracts', 'gateway/proxy/a.ts', "import { x } from '../spi/store.ts'"],
    ['a file imports its neighbour', 'gateway/proxy/a.ts', "import { x } from './guard.ts'"],
    ['the root imports a room', 'gateway/serve.ts', "import { x } from './store/etcd/store.ts'"],
    ['the root imports a fencer', 'gateway/serve.ts', "import { x } from '../fencers/process.ts'"],
    ['a test imports any library', 'test/unit/a.test.ts', "import { Reader } from 'protobufjs'"],
    ['an import in a comment', 'gateway/core/a.ts', "// import 'protobufjs'\n/* from 'protobufjs' */"],
    ['an import in a string', 'gateway/core/a.ts', 'const a = "from \'protobufjs\'"'],
    ['an import in a template', 'gateway/core/a.ts', 'const a = `$' + "{`x`} from 'protobufjs' $" + '{1}`'],
    ['an import in a pattern', 'gateway/core/a.ts', "const a = /import 'protobufjs'/"],
    ['a test for a program', 'test/unit/a.test.ts', "describe.skipIf(!etcdAvailable())('x', () => {})"],
    ['a test for a platform', 'test/unit/a.test.ts', "it.skipIf(process.platform !== 'linux')('x')"],
    ['a member that is not a test', 'test/unit/a.test.ts', 'const x = { only: 1 }'],
    ['an environment variable as home', 'deploy/a.ts', 'const a = `$' + '{home}/home/me/x`'],
    ['a Python package', 'clients/python/fence_gate/__init__.py', ''],
    ['a document', 'docs/README.md', ''],
  ]

  it.each(allowed)('%s', (_, path, text) => {
    expect(faults(files(path, `${head}${text}\n`))).toEqual([])
  })
})

describe('the scanner', () => {
  it('tells division from a pattern, so that what follows is read aright', () => {
    const source =
      "const a = b / c; const d = /'/; import x from 'one'; const e = (f) / 2; import y from 'two'"
    expect(importsOf(scanTokens(source)).map((found) => found.specifier)).toEqual(['one', 'two'])
  })

  it('counts lines through templates and comments', () => {
    const source = ['/*\n*/ const a = `\n$', "{1}\n`\nimport 'x'"].join('')
    expect(importsOf(scanTokens(source))).toEqual([{ specifier: 'x', line: 5 }])
  })
})
