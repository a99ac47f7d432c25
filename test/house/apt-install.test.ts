// Runs the real apt-install.sh with programs of ours in the place of apt-get, dpkg and systemctl, which note what they see.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'

const SCRIPT = join(import.meta.dirname, '..', '..', 'deploy', 'checkout', 'apt-install.sh')
let folder = ''
const file = (name: string): string => join(folder, name)
const read = (name: string): string => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '')

function program(name: string, text: string): void {
  writeFileSync(file(`bin/${name}`), `#!/bin/sh\n${text}\n`)
  chmodSync(file(`bin/${name}`), 0o755)
}

/** Does what Debian's packages do in the middle of an installation: asks the policy whether their service may start. */
const aptGet = (more = ''): void =>
  program('apt-get', `sh '${file('policy')}' nginx start; echo "start: $?" >>'${file('seen')}'\n${more}`)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'apt-install-'))
  mkdirSync(file('bin'))
  aptGet()
  // As it comes, nginx has its service from a package that it needs.
  const fresh = `[ ! -e '${file('seen')}' ] || printf 'installed nginx\\ninstalled nginx-common\\n'`
  program('dpkg-query', `printf 'installed haproxy\\nconfig-files ngircd\\n'; ${fresh}`)
  program(
    'dpkg',
    'for name; do case $name in -L) ;; *) echo "/lib/systemd/system/$name.service"; echo "/lib/systemd/system/$name@.service"; esac; done',
  )
  program(
    'systemctl',
    `case $1 in is-system-running) echo offline; exit 1 ;; esac; echo "$*" >>'${file('seen')}'`,
  )
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const argv = () => [SCRIPT, file('policy'), file('log'), 'nginx', 'haproxy']
const env = () => ({ PATH: `${file('bin')}:${process.env['PATH'] ?? ''}` })
const install = () => spawnSync('sh', argv(), { env: env() }).status

it('no service starts while packages are installed, and any may afterwards, also where the installation fails', () => {
  expect(install()).toBe(0)
  expect(read('seen')).toBe('start: 101\n')
  expect(existsSync(file('policy'))).toBe(false)
  aptGet('exit 100')
  expect(install()).toBe(100)
  expect(existsSync(file('policy'))).toBe(false)
})

it('goes by the policy that the machine has, and takes away what a killed installation left', () => {
  const own = '#!/bin/sh\nexit 104\n'
  writeFileSync(file('policy'), own)
  expect(install()).toBe(0)
  expect([read('seen'), read('policy')]).toEqual(['start: 104\n', own])
  writeFileSync(file('policy'), '#!/bin/sh\n# fencegate: no service starts (process 1)\nexit 101\n')
  expect(install()).toBe(0)
  expect(existsSync(file('policy'))).toBe(false)
})

it('an installation that is told to end lets services start again', async () => {
  aptGet(`touch '${file('began')}'; sleep 0.5`)
  const child = spawn('sh', argv(), { env: env(), stdio: 'ignore' })
  const ended = once(child, 'exit')
  await expect.poll(() => existsSync(file('began')), { timeout: 10_000 }).toBe(true)
  child.kill('SIGTERM')
  expect((await ended)[0]).toBe(143)
  expect(existsSync(file('policy'))).toBe(false)
})

it('leaves the policy of an installation that began meanwhile to that', () => {
  const other = '#!/bin/sh\\n# fencegate: no service starts (process 1)\\nexit 101\\n'
  aptGet(`printf '${other}' >'${file('policy')}'`)
  expect(install()).toBe(0)
  expect(read('policy')).toContain('(process 1)')
})

it('where systemd runs, no service of what is new starts with the machine, and what was there before is left alone', () => {
  program(
    'systemctl',
    `case $1 in is-system-running) echo running ;; *) echo "$*" >>'${file('seen')}' ;; esac`,
  )
  expect(install()).toBe(0)
  expect(read('seen')).toBe('start: 101\ndisable nginx.service nginx-common.service\n')
})
