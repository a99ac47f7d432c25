// A real Ceph cluster as small as one can be: Debian's ceph-mon on the loopback, with no OSD behind it. It keeps the blocklist, checks
// keys and capabilities, and answers the real `ceph`. What it cannot show is an OSD that refuses a client.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

export interface CephMonitor {
  /** What the fencer is configured with to ask it, as a client with these capabilities; another client for each. */
  client(capabilities: string): Readonly<Record<string, unknown>>
  /** As the cluster's operator; what it printed. */
  ceph(...words: readonly string[]): string
  /** Stops it where it stands, and lets it go on. */
  pause(): void
  resume(): void
  /** Ends it, as a crash does, and starts it anew on what it has written. */
  restart(): Promise<void>
  /** Of a client whose key is another one. */
  readonly stranger: Readonly<Record<string, unknown>>
  end(): Promise<void>
}

const START_SECONDS = '30'

export async function startCephMonitor(): Promise<CephMonitor> {
  const folder = mkdtempSync(join(tmpdir(), 'ceph-mon-'))
  const file = (name: string): string => join(folder, name)
  const run = (program: string, ...words: readonly string[]): string =>
    execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: folder })
  const address = `[v2:127.0.0.1:${await freePort()},v1:127.0.0.1:${await freePort()}]`
  const cluster = randomUUID()
  writeFileSync(
    file('ceph.conf'),
    `[global]
fsid = ${cluster}
mon initial members = a
mon host = ${address}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
run dir = ${folder}
mon data = ${file('mon')}
admin socket =
pid file =
log file =
log to stderr = false
`,
  )
  mkdirSync(file('mon'))
  const key = (keyring: string, name: string, capabilities: string, ...more: readonly string[]): void => {
    run('ceph-authtool', file(keyring), ...more, '--gen-key', '--name', name, '--cap', 'mon', capabilities)
  }
  key('keyring', 'mon.', 'allow *', '--create-keyring')
  key('keyring', 'client.admin', 'allow *')
  run('monmaptool', '--create', '--fsid', cluster, '--addv', 'a', address, file('monmap'))
  const terms = ['--conf', file('ceph.conf'), '--id', 'a']
  run('ceph-mon', ...terms, '--mkfs', '--monmap', file('monmap'), '--keyring', file('keyring'))

  let monitor: ChildProcess
  const ceph = (...words: readonly string[]): string =>
    run(
      'ceph',
      ...['--conf', file('ceph.conf'), '--connect-timeout', START_SECONDS],
      ...['--name', 'client.admin', '--keyring', file('keyring'), ...words],
    )
  const start = (): void => {
    monitor = spawn('ceph-mon', [...terms, '--foreground'], { stdio: 'ignore' })
    // Answers once it is in office.
    ceph('mon', 'stat')
  }
  const end = async (): Promise<void> => {
    if (monitor.exitCode !== null || monitor.signalCode !== null) return
    const ended = once(monitor, 'exit')
    monitor.kill('SIGKILL')
    await ended
  }
  start()

  let clients = 0
  const optionsOf = (name: string, keyring: string) => ({
    conf: file('ceph.conf'),
    name,
    keyring: file(keyring),
  })
  const client = (capabilities: string) => {
    const name = `client.test-${++clients}`
    ceph('auth', 'get-or-create', name, 'mon', capabilities, '-o', file(`${name}.keyring`))
    return optionsOf(name, `${name}.keyring`)
  }
  key('stranger.keyring', 'client.admin', 'allow *', '--create-keyring')
  return {
    client,
    ceph,
    pause: () => void monitor.kill('SIGSTOP'),
    resume: () => void monitor.kill('SIGCONT'),
    async restart() {
      await end()
      start()
    },
    stranger: optionsOf('client.admin', 'stranger.keyring'),
    async end() {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
