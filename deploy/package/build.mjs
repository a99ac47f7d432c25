// Makes dist/, which is what the npm package holds: JavaScript and types, because Node strips no types below node_modules.
// Runs on whatever Node.js runs npm (20 or later), so it is no TypeScript itself.

import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const dist = join(root, 'dist')
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const program = join(dist, 'gateway', 'main.js')
const shebang = '#!/usr/bin/env node\n'

function fail(message) {
  console.error(`build: ${message}`)
  process.exit(1)
}

if (!existsSync(compiler)) {
  fail('TypeScript is not installed here: run "npm run build", which installs it, then this again')
}
// A file that was renamed or removed must not live on in the package.
rmSync(dist, { recursive: true, force: true })
const compiled = spawnSync(
  process.execPath,
  [compiler, '-p', join(import.meta.dirname, 'tsconfig.build.json')],
  {
    cwd: root,
    stdio: ['ignore', 2, 2],
  },
)
if (compiled.status !== 0) fail('the compiler found faults, see above')

// One rule finds the packs in a checkout and in the package: ../../policies/ from a file of a room.
cpSync(join(root, 'policies'), join(dist, 'policies'), { recursive: true })

const text = readFileSync(program, 'utf8')
if (!text.startsWith('#!')) writeFileSync(program, shebang + text)
chmodSync(program, 0o755)
