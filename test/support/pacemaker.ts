// A Pacemaker fencer on a corosync of one node, in namespaces of their own, so that no cluster of this machine is touched; its nodes
// are Debian's fence_dummy, whose power is the word in a file. And a stonith_admin of ours, for what the real one seldom does.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../house/availability.ts'

export interface PacemakerCluster {
  /** A `stonith_admin` that talks to this cluster. */
  readonly program: string
  /** A node that is on, and the device that fences it. */
  addNode(settings?: { readonly device?: boolean; readonly sleepSeconds?: number }): string
  power(node: string): string
  setPower(node: string, word: string): void
  /** The same, run by a user who may not ask the cluster. */
  readonly programOfNobody: string
  /** Runs it, and answers what it printed. */
  admin(...words: readonly string[]): string
  stop(): Promise<void>
}

const FENCED = '/usr/lib/pacemaker/pacemaker-fenced'

const CONFIGURATION = (folder: string) => `totem {
  version: 2
  cluster_name: fencegate-test
  transport: udpu
}
nodelist {
  node {
    ring0_addr: 127.0.0.1
    name: gateway-1
    nodeid: 1
  }
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_stderr: yes
  to_syslog: no
}
system {
  state_dir: ${folder}
}
`

/** The daemons end with this shell, which is the first process of its pid namespace; and it ends with its standard input. */
const DAEMONS = `
cd "$1" || exit 1
ip link set lo up && mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs /run && mkdir -p /run/lock || exit 1
corosync -f -c "$1/corosync.conf" >corosync.log 2>&1 &
until corosync-cmapctl -g totem.cluster_name >/dev/null 2>&1; do sleep 0.05; done
${FENCED} --stand-alone-w-cpg -l "$1/fenced.log" >fenced.out 2>&1 &
until stonith_admin --list-registered >/dev/null 2>&1; do sleep 0.05; done
echo ready
read -r _end
`

/** Null where such a cluster can be had here, else why not. Where CI is set a missing program is thrown. */
export function pacemakerUnavailable(): string | null {
  const missing = ['corosync', 'stonith_admin', 'fence_dummy', 'ip'].filter(
    (name) => findProgram(name) === null,
  )
  if (!existsSync(FENCED)) missing.push('pacemaker-fenced')
  const reason = `needs ${missing.join(', ')}, not installed here`
  if (missing.length > 0 && process.env['CI'] !== undefined && process.env['CI'] !== '')
    throw new Error(reason)
  if (missing.length > 0) return reason
  const tried = spawnSync('unshare', ['--net', '--mount', '--pid', '--fork', '--mount-proc', 'true'])
  return tried.status === 0 ? null : 'needs namespaces, which this user may not make'
}

export function pacemakerAvailable(): boolean {
  return pacemakerUnavailable() === null
}

export async function startPacemaker(): Promise<PacemakerCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'pacemaker-'))
  writeFileSync(join(folder, 'corosync.conf'), CONFIGURATION(folder))
  const child = spawn(
    'unshare',
    [
      '--net',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      DAEMONS,
      'sh',
      folder,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(
        new Error(
          `no cluster within 60 s: ${readFileSync(join(folder, 'corosync.log'), 'utf8').slice(-2_000)}`,
        ),
      )
    }, 60_000)
    child.stdout.once('data', () => {
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the cluster ended with ${code}`))
    })
  })
  const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  const program = join(folder, 'stonith_admin')
  const programOfNobody = join(folder, 'stonith_admin_of_nobody')
  const nobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups'
  for (const [path, user] of [
    [program, ''],
    [programOfNobody, nobody],
  ] as const) {
    const real = `${user} ${findProgram('stonith_admin')} "$@"`
    writeFileSync(path, `#!/bin/sh\nexec nsenter --target ${first} --net --mount --pid -- ${real}\n`)
    chmodSync(path, 0o755)
  }
  const admin = (...words: readonly string[]): string => execFileSync(program, words, { encoding: 'utf8' })
  let nodes = 0
  return {
    program,
    programOfNobody,
    admin,
    addNode({ device = true, sleepSeconds = 0 } = {}) {
      const node = `compute-${++nodes}`
      const file = join(folder, node)
      writeFileSync(file, 'on')
      const sleep = sleepSeconds > 0 ? [`--option=random_sleep_range=${sleepSeconds}`] : []
      const settings = [`--option=status_file=${file}`, `--option=pcmk_host_list=${node}`, ...sleep]
      if (device) admin(`--register=of-${node}`, '--agent=fence_dummy', ...settings)
      return node
    },
    power: (node) => readFileSync(join(folder, node), 'utf8'),
    setPower: (node, word) => writeFileSync(join(folder, node), word),
    async stop() {
      child.stdin.end()
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface FakeStonithAdmin {
  readonly program: string
  /** What was asked for, one line for each run. */
  asked(): readonly string[]
  close(): void
}

/** `script` sees all words as `$*`, and what it does not end is answered with the history in the file `history`. */
export function fakeStonithAdmin(script: string, events: readonly string[] = []): FakeStonithAdmin {
  const folder = mkdtempSync(join(tmpdir(), 'stonith-admin-'))
  const program = join(folder, 'stonith_admin')
  const list = `<list name="Fencing history" count="${events.length}">${events.join('')}</list>`
  writeFileSync(
    join(folder, 'history'),
    `<pacemaker-result api-version="2.25">${list}<status code="0" message="OK"/></pacemaker-result>`,
  )
  writeFileSync(join(folder, 'asked'), '')
  writeFileSync(program, `#!/bin/sh\ncd "${folder}"; echo "$*" >> asked\n${script}\ncat history\n`)
  chmodSync(program, 0o755)
  return {
    program,
    asked: () =>
      readFileSync(join(folder, 'asked'), 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
