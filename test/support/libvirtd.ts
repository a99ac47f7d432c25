// A real libvirtd on a socket of its own, with libvirt's own test hypervisor behind it: its domains have ids, reasons and life cycles
// as any, and no machine is started.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram } from '../house/availability.ts'

export interface Libvirtd {
  /** Of the hypervisor, and of the same for readers only. */
  readonly uri: string
  readonly readOnlyUri: string
  /** What it printed; throws where it failed. */
  virsh(command: string): string
  /** A domain that runs. `transient`: libvirt forgets it when it ends. */
  domain(kind?: 'transient' | 'persistent'): { readonly domainUuid: string; readonly domainId: number }
  idOf(domainUuid: string): string
  /** A file of this libvirtd's folder. */
  file(name: string): string
  pause(): void
  resume(): void
  stop(): Promise<void>
}

const START_TRIES_MAX = 200

export async function startLibvirtd(): Promise<Libvirtd> {
  const folder = mkdtempSync(join(tmpdir(), 'libvirtd-'))
  const file = (name: string): string => join(folder, name)
  const settings = [
    `unix_sock_dir = "${folder}"`,
    'auth_unix_ro = "none"',
    'auth_unix_rw = "none"',
    'unix_sock_group = "root"',
  ]
  writeFileSync(file('libvirtd.conf'), `${settings.join('\n')}\n`)
  mkdirSync(file('drivers'))
  const daemon = spawn(
    findProgram('libvirtd') ?? '',
    ['--config', file('libvirtd.conf'), '--pid-file', file('pid')],
    // No hypervisor of this machine is looked for.
    { stdio: 'ignore', env: { ...process.env, LIBVIRT_DRIVER_DIR: file('drivers') } },
  )
  const uri = `test+unix:///default?socket=${file('libvirt-sock')}`
  const virsh = (command: string): string =>
    execFileSync('virsh', ['-q', '-c', uri, command], { encoding: 'utf8', stdio: 'pipe' }).trim()
  for (let tries = 0; ; tries++) {
    try {
      virsh('list')
      break
    } catch (error) {
      if (tries >= START_TRIES_MAX || daemon.exitCode !== null) throw error
      await sleep(25)
    }
  }
  // Its domains live as long as anybody is connected.
  const witness = spawn('virsh', ['-q', '-c', uri, 'event --all --loop'], { stdio: 'ignore' })
  const ends = (child: ChildProcess): Promise<unknown> => {
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    return ended
  }
  const idOf = (domainUuid: string): string => virsh(`domid ${domainUuid}`)
  let domains = 0
  return {
    uri,
    readOnlyUri: `test+unix:///default?socket=${file('libvirt-sock-ro')}`,
    virsh,
    file,
    idOf,
    domain(kind = 'persistent') {
      const domainUuid = randomUUID()
      writeFileSync(
        file('domain.xml'),
        `<domain type='test'><name>nova-${++domains}</name><uuid>${domainUuid}</uuid>
         <memory>65536</memory><os><type>hvm</type></os></domain>`,
      )
      virsh(`${kind === 'transient' ? 'create' : 'define'} ${file('domain.xml')}`)
      if (kind === 'persistent') virsh(`start ${domainUuid}`)
      return { domainUuid, domainId: Number(idOf(domainUuid)) }
    },
    pause: () => void daemon.kill('SIGSTOP'),
    resume: () => void daemon.kill('SIGCONT'),
    async stop() {
      await Promise.all([ends(witness), ends(daemon)])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
