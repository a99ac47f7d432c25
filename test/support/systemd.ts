// A real systemd as pid 1 of namespaces of its own (processes, mounts, cgroups): the Debian package's, with units that a test
// writes and no others. What is run `inside` sees that systemd as the machine's, and nothing it does reaches the machine.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram, programUnavailable } from '../house/availability.ts'

const SYSTEMD = ['/lib/systemd/systemd', '/usr/lib/systemd/systemd']
const UNITS = '/run/units'
const START_MS_MAX = 20_000
const END_MS_MAX = 10_000

/** Nothing of the machine's own units, generators and settings, and no kernel parameter that it could change. */
const BOOT = `set -eu
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs tmpfs /run
mkdir -p ${UNITS} /run/nothing
printf '[Unit]\\nDefaultDependencies=no\\n' >${UNITS}/small.target
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
  SYSTEMD_UNIT_PATH=${UNITS} SYSTEMD_GENERATOR_PATH=/run/nothing SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/nothing \\
  "$1" --unit=small.target --log-target=console --log-level=notice --show-status=no
`
const NAMESPACES = [
  '--pid',
  '--fork',
  '--kill-child',
  '--mount',
  '--mount-proc',
  '--cgroup',
  '--uts',
  '--ipc',
]

export interface RealSystemd {
  /** In front of a program's own words, to run it where this systemd is pid 1. */
  readonly inside: readonly string[]
  /** Writes `/etc/systemd/system/NAME`, so to speak, with this as its [Service]. */
  unit(name: string, service: readonly string[]): void
  /** What the program printed, where this systemd is pid 1; throws where it fails. */
  run(program: string, ...words: readonly string[]): string
  systemctl(...words: readonly string[]): string
  /** One property of a unit. */
  show(unit: string, property: string): string
  stop(): Promise<void>
}

/** Why it cannot run here; null where it can. Where CI is set, a missing program is an error. */
export function systemdUnavailable(): string | null {
  if (process.platform !== 'linux') return 'systemd runs on Linux alone'
  const reason = programUnavailable('systemctl', 'systemd') ?? programUnavailable('nsenter', 'util-linux')
  if (reason !== null) return reason
  const folder = join(hierarchy() ?? '/nowhere', `fencegate-probe-${process.pid}`)
  try {
    mkdirSync(folder)
    rmdirSync(folder)
  } catch {
    return 'no cgroup (v2) can be made here'
  }
  return spawnSync('unshare', [...NAMESPACES, 'mount', '-t', 'tmpfs', 'tmpfs', '/run']).status === 0
    ? null
    : 'no namespaces can be made here'
}

let started = 0

export async function startSystemd(): Promise<RealSystemd> {
  const program = SYSTEMD.find((path) => existsSync(path))
  if (program === undefined) throw new Error('there is no systemd')
  const folder = join(hierarchy() ?? '', `fencegate-systemd-${process.pid}-${++started}`)
  mkdirSync(folder)
  // In that cgroup before its namespace is made: the namespace's root is where its maker is.
  const script = `echo $$ >"$1/cgroup.procs"; shift; exec "$@"`
  const child = spawn(
    'sh',
    ['-c', script, 'sh', folder, 'unshare', ...NAMESPACES, 'sh', '-c', BOOT, 'sh', program],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      log += chunk.toString()
    })
  const pid = await untilRunning(child, () => log)
  const inside = ['nsenter', '--target', String(pid), '--pid', '--mount', '--cgroup', '--uts', '--ipc']
  const run = (...words: readonly string[]): string =>
    execFileSync('nsenter', [...inside.slice(1), ...words], { encoding: 'utf8', stdio: 'pipe' })
  const systemctl = (...words: readonly string[]): string => run('systemctl', ...words)
  return {
    inside,
    unit(name, service) {
      const text = ['[Unit]', 'DefaultDependencies=no', '[Service]', ...service, ''].join('\n')
      writeFileSync(`/proc/${pid}/root${UNITS}/${name}`, text)
      systemctl('daemon-reload')
    },
    run,
    systemctl,
    show: (unit, property) => systemctl('show', '--value', `--property=${property}`, '--', unit).trim(),
    async stop() {
      // As pid 1 of its namespace it takes everybody in it along.
      if (child.exitCode === null && child.signalCode === null) process.kill(pid, 'SIGKILL')
      const deadlineMs = Date.now() + END_MS_MAX
      while (!isRemoved(folder)) {
        if (Date.now() > deadlineMs) throw new Error(`${folder} is still in use`)
        await sleep(20)
      }
    },
  }
}

/** Its pid out here, once it answers. */
async function untilRunning(child: ChildProcess, log: () => string): Promise<number> {
  const deadlineMs = Date.now() + START_MS_MAX
  while (Date.now() < deadlineMs) {
    if (child.exitCode !== null) throw new Error(`systemd ended with ${child.exitCode}: ${log()}`)
    // unshare's only child.
    const [pid] = childrenOf(child.pid ?? 0)
    if (pid !== undefined) {
      const words = [
        '--target',
        String(pid),
        '--pid',
        '--mount',
        '--cgroup',
        'systemctl',
        'is-system-running',
      ]
      const { stdout } = spawnSync('nsenter', words, { encoding: 'utf8' })
      if (stdout.trim() === 'running') return pid
    }
    await sleep(50)
  }
  child.kill('SIGKILL')
  throw new Error(`systemd does not answer: ${log()}`)
}

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  } catch {
    return []
  }
}

/** From the leaves up; false while somebody lives there. */
function isRemoved(folder: string): boolean {
  if (!existsSync(folder)) return true
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory() && !isRemoved(join(folder, entry.name))) return false
    rmdirSync(folder)
    return true
  } catch {
    return false
  }
}

function hierarchy(): string | null {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((candidate) => candidate.includes(' - cgroup2 '))
  return findProgram('unshare') === null ? null : (line?.split(' ')[4] ?? null)
}
